"""The audit log: who put which release in production, and who collected which, when and why.

A change is written twice: inside current.json, where one rename puts it into effect and makes it known, and
then as a line at the end of history.jsonl. So a crash between the two loses nothing: readers add the change
in current.json, and the next writer appends it. A line torn by a crash or a full disk counts as not written.

Each change has the digest of the line before its own, so current.json, which has the newest change, vouches
for every line of the log, and the lines for the manifest of every release. The first line has no digest. In a
signed store, the signed pointer has the digest of the newest line (`Pointer.log`): a writer believes what it
can follow from there (`state.py`).
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct, to_builtins

from edgeline.errors import EdgelineError
from edgeline.journal import append_line, parse_time
from edgeline.release.layout import (
    MOST_DOCUMENT_BYTES,
    Damaged,
    Digest,
    Positive,
    PushFolder,
    damaged,
    hash_bytes,
    parse,
    read_document,
    render,
)
from edgeline.release.pointer import Canary, Envelope, Pointer, Production
from edgeline.store.locations import open_without_links

Action = Literal["push", "rollout", "promote", "rollback", "collect", "rotate", "trust"]
_MOST_LOG_BYTES = 64_000_000  # a hundred thousand changes
_REPAIRED_BY = "the next push, promote or rollback writes it from current.json"
# The way on from a store with parts that nobody signed, or that are not as they were signed.
DO_TRUST = (
    "Restore the file from a backup. Or look with `edgeline repair --trust-unsigned --reason R`, which shows"
    " what it would sign, and asks."
)


class Collected(Struct, frozen=True, omit_defaults=True):
    """A release that was removed to free its space."""

    version: Positive
    identity: Digest | None = None  # see `manifest.identity_of`; None if the release was damaged


class Change(Struct, frozen=True, omit_defaults=True, rename={"from_version": "from", "to_version": "to"}):
    """One change of production, with the keys of a line of history.jsonl.

    A change that collects releases leaves the same one in production, and so do one that opens a canary, one
    of the signing key, and one by which a person vouches for what nobody had signed. A rollback that ends a
    canary goes from the candidate to the release in production.
    """

    number: Positive  # rises by one with each change, also a rollback, so that a device detects replays
    action: Action
    when: str
    who: str
    from_version: Positive | None
    to_version: Positive
    manifest_sha256: Digest
    reason: str
    previous_sha256: Digest | None = None  # of the previous line, without its end; the first has none
    collected: tuple[Collected, ...] = ()
    candidate: Canary | None = None  # the canary that is open after this change
    trusted: tuple[Production, ...] = ()  # releases for which a person vouched
    previous_key: Digest | None = None  # that signed the store before, if it was another than now

    def __post_init__(self) -> None:
        parse_time(self.when)

    @property
    def production(self) -> Production:
        """Returns the release in production."""
        return Production(self.to_version, self.manifest_sha256)

    @property
    def versions(self) -> tuple[int, ...]:
        """Returns the version in production, and then that of the candidate, if there is one."""
        return (self.to_version, self.candidate.version) if self.candidate else (self.to_version,)

    @property
    def moves_production(self) -> bool:
        """Returns true if it puts a release in production, on some phones or on all."""
        return self.action not in ("collect", "rotate", "trust")

    @property
    def is_lower(self) -> bool:
        """Returns true if phones have to accept a lower version than before."""
        return self.moves_production and min(self.versions) < (self.from_version or 0)

    @property
    def tried(self) -> str:
        """Returns a sentence on the open canary; empty if there is none."""
        canary = self.candidate
        return f"{canary.share} run the candidate, version {canary.version}." if canary else ""

    def to_line(self) -> bytes:
        """Returns its line in history.jsonl, without the line end."""
        return json.dumps(to_builtins(self)).encode()


@dataclass(frozen=True)
class History:
    """The readable changes of one model, oldest first, and the problems of the log."""

    changes: tuple[Change, ...] = ()  # with that of current.json, even if its line was not written
    problems: tuple[str, ...] = ()  # a sentence each
    is_signed: bool = False  # whether current.json has a signature, right or wrong
    first: int = 1  # the number of the oldest change for which somebody vouches
    has_pointer: bool = False  # whether current.json can be believed

    @property
    def last(self) -> Change | None:
        """The newest change; None if there is none."""
        return self.changes[-1] if self.changes else None

    @property
    def manifests(self) -> dict[int, str]:
        """The manifest digest of each version that was ever named by a pointer and was not collected."""
        digests: dict[int, str] = {}
        collected = self.collected
        for change in self.changes:
            named = (*change.trusted, change.production, *filter(None, [change.candidate]))
            digests |= {release.version: release.manifest_sha256 for release in named}
        return {version: digest for version, digest in digests.items() if version not in collected}

    @property
    def collected(self) -> dict[int, tuple[Collected, Change]]:
        """Each collected version, with the change that collected it."""
        return {release.version: (release, change) for change in self.changes for release in change.collected}

    @property
    def rolled_back(self) -> set[int]:
        """The versions that a rollback took out of production, or withdrew as a candidate."""
        return {change.from_version or 0 for change in self.changes if change.action == "rollback"}

    @property
    def rollout(self) -> Change | None:
        """The change that opened the open canary, or widened it; None if none is open."""
        if self.last is None or self.last.candidate is None:
            return None
        return next((change for change in reversed(self.changes) if change.action == "rollout"), self.last)


class Differing(Damaged):
    """A current.json whose signed pointer says something else than its other keys."""


class Current(Struct, frozen=True, omit_defaults=True):
    """The content of current.json."""

    version: Positive
    manifest_sha256: Digest
    change: Change
    signed: Envelope | None = None


def read_current(folder: PushFolder, model: str) -> Current | None:
    """Reads current.json; None if nothing is in production.

    Raises:
        Differing: Its parts name different things, so that phones would do other than servers.
        Damaged: It is damaged, or its signature is not valid.
    """
    current = _parse_current(folder, model)
    if current:
        _check_current(folder, model, current)
    return current


def _parse_current(folder: PushFolder, model: str) -> Current | None:
    """Reads current.json as it is, whether its parts agree or not. Raises Damaged."""
    path = folder.pointer(model)
    raw = read_document(folder, path, MOST_DOCUMENT_BYTES)
    return parse(raw, Current, folder.relative(path)) if raw is not None else None


def find_current(folder: PushFolder, model: str) -> Current | None:
    """Reads current.json as it is, whether its parts agree or not; None if it is absent or damaged."""
    with suppress(EdgelineError):
        return _parse_current(folder, model)
    return None


def _check_current(folder: PushFolder, model: str, current: Current) -> Pointer | None:
    """Returns the signed pointer of current.json. Raises as `read_current` does."""
    where = folder.relative(folder.pointer(model))
    change = current.change
    if current != _build_current(change, current.signed):
        raise damaged(where, f"version {current.version}", f"version {change.to_version}, as in its 'change'")
    if current.signed is None:
        return None

    try:
        pointer, signer = current.signed.read()
    except ValueError as error:
        raise Damaged(
            f"{where}: its signed pointer is not valid: {error}.",
            "Phones refuse it, and stay with the release that they have.",
            DO_TRUST,
        ) from None
    if difference := _find_difference(model, change, pointer):
        raise Differing(
            f"{where}: {difference}.",
            "Phones believe what is signed, servers the rest: somebody wrote to the store without the key."
            if signer
            else "Phones would run another release than servers.",
            DO_TRUST,
        )
    return pointer


def read_pointer(folder: PushFolder, model: str) -> Change | None:
    """Reads the change in current.json; None if nothing is in production. Raises as `read_current` does."""
    current = read_current(folder, model)
    return current.change if current else None


def _find_difference(model: str, change: Change, pointer: Pointer) -> str:
    """Returns both values where a signed pointer and the change beside it differ; else ""."""
    # Earlier versions of this code did not sign anew when they collected releases.
    is_behind = pointer.log is None and change.action == "collect" and change.number > pointer.counter
    values = {
        "the model": (model, pointer.model),
        "production": (_name(change.production), _name(pointer.production)),
        "the candidate": (_name(change.candidate), _name(pointer.candidate)),
        "the number of the change": (change.number, change.number if is_behind else pointer.counter),
    }
    if pointer.log:
        values["the newest line of the log"] = (hash_bytes(change.to_line()), pointer.log.sha256)
    for what, (plain, signed) in values.items():
        if plain != signed:
            return f"{what} is {plain} in its 'change', and {signed} in its signed pointer"
    return ""


def _name(release: Production | None) -> str:
    if release is None:
        return "none"
    share = f" for {release.share}" if isinstance(release, Canary) else ""
    return f"version {release.version}{share}, manifest {release.manifest_sha256}"


def find_pointer(folder: PushFolder, model: str) -> Change | None:
    """Reads the change in current.json; None also if the file is damaged, which `verify` reports."""
    with suppress(EdgelineError):
        return read_pointer(folder, model)
    return None


def render_pointer(change: Change, signed: Envelope | None) -> bytes:
    """Renders the content of current.json."""
    return render(_build_current(change, signed), "current.json")


def _build_current(change: Change, signed: Envelope | None) -> Current:
    return Current(change.to_version, change.manifest_sha256, change, signed)


def read_history(folder: PushFolder, model: str) -> History:
    """Reads all changes of one model. Lines before the first that somebody vouches for are not judged."""
    lines, torn = read_lines(folder, model)
    name = folder.relative(folder.history(model))
    current = find_current(folder, model)
    pointer = None
    first = 1
    with suppress(EdgelineError):
        signed = _check_current(folder, model, current) if current else None
        pointer = current.change if current else None
        first = signed.log.first if signed and signed.log else 1

    changes: list[Change] = []
    problems: list[str] = []
    before: Change | None = None
    for number, line in enumerate(lines, start=1):
        try:
            change = parse(line, Change, name)
        except EdgelineError:
            problems.append(f"{name}: line {number} cannot be read.")
            before = None
            continue
        if first > 1 and change.number == first:
            problems, before = [], None
        elif fault := _find_fault(change, line, before, first=number == 1):
            problems.append(f"{name}: line {number} {fault}")
        changes.append(change)
        before = change

    if torn:
        problems.append(f"{name}: its last line is incomplete; {_REPAIRED_BY}.")
    if pointer and pointer != before:
        problems.append(f"{name}: {_describe_end(changes, pointer)}")
        changes = [change for change in changes if change.number < pointer.number] + [pointer]
    is_signed = bool(current and current.signed and current.signed.signatures)
    return History(tuple(changes), tuple(problems), is_signed, first, pointer is not None)


def _find_fault(change: Change, line: bytes, before: Change | None, first: bool) -> str:
    """Returns the fault of a readable line, or ""; `before` is the change of the line before, if readable."""
    if change.to_line() != line:
        return "was changed after it was written."
    if first and change.number != 1:
        return f"is change {change.number}: the changes before it are missing."
    if before is None:
        return ""
    if change.number != before.number + 1 or change.previous_sha256 != hash_bytes(before.to_line()):
        return "does not follow the line before it: one of them was changed, or lines are missing."
    return ""


def _describe_end(changes: Sequence[Change], pointer: Change) -> str:
    """Describes the fault of a log that does not end with the change of current.json."""
    last = changes[-1] if changes else None
    if pointer.number == (last.number if last else 0) + 1:
        return f"change {pointer.number} is missing; {_REPAIRED_BY}."
    if last and last.number == pointer.number:
        return "its last line differs from the change in current.json."
    end = f"it ends with change {last.number}" if last else "it has no changes"
    return f"{end}. Expected change {pointer.number}, as in current.json."


def append_change(folder: PushFolder[Path], model: str, change: Change) -> None:
    """Appends the line of a change, unless it is the last one already; only the writer may call this.

    Args:
        folder: The folder that the writer has locked, or its local copy of a store.
        model: Its name there.
        change: The newest one, whose line a killed writer may have left unwritten.
    """
    if read_lines(folder, model)[0][-1:] != [change.to_line()]:
        folder.forget(folder.history(model))
        with open(folder.history(model), "a+b", opener=open_without_links) as file:
            append_line(file, change.to_line() + b"\n")


def find_previous_version(changes: Sequence[Change]) -> int | None:
    """Returns the version that a rollback goes to: the one in production before the current one, or None.

    A rollback never goes to a release that was rolled back, so a second rollback goes one further back.
    """
    stack: list[int] = []
    for change in changes:
        if change.action == "rollback":
            stack = [version for version in stack if version != change.from_version]
            while change.to_version in stack and stack[-1] != change.to_version:
                stack.pop()
        stack.append(change.to_version)
    return next((version for version in reversed(stack) if version != stack[-1]), None)


def read_lines(folder: PushFolder, model: str) -> tuple[list[bytes], bytes]:
    """Reads the complete lines of history.jsonl, and the bytes after the last line end."""
    *lines, torn = (read_document(folder, folder.history(model), _MOST_LOG_BYTES) or b"").split(b"\n")
    return lines, torn


def follow_back(
    folder: PushFolder, model: str, last: Change, first: int = 1
) -> tuple[tuple[Change, ...], list[bytes]]:
    """Returns the changes from number `first` to the last, oldest first, each named by a digest in the next.

    They end where a line does not fit.

    Args:
        folder: The store, or a writer's local copy of it.
        model: Its name there.
        last: The newest change, which is returned even if the log has no line of it.
        first: The oldest number that is wanted; lines before it are not parsed.

    Returns:
        The changes, and the lines before them as they are.
    """
    lines, _ = read_lines(folder, model)
    if lines and lines[-1] == last.to_line():
        lines.pop()
    name = folder.relative(folder.history(model))
    changes = [last]
    while lines and changes[-1].number > first and hash_bytes(lines[-1]) == changes[-1].previous_sha256:
        changes.append(parse(lines.pop(), Change, name))
    return tuple(reversed(changes)), lines
