"""What a run takes in that no run took in before, and what came too fast for the window to hold it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from data.spans.layout import Span, describe_spans, excluded_in_window, usable_spans
from locations import Location
from records.run import Run


def look(data: Location, spans: Sequence[Span], window: int, earlier: Sequence[Run]) -> dict[str, Any]:
    """The fields of a run's record that say which spans it reads and which of them are new.

    The spans of `data` that it reads, at most `window`, and the `earlier` runs of its workload: oldest first.
    """
    names = tuple(span.name for span in spans)
    fields: dict[str, Any] = {
        "spans": names,
        "excluded_spans": tuple(asdict(decision) for decision in excluded_in_window(data, spans, window)),
    }
    judged = [run for run in earlier if run.spans and run.data == str(data) and run.has_verdict]
    if judged:
        seen = {name for run in judged for name in run.spans}
        last = judged[-1]
        fields["new_since"] = last.id
        fields["new_spans"] = tuple(name for name in names if name not in seen)
        # The numbers in the names have leading zeros, so that the names sort as the numbers do.
        fields["missed_spans"] = tuple(
            span.name for span in usable_spans(data) if max(last.spans) < span.name < names[0]
        )
    return fields


def span_lines(run: Run) -> list[str]:
    """What the record of a run says of its spans, a sentence each; none where it says nothing."""
    if not run.spans:
        return []
    window = describe_spans(run.spans)
    if run.new_since is None:
        lines = [f"Spans: {window}."]
    elif not run.new_spans:
        lines = [f"No new span since run {run.new_since}: {window}."]
    else:
        count, them = len(run.new_spans), describe_spans(run.new_spans)
        plural = "s" if count > 1 else ""
        lines = [f"{count} new span{plural} since run {run.new_since}: {them} (read: {window})."]
    return lines + [_excluded_line(decision) for decision in run.excluded_spans]


def _excluded_line(decision: Mapping[str, Any]) -> str:
    span, who, when, reason = (decision.get(key, "?") for key in ("span", "who", "when", "reason"))
    return f"Excluded: {span}, by {who} on {when}: {reason}"


def missed_warning(run: Run) -> str | None:
    """What to do about spans that came since the last run and do not fit in the window."""
    if not run.missed_spans:
        return None
    enough = len(run.missed_spans) + len(run.spans)
    return (
        f"More spans came since run {run.new_since} than data.window={len(run.spans)} holds: no run was"
        f" trained on {describe_spans(run.missed_spans)}. To take them in: --set data.window={enough}"
    )
