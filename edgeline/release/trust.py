"""The claim of a store: what a key would sign though nobody has signed it, for a person to look at.

So begins the signing of a store that had no key, and so goes on one whose current.json or log was lost, or
changed by somebody without the key. What a trusted key did sign is taken from there.
"""

from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from edgeline.errors import EdgelineError
from edgeline.release.history import Change, Current, History, find_current, follow_back, read_lines
from edgeline.release.layout import PushFolder, hash_bytes, make_missing_pointer_error, parse
from edgeline.release.memory import is_older, recall
from edgeline.release.pointer import Canary, Pointer, Production, Untrusted
from edgeline.release.releases import Release, list_released_versions, read_release
from edgeline.release.signing import Key, format_public_key
from edgeline.release.state import State, open_state
from edgeline.release.verify import find_release_problems


@dataclass(frozen=True)
class Claim:
    """All that a store says, as far as it can be read, and why it is not believed."""

    model: str
    reason: str  # why no writer continues it
    production: Production
    candidate: Canary | None
    last: Change  # the newest change
    changes: tuple[Change, ...]  # of the log that follow one another up to the newest
    releases: tuple[Release, ...]  # whole ones that none of these changes names
    pointer: Pointer | None  # if a trusted key signed it
    signer: str | None  # that key
    number: int  # of the change that vouches for it: above all that phones have seen

    def make_state(self, key: Key) -> State:
        """Returns the state that a writer continues once a person has vouched for it."""
        return State(self.model, key, self.last, self.changes, self.pointer, self.signer)

    def make_change(self, state: State, reason: str) -> Change:
        """Returns the change that vouches for it."""
        trusted = [release.named for release in self.releases]
        change = state.make_change(
            "trust", self.production, reason, candidate=self.candidate, trusted=trusted
        )
        return replace(change, number=self.number)


def make_claim(
    folder: PushFolder, files: PushFolder, model: str, key: Key, trusted: Collection[str] = ()
) -> Claim | None:
    """Makes the claim of a store; None if a trusted key has signed everything.

    Args:
        folder: The store's documents; for a bucket, a writer's local copy of them.
        files: The store itself, with its releases.
        model: Its name there.
        key: The key that would sign it; what it has signed before is no claim.
        trusted: Public keys whose signatures count as its own.

    Raises:
        EdgelineError: Neither current.json nor the log can be read.
    """
    current = find_current(folder, model)
    pointer, signer = _find_signed(current, key, trusted)
    last = _find_last(folder, model, current, pointer)
    number = last.number
    signed = recall(files.root, model)
    if pointer:
        number = max(number, pointer.counter)
    if pointer and signed and is_older(pointer, signer, signed):
        # Phones that ran a newer release have to accept this one.
        number, pointer = signed.counter, replace(pointer, rollbacks=signed.rollbacks + 1)
    reason = ""
    changes: tuple[Change, ...] = ()
    try:
        changes = open_state(folder, model, key, trusted, files.root).changes
    except EdgelineError as error:
        reason = error.found
        if number == last.number and (pointer is None or _is_named(last, pointer)):
            changes, _ = follow_back(folder, model, last)
    named = History(changes).manifests
    releases = []
    # A release that is not as these changes name it is damaged, and nothing to vouch for.
    for version in sorted(list_released_versions(files, model) - {*named}):
        if not find_release_problems(files, model, version, History()):
            releases.append(read_release(files, model, version))
    if not reason and not releases:
        return None
    reason = reason or f"{model} has releases that no signed line of the log names."
    production, candidate = last.production, last.candidate
    if pointer:
        production, candidate = pointer.production, pointer.candidate
    return Claim(
        model=model,
        reason=reason,
        production=production,
        candidate=candidate,
        last=last,
        changes=changes,
        releases=tuple(releases),
        pointer=pointer,
        signer=signer,
        number=1 + number,
    )


def _is_named(change: Change, pointer: Pointer) -> bool:
    """Returns true if a pointer vouches for a change."""
    return pointer.log is not None and hash_bytes(change.to_line()) == pointer.log.sha256


def _find_signed(
    current: Current | None, key: Key, trusted: Collection[str]
) -> tuple[Pointer, str] | tuple[None, None]:
    """Returns the pointer that a trusted key signed, and that key."""
    own = [format_public_key(key.public_key())] if key else []
    try:
        if current and current.signed:
            pointer, signer = current.signed.read((*trusted, *own))
            if signer:
                return pointer, signer
    except (Untrusted, ValueError):
        pass
    return None, None


def _find_last(folder: PushFolder, model: str, current: Current | None, pointer: Pointer | None) -> Change:
    """Returns the newest change: the one that a trusted key signed, else that of current.json or the log."""
    name = folder.relative(folder.history(model))
    changes = []
    for line in read_lines(folder, model)[0]:
        try:
            changes.append(parse(line, Change, name))
        except EdgelineError:
            continue
    if current:
        changes.append(current.change)
    for change in changes:
        if pointer and _is_named(change, pointer):
            return change
    if not changes:
        raise make_missing_pointer_error(folder, model)
    return changes[-1]
