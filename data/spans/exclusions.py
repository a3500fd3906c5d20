"""Exclusions: the spans that no run reads, with who decided so, when and why.

DIR/excluded.jsonl has a JSON object a line; lines are only appended, and the newest line of a span counts:

{"action": "exclude", "span": "span-00042", "when": "2026-10-05T09:12:33Z", "who": "...", "reason": "..."}
"""

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from data.spans.decisions import append_entries, read_entries
from edgeline.errors import UsageError, suggest
from edgeline.journal import clean_reason, get_user_and_host, utc_now
from edgeline.labels import format_count
from edgeline.records.ingest import SPAN_NAME
from edgeline.store.locations import Location

FILE_NAME = "excluded.jsonl"


@dataclass(frozen=True)
class Decision:
    """A decision to exclude a span, or to include it again."""

    action: Literal["exclude", "include"]
    span: str
    when: str  # UTC, ISO 8601
    who: str  # user@host
    reason: str  # in a person's words

    def __post_init__(self) -> None:
        if not SPAN_NAME.fullmatch(self.span):
            raise ValueError(f"{self.span!r} is not the name of a span")


def read_decisions(data_dir: Location) -> list[Decision]:
    """Reads all decisions of a data folder, oldest first; raises as `decisions.read_entries` does."""
    otherwise = "A span that somebody excluded would be trained on."
    return read_entries(data_dir / FILE_NAME, Decision, "a decision on a span", otherwise)


def find_excluded_spans(data_dir: Location) -> dict[str, Decision]:
    """Returns the newest decision on each excluded span, by name. Raises as `read_decisions` does."""
    newest = {decision.span: decision for decision in read_decisions(data_dir)}
    return {span: decision for span, decision in newest.items() if decision.action == "exclude"}


def decide(
    data_dir: Location, action: Literal["exclude", "include"], span: str, reason: str, names: Collection[str]
) -> Decision:
    """Excludes one of the spans `names` from all later runs, or includes it again.

    Args:
        data_dir: The folder of spans, on a disk or in a store.
        action: To include is only possible for an excluded span.
        span: The name of the span, as the person typed it.
        reason: In the person's words; not empty.
        names: The spans that the folder has.

    Raises:
        UsageError: It would change nothing, or the reason is empty.
        EdgelineError: The decision cannot be written.
    """
    excluded = find_excluded_spans(data_dir)
    place = shlex.quote(str(data_dir))
    candidates = sorted(excluded if action == "include" else names)
    words = clean_reason(reason)
    if action == "exclude" and span in excluded:
        before = excluded[span]
        raise UsageError(
            f"{span} is excluded already, by {before.who} on {before.when}: {before.reason}",
            "Nothing was changed.",
            f"To include it again: edgeline data exclude {span} --undo --reason R --data {place}",
        )
    if span not in candidates:
        noun = "excluded span" if action == "include" else "span"
        count = format_count(len(candidates), noun) if candidates else f"no {noun}s"
        raise UsageError(
            f"{data_dir} has no {noun} {span}.",
            f"It has {count}.",
            suggest(span, candidates, 0.5) or f"`edgeline data list --data {place}` lists them.",
        )
    decision = Decision(action, span, utc_now(), get_user_and_host(), words)
    append_entries(data_dir / FILE_NAME, [decision], "Nothing was changed.")
    return decision
