"""Who put which release in production, when and why.

A change is written twice: inside current.json, where the rename that makes it true also makes it known, and
then as a line at the end of history.jsonl. So a crash between the two loses nothing: readers add the change
that current.json holds, and the next writer appends it. A line torn by a crash or a full disk counts as not
written.
"""

import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import EdgelineError
from locations import read_bytes
from release.documents import (
    damaged,
    digest_field,
    field,
    format_time,
    now,
    parse_object,
    positive,
    render_object,
    time_field,
)
from release.layout import PushFolder

ACTIONS = ("push", "promote", "rollback")


@dataclass(frozen=True)
class Change:
    """One change of what is in production."""

    number: int  # rises by one with each change, also a rollback: a device can tell new from replayed
    action: str
    when: str
    who: str
    from_version: int | None
    to_version: int
    manifest_sha256: str
    reason: str

    def to_document(self) -> dict[str, Any]:
        """As it stands in history.jsonl."""
        return {
            "number": self.number,
            "action": self.action,
            "when": self.when,
            "who": self.who,
            "from": self.from_version,
            "to": self.to_version,
            "manifest_sha256": self.manifest_sha256,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class History:
    """All changes of one model, oldest first, and the numbers of the lines that cannot be read."""

    changes: tuple[Change, ...] = ()
    damaged_lines: tuple[int, ...] = ()

    @property
    def last(self) -> Change | None:
        """The newest change."""
        return self.changes[-1] if self.changes else None


def read_pointer(folder: PushFolder, model: str) -> Change | None:
    """The change that current.json holds, or None where nothing is in production.

    Raises:
        EdgelineError: The file is damaged.
    """
    path = folder.pointer(model)
    try:
        raw = read_bytes(path)
    except FileNotFoundError:
        return None
    where = folder.relative(path)
    document = parse_object(raw, where)
    change = _parse_change(field(document, "change", dict, where), where)
    version = positive(document, "version", where)
    digest = digest_field(document, "manifest_sha256", where)
    if (version, digest) != (change.to_version, change.manifest_sha256):
        raise damaged(where, f"version {version}", f"version {change.to_version}, as its 'change' says")
    return change


def render_pointer(change: Change) -> bytes:
    """The content of current.json."""
    document = {"version": change.to_version, "manifest_sha256": change.manifest_sha256}
    return render_object({**document, "change": change.to_document()}, "current.json")


def read_history(folder: PushFolder, model: str) -> History:
    """All changes, the one that current.json holds included, whether or not its line was written."""
    changes, damaged_lines = _read_lines(folder, model)
    try:
        pointer = read_pointer(folder, model)
    except EdgelineError:  # verify reports it; what the log knows is worth having without it
        pointer = None
    if pointer and (not changes or pointer.number > changes[-1].number):
        changes.append(pointer)
    return History(tuple(changes), tuple(damaged_lines))


def next_change(
    folder: PushFolder, model: str, action: str, version: int, manifest_sha256: str, reason: str
) -> Change:
    """The change that this user makes now, numbered after the last one; nothing is written."""
    last = read_history(folder, model).last
    return Change(
        number=last.number + 1 if last else 1,
        action=action,
        when=format_time(now()),
        who=who(),
        from_version=last.to_version if last else None,
        to_version=version,
        manifest_sha256=manifest_sha256,
        reason=reason,
    )


def catch_up(folder: PushFolder[Path], model: str) -> bool:
    """Append the newest change where its line is missing; only the writer may call this."""
    newest = read_history(folder, model).last
    logged, _ = _read_lines(folder, model)
    if newest is None or (logged and logged[-1] == newest):
        return False
    with folder.history(model).open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(newest.to_document(), allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def previous_version(changes: Sequence[Change]) -> int | None:
    """The release to which a rollback returns: the one that was in production before the current one.

    A release that was rolled back is not a release to return to, so a second rollback goes one further back.
    """
    stack: list[int] = []
    for change in changes:
        if change.action == "rollback" and change.to_version in stack:
            while stack[-1] != change.to_version:
                stack.pop()
        elif not stack or stack[-1] != change.to_version:
            stack.append(change.to_version)
    return stack[-2] if len(stack) > 1 else None


def who() -> str:
    """This user and machine, `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _read_lines(folder: PushFolder, model: str) -> tuple[list[Change], list[int]]:
    path = folder.history(model)
    try:
        lines = read_bytes(path).split(b"\n")[:-1]
    except FileNotFoundError:
        return [], []
    changes, damaged_lines = [], []
    for number, line in enumerate(lines, start=1):
        try:
            changes.append(_parse_change(parse_object(line, folder.relative(path)), folder.relative(path)))
        except EdgelineError:
            damaged_lines.append(number)
    return changes, damaged_lines


def _parse_change(document: Mapping[str, Any], where: str) -> Change:
    action = field(document, "action", str, where)
    if action not in ACTIONS:
        raise damaged(where, f"action {action!r}", f"one of {', '.join(ACTIONS)}")
    return Change(
        number=positive(document, "number", where),
        action=action,
        when=time_field(document, "when", where),
        who=field(document, "who", str, where),
        from_version=None if document.get("from") is None else positive(document, "from", where),
        to_version=positive(document, "to", where),
        manifest_sha256=digest_field(document, "manifest_sha256", where),
        reason=field(document, "reason", str, where),
    )
