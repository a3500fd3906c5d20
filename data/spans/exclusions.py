"""Exclusions: the spans that no run reads, with who decided so, when and why.

DIR/excluded.jsonl has a JSON object a line; lines are only appended, and the newest line of a span counts:

{"action": "exclude", "span": "span-00042", "when": "2026-10-05T09:12:33Z", "who": "...", "reason": "..."}
"""

import difflib
import fcntl
import json
import re
import shlex
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.journal import append_line, get_user_and_host, utc_now
from edgeline.records.json_file import convert
from edgeline.store import objects
from edgeline.store.locations import Location, read_bytes

FILE_NAME = "excluded.jsonl"
SPAN_NAME = re.compile(r"span-(\d{5})")


@dataclass(frozen=True)
class Decision:
    """A decision to exclude a span, or to include it again."""

    action: Literal["exclude", "include"]
    span: str
    when: str  # UTC, ISO 8601
    who: str  # user@host
    reason: str  # in a person's words


def read_decisions(data_dir: Location) -> list[Decision]:
    """Reads all decisions of a data folder, oldest first.

    A last line without its line end is ignored: the command that wrote it was interrupted.

    Raises:
        DataRefused: The file cannot be read, or a line is no decision.
    """
    try:
        content = read_bytes(data_dir / FILE_NAME)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataRefused(
            f"{data_dir / FILE_NAME} cannot be read ({error.strerror or error}).",
            "A span that somebody excluded would be trained on.",
            "Fix the file.",
        ) from None
    lines = content.split(b"\n")[:-1]
    return [_parse_decision(line, data_dir, number) for number, line in enumerate(lines, start=1)]


def _parse_decision(line: bytes, data_dir: Location, number: int) -> Decision:
    try:
        decision: Decision = convert(json.loads(line), Decision)
        if not SPAN_NAME.fullmatch(decision.span):
            raise ValueError
        return decision
    except (ValueError, RecursionError):
        raise DataRefused(
            f"{data_dir / FILE_NAME} line {number} is not a decision on a span.",
            "A span that somebody excluded would be trained on.",
            "Fix that line, or remove it.",
        ) from None


def find_excluded_spans(data_dir: Location) -> dict[str, Decision]:
    """Returns the newest decision on each excluded span, by name. Raises as `read_decisions` does."""
    newest = {decision.span: decision for decision in read_decisions(data_dir)}
    return {span: decision for span, decision in newest.items() if decision.action == "exclude"}


def decide(
    data_dir: Location, action: Literal["exclude", "include"], span: str, reason: str, known: Collection[str]
) -> Decision:
    """Excludes one of the `known` spans from all later runs, or includes it again.

    Raises:
        UsageError: The span does not exist, is excluded or included already, or the reason is empty.
        EdgelineError: The decision cannot be written.
    """
    excluded, place = find_excluded_spans(data_dir), shlex.quote(str(data_dir))
    candidates = sorted(excluded if action == "include" else known)
    if not reason.strip():
        raise UsageError("The reason is empty.", "The next person relies on it.", "Pass it with --reason R.")
    if action == "exclude" and span in excluded:
        before = excluded[span]
        raise UsageError(
            f"{span} is excluded already, by {before.who} on {before.when}: {before.reason}",
            "Nothing was changed.",
            f"To include it again: edgeline data exclude {span} --undo --reason R --data {place}",
        )
    if span not in candidates:
        near = difflib.get_close_matches(span, candidates, 1, cutoff=0.5)
        noun = "excluded span" if action == "include" else "span"
        count = f"{len(candidates) or 'no'} {noun}{'' if len(candidates) == 1 else 's'}"
        raise UsageError(
            f"{data_dir} has no {noun} {span}.",
            f"It has {count}.",
            f"Did you mean {near[0]}?" if near else f"`edgeline data list --data {place}` lists them.",
        )
    decision = Decision(action, span, utc_now(), get_user_and_host(), " ".join(reason.split()))
    try:
        append_decision(data_dir / FILE_NAME, json.dumps(asdict(decision)).encode() + b"\n")
    except OSError as error:
        raise EdgelineError(
            f"{data_dir / FILE_NAME} cannot be written ({error.strerror or error}).",
            "Nothing was changed.",
            "Grant this user write permission there, and run the same command again.",
        ) from None
    return decision


def append_decision(path: Location, lines: bytes) -> None:
    """Adds lines after the last whole one, and flushes them to the disk."""
    if not isinstance(path, Path):
        # An object store has no locks, and replaces an object only if its version is the given one: the
        # slower of two writers reads the object again.
        is_written = False
        while not is_written:
            if version := objects.version_of(path):
                before = read_bytes(path)
                is_written = objects.replace(path, before[: before.rfind(b"\n") + 1] + lines, version)
            else:
                is_written = objects.create(path, lines)
        return
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        append_line(file, lines)
