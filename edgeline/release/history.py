"""The audit log: who put which release in production, and who collected which, when and why.

A change is written twice: inside current.json, where one rename puts it into effect and makes it known, and
then as a line at the end of history.jsonl. So a crash between the two loses nothing: readers add the change
in current.json, and the next writer appends it. A line torn by a crash or a full disk counts as not written.

Each change has the digest of the line before its own, so current.json, which has the newest change, vouches
for every line of the log, and the lines for the manifest of every release. The first line has no digest.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct, to_builtins

from edgeline.errors import EdgelineError
from edgeline.journal import append_line, get_user_and_host, parse_time, utc_now
from edgeline.release.layout import (
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

Action = Literal["push", "rollout", "promote", "rollback", "collect"]
_REPAIRED_BY = "the next push, promote or rollback writes it from current.json"


class Collected(Struct, frozen=True, omit_defaults=True):
    """A release that was removed to free its space."""

    version: Positive
    identity: Digest | None = None  # see `manifest.identity_of`; None if the release was damaged


class Change(Struct, frozen=True, omit_defaults=True, rename={"from_version": "from", "to_version": "to"}):
    """One change of production, with the keys of a line of history.jsonl.

    A change that collects releases leaves the same one in production, and so does one that opens a canary. A
    rollback that ends a canary goes from the candidate to the release in production.
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
    def is_lower(self) -> bool:
        """Returns true if phones have to accept a lower version than before."""
        return min(self.versions) < (self.from_version or 0)

    @property
    def tried(self) -> str:
        """Returns a sentence on the open canary; empty if there is none."""
        canary = self.candidate
        return f"{canary.share} run the candidate, version {canary.version}." if canary else ""

    def to_line(self) -> bytes:
        """Returns its line in history.jsonl, without the line end."""
        return json.dumps(to_builtins(self)).encode()


class _Pointer(Struct, frozen=True, omit_defaults=True):
    """The content of current.json."""

    version: Positive
    manifest_sha256: Digest
    change: Change
    signed: Envelope | None = None


@dataclass(frozen=True)
class History:
    """The readable changes of one model, oldest first, and the problems of the log."""

    changes: tuple[Change, ...] = ()  # with that of current.json, even if its line was not written
    problems: tuple[str, ...] = ()  # a sentence each

    @property
    def last(self) -> Change | None:
        """The newest change; None if there is none."""
        return self.changes[-1] if self.changes else None

    @property
    def manifests(self) -> dict[int, str]:
        """The manifest digest of each version that was ever named by a pointer and was not collected."""
        digests, collected = {}, self.collected
        for change in self.changes:
            digests[change.to_version] = change.manifest_sha256
            if change.candidate:
                digests[change.candidate.version] = change.candidate.manifest_sha256
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


def read_pointer(folder: PushFolder, model: str) -> Change | None:
    """Reads the change in current.json; None if nothing is in production. Raises EdgelineError for damage."""
    pointer = _read_current(folder, model)
    return pointer.change if pointer else None


def _read_current(folder: PushFolder, model: str) -> _Pointer | None:
    path = folder.pointer(model)
    where = folder.relative(path)
    if (raw := read_document(folder, path)) is None:
        return None
    pointer = parse(raw, _Pointer, where)
    if pointer != _build_pointer(pointer.change, pointer.signed):
        expected = f"version {pointer.change.to_version}, as in its 'change'"
        raise damaged(where, f"version {pointer.version}", expected)
    return pointer


def find_envelope(folder: PushFolder, model: str) -> Envelope | None:
    """Reads the signed pointer in current.json; None if there is none, or the file is damaged."""
    with suppress(EdgelineError):
        pointer = _read_current(folder, model)
        return pointer.signed if pointer else None
    return None


def read_signed(folder: PushFolder, model: str) -> tuple[Pointer, str | None] | None:
    """Reads the signed pointer and its key; None if there is none. Raises EdgelineError if it is wrong."""
    return open_envelope(find_envelope(folder, model), folder.relative(folder.pointer(model)))


def open_envelope(envelope: Envelope | None, where: str) -> tuple[Pointer, str | None] | None:
    """Reads the signed pointer in the envelope of the file `where`, as `read_signed` does."""
    try:
        return envelope.read() if envelope else None
    except ValueError as error:
        raise EdgelineError(
            f"{where}: its signed pointer is not valid: {error}.",
            "Phones refuse it, and stay with the release that they have.",
            "Sign it again: `edgeline renew`.",
        ) from None


def find_signed(folder: PushFolder, model: str) -> tuple[Pointer, str | None] | None:
    """Reads the signed pointer and its key; None also if it is not right."""
    with suppress(EdgelineError):
        return read_signed(folder, model)
    return None


def find_pointer(folder: PushFolder, model: str) -> Change | None:
    """Reads the change in current.json; None also if the file is damaged, which `verify` reports."""
    with suppress(EdgelineError):
        return read_pointer(folder, model)
    return None


def render_pointer(change: Change, signed: Envelope | None) -> bytes:
    """Renders the content of current.json."""
    return render(_build_pointer(change, signed), "current.json")


def _build_pointer(change: Change, signed: Envelope | None) -> _Pointer:
    return _Pointer(change.to_version, change.manifest_sha256, change, signed)


def read_history(folder: PushFolder, model: str) -> History:
    """Reads all changes of one model."""
    lines, torn = _read_lines(folder, model)
    name = folder.relative(folder.history(model))
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
        if fault := _find_fault(change, line, before, first=number == 1):
            problems.append(f"{name}: line {number} {fault}")
        changes.append(change)
        before = change
    if torn:
        problems.append(f"{name}: its last line is incomplete; {_REPAIRED_BY}.")
    pointer = find_pointer(folder, model)
    if pointer and pointer != before:
        problems.append(f"{name}: {_describe_end(changes, pointer)}")
        if not changes or pointer.number >= changes[-1].number:
            changes = [change for change in changes if change.number < pointer.number] + [pointer]
    return History(tuple(changes), tuple(problems))


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


def make_change(
    folder: PushFolder,
    model: str,
    action: Action,
    production: Production,
    reason: str,
    collected: Sequence[Collected] = (),
    candidate: Canary | None = None,
) -> Change:
    """Returns a change by this user, now, numbered after the last one; nothing is written."""
    last = read_history(folder, model).last
    withdrawn = last.candidate if last and action == "rollback" else None
    return Change(
        number=last.number + 1 if last else 1,
        action=action,
        when=utc_now(),
        who=get_user_and_host(),
        from_version=withdrawn.version if withdrawn else last.to_version if last else None,
        to_version=production.version,
        manifest_sha256=production.manifest_sha256,
        # A terminal that is not in UTF-8 gives lone surrogates, with which many readers refuse current.json.
        reason=reason.encode(errors="backslashreplace").decode(),
        previous_sha256=hash_bytes(last.to_line()) if last else None,
        collected=tuple(collected),
        candidate=candidate,
    )


def catch_up(folder: PushFolder[Path], model: str) -> None:
    """Appends the newest change if its line is missing; only the writer may call this."""
    newest = read_history(folder, model).last
    if newest is not None and _read_lines(folder, model)[0][-1:] != [newest.to_line()]:
        with folder.history(model).open("a+b") as file:
            append_line(file, newest.to_line() + b"\n")


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


def _read_lines(folder: PushFolder, model: str) -> tuple[list[bytes], bytes]:
    """Reads the complete lines of history.jsonl, and the bytes after the last line end."""
    *lines, torn = (read_document(folder, folder.history(model)) or b"").split(b"\n")
    return lines, torn
