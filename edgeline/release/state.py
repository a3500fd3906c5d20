"""The state of a model that a writer continues: all that it seals follows from what was sealed before.

A key signs what was signed before, verified with a key that the owner trusts, plus the one change that its
writer makes. So every writer opens the state here, and seals its change here; nothing else makes a signed
pointer.

- The signed pointer has to be signed with the writer's own key, or with one of those that the owner trusts
  beside it (`push.trusted_keys`), during a change of keys.
- What it says and the change beside it in current.json have to be the same.
- The log is followed from its newest line, whose digest is signed, back to the first for which the key
  vouches. A crash may have left the newest line unwritten, or torn; nothing else explains a line that does
  not fit.

Pointers of earlier versions of this code have no digest of the log: what they name is continued, and older
releases are not known until a person has vouched for them, by `State.trust`. So it is with a store that has
no signature yet, and now a key. A store without a key is continued as it is.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import format_utc, get_user_and_host, parse_time
from edgeline.release.history import (
    DO_TRUST,
    Action,
    Change,
    Collected,
    History,
    find_current,
    follow_back,
    read_current,
    read_history,
    read_lines,
)
from edgeline.release.layout import HISTORY, PushFolder, hash_bytes
from edgeline.release.memory import Signed, is_older, make_error, recall
from edgeline.release.pointer import DAYS, Canary, Envelope, Log, Pointer, Production, Untrusted, seal
from edgeline.release.signing import KEY_VARIABLE, Key, format_public_key
from edgeline.store.locations import Location

# The clocks of two writers may be this far apart.
CLOCKS_APART = timedelta(minutes=5)

_LOG = logging.getLogger(__name__)


class Unvouched(EdgelineError):
    """A store with something that a writer's key would sign, and that no key of its owner has signed."""


@dataclass(frozen=True)
class State:
    """The state of one model, as far as somebody vouches for it."""

    model: str
    key: Key
    last: Change | None = None  # the newest change; None before the first
    changes: tuple[Change, ...] = ()  # those that are vouched for, oldest first
    pointer: Pointer | None = None  # that was sealed last
    signer: str | None = None  # the key that signed it, as this writer trusts it
    seen: Signed | None = None  # by phones, of a store that was lost: the newest pointer signed from here

    @property
    def history(self) -> History:
        """Returns the changes that are vouched for."""
        return History(self.changes, is_signed=self.signer is not None)

    @property
    def own_key(self) -> str | None:
        """Returns the public half of the writer's key."""
        return format_public_key(self.key.public_key()) if self.key else None

    @property
    def is_handover(self) -> bool:
        """Returns true if another key than the writer's signed the state."""
        return self.signer is not None and self.signer != self.own_key

    def choose_next_version(self, folder: PushFolder) -> int:
        """Returns the number of the next release, above all that ever were named; it has no folder yet."""
        named = {version for change in self.changes for version in change.versions}
        named |= {change.from_version or 0 for change in self.changes}
        taken = folder.version_folders(self.model)
        if self.signer is None:
            return 1 + max(named | taken, default=0)
        version = 1 + max(named)
        while version in taken:  # anybody may have made a folder of the highest number
            version += 1
        return version

    def make_change(
        self,
        action: Action,
        production: Production,
        reason: str,
        collected: Sequence[Collected] = (),
        candidate: Canary | None = None,
        trusted: Sequence[Production] = (),
    ) -> Change:
        """Returns a change by this user, now, numbered after the last one; nothing is written.

        Args:
            action: With "rollback", an open canary's candidate is the version that it goes back from.
            production: The release in production after it, which many actions leave as it is.
            reason: For the log, by a person or a run.
            collected: The releases that it removes.
            candidate: The canary that is open after it; None ends an open one.
            trusted: The releases for which a person vouches with it.
        """
        last = self.last
        number = self.seen.counter if self.seen else 0
        before = None
        if last:
            number, before = last.number, last.to_version
        if last and last.candidate and action == "rollback":
            before = last.candidate.version

        return Change(
            number=number + 1,
            action=action,
            when=format_utc(_now()),
            who=get_user_and_host(),
            from_version=before,
            to_version=production.version,
            manifest_sha256=production.manifest_sha256,
            # A terminal that is not in UTF-8 gives lone surrogates, for which many readers refuse the file.
            reason=reason.encode(errors="backslashreplace").decode(),
            previous_sha256=hash_bytes(last.to_line()) if last else None,
            collected=tuple(collected),
            candidate=candidate,
            trusted=tuple(trusted),
            previous_key=self.signer if self.is_handover else None,
        )

    def seal(self, change: Change, days: float | None = None, also: Key = None) -> Envelope:
        """Seals the pointer for the change that follows, or for the last one again.

        It is issued now. Where the clock is behind the pointer before, by less than its life, it is issued at
        that time: else it would expire too early.

        Args:
            change: As its line will be in the log, since the pointer has its digest.
            days: The life of the pointer; None for that of the one before, `DAYS` for the first.
            also: A second key that signs it, the old one during a change of keys.
        """
        before = self.pointer
        if days is None:
            days = before.life / timedelta(days=1) if before else DAYS
        now = _now()
        life = timedelta(days=days)
        if before and now < parse_time(before.issued) < now + life:
            now = parse_time(before.issued)
        issued, expires = format_utc(now), format_utc(now + life)
        first = min((item.number for item in self.changes), default=change.number)
        log = Log(hash_bytes(change.to_line()), first) if self.key else None
        sides = change.production, change.candidate
        rollbacks = self._count_rollbacks(change)
        return seal(
            Pointer(self.model, change.number, rollbacks, issued, expires, *sides, log), also, self.key
        )

    def _count_rollbacks(self, change: Change) -> int:
        if self.seen:  # phones run a release of before, with another number
            return self.seen.rollbacks + 1
        added = change.is_lower and (self.pointer is None or change.number > self.pointer.counter)
        before = self.pointer.rollbacks if self.pointer else 0
        if self.signer:
            return before + added
        # Nobody signed the number: the log may know better, or have lost lines.
        changes = {item.number: item for item in (*self.changes, change)}
        return max(before + added, sum(item.is_lower for item in changes.values()))

    def check_clock(self, store_clock: datetime | None) -> None:
        """Refuses a clock that is wrong by what the log and the store say. Raises EdgelineError.

        `store_clock` is the date that the store itself gave an object just now.
        """
        now = _now()
        earliest = parse_time(self.last.when) if self.last else None
        if earliest and now < earliest - CLOCKS_APART:
            where = f"the newest change of {self.model}, by {self.last.who if self.last else ''},"
            least = earliest
        elif store_clock and abs(now - store_clock) > CLOCKS_APART:
            where, least = "an object that was written to the store just now", store_clock
        else:
            return
        raise EdgelineError(
            f"This machine's clock says {format_utc(now)}, and {where} is of {format_utc(least)}.",
            "Phones refuse what was signed with a wrong clock. Nothing was changed.",
            "Set the clock of this machine, or that of the store, and run this again.",
        )


def _now() -> datetime:
    return datetime.now(timezone.utc)


def open_state(
    folder: PushFolder, model: str, key: Key, trusted: Collection[str] = (), place: Location | None = None
) -> State:
    """Opens the state of a model that a writer with this key continues.

    Args:
        folder: The store, or a local copy of the one at `place`.
        model: The name of the model.
        key: The private key of the writer; None where nothing is signed.
        trusted: The public keys whose signature the writer continues beside its own.
        place: The store, by default the folder.

    Raises:
        UsageError: The store is signed, and there is no key.
        Unvouched: The key would sign what nobody signed that the owner trusts.
        Damaged: With a key: current.json is damaged, or its parts differ.
        EdgelineError: With a key: it is older than what was signed from here.
    """
    if key is None:
        return _open_unsigned(folder, model)
    current = read_current(folder, model)
    signed = recall(place or folder.root, model)
    if current is None and not read_lines(folder, model)[0]:
        return State(model, key, seen=signed)
    if current is None or current.signed is None or not current.signed.signatures:
        what = f"version {current.version}" if current else f"though {HISTORY} has changes"
        raise Unvouched(
            f"{folder.relative(folder.pointer(model))}: nobody signed what is in production, {what}.",
            "The key would vouch for whatever somebody has written there. Nothing was changed.",
            "If this store was never signed, look with `edgeline repair --trust-unsigned --key FILE --reason"
            " R`, which shows what it would sign, and asks. If it was, somebody wrote to it without the key:"
            " restore the file from a backup.",
        )
    own = format_public_key(key.public_key())
    try:
        pointer, signer = current.signed.read((*trusted, own))
    except Untrusted as error:
        raise Unvouched(
            f"{folder.relative(folder.pointer(model))}: {error}. Expected {' or '.join((*trusted, own))}.",
            "A key continues only what a key of the same owner has signed. Nothing was changed.",
            "If the other key was yours, name its public half in push.trusted_keys, or change keys with"
            " `edgeline keys rotate`. If not, somebody wrote to the store with a key of their own: restore"
            " the file from a backup.",
        ) from None
    if signed and is_older(pointer, signer, signed):
        raise make_error(model, pointer, signed)
    first = pointer.log.first if pointer.log else current.change.number
    changes = _follow_log(folder, model, current.change, first)
    if pointer.log is None and first > 1:
        text = (
            "%s: the first %d changes in %s are not signed. Their releases stay where they are, and cannot be"
            " put in production until somebody looks: `edgeline repair --trust-unsigned --reason R`."
        )
        _LOG.warning(text, model, first - 1, HISTORY)
    return State(model, key, current.change, changes, pointer, signer)


def _open_unsigned(folder: PushFolder, model: str) -> State:
    """Opens a state that nobody signed; the newest line of the log stands in for a damaged pointer."""
    current = find_current(folder, model)
    envelope = current.signed if current else None
    if envelope and envelope.signatures:
        raise make_no_key_error(model)
    history = read_history(folder, model)
    pointer = None
    if envelope:
        try:
            pointer = envelope.read()[0]
        except ValueError as error:
            _LOG.warning("%s: the pointer is replaced, which is not valid: %s", model, error)
    return State(model, None, history.last, history.changes, pointer)


def make_no_key_error(model: str) -> UsageError:
    """Returns the error for a change of a signed store without a key."""
    return UsageError(
        f"The pointer to {model} in production is signed, but no key is set.",
        "Phones would refuse an unsigned one and stay with their release. Production was not changed.",
        f"Pass --key FILE, the private key, or set {KEY_VARIABLE}.",
    )


def _follow_log(folder: PushFolder, model: str, newest: Change, first: int) -> tuple[Change, ...]:
    """Returns the changes from number `first` to the newest, each line named by the digest in the next.

    Raises Unvouched for a line that does not fit.
    """
    name = folder.relative(folder.history(model))
    changes, others = follow_back(folder, model, newest, first)
    oldest = changes[0]
    line = others[-1] if others else b""
    if oldest.number > first:
        found = f"has sha256 {hash_bytes(line)}" if line else "is missing"
        signed = f"the signed one has {oldest.previous_sha256}"
        raise _make_log_error(name, f"change {oldest.number - 1} {found}; {signed}")
    if first == 1 and others:
        raise _make_log_error(name, f"it has {len(others)} lines more than the signed pointer vouches for")
    return changes


def _make_log_error(name: str, found: str) -> Unvouched:
    return Unvouched(
        f"{name}: {found}.",
        "Somebody wrote to the store without the key, or the file is damaged: what it says of earlier"
        " releases cannot be believed. Nothing was changed.",
        DO_TRUST,
    )
