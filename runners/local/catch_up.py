"""The new spans that a run reads, and the spans that no run read because the window was too short."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from data.spans.layout import Span, describe_spans, find_excluded_in_window, find_usable_spans
from edgeline.records.run import Run
from edgeline.store.locations import Location


def collect_span_fields(
    data: Location, spans: Sequence[Span], window: int, earlier: Sequence[Run]
) -> dict[str, Any]:
    """Returns the fields of a run's record that say which spans it reads and which of them are new.

    `spans` are those of `data` that the run reads, at most `window`, and `earlier` the earlier runs of its
    workload, both oldest first.
    """
    names = tuple(span.name for span in spans)
    fields: dict[str, Any] = {
        "spans": names,
        "excluded_spans": tuple(
            asdict(decision) for decision in find_excluded_in_window(data, spans, window)
        ),
    }
    judged = [run for run in earlier if run.spans and run.data == str(data) and run.has_verdict]
    if judged:
        seen = {name for run in judged for name in run.spans}
        last = judged[-1]
        fields["new_since"] = last.id
        fields["new_spans"] = tuple(name for name in names if name not in seen)
        # Numbers in span names have leading zeros, so the names sort like the numbers.
        fields["missed_spans"] = tuple(
            span.name for span in find_usable_spans(data) if max(last.spans) < span.name < names[0]
        )
    return fields


def format_spans(run: Run) -> list[str]:
    """Formats the spans in the record of a run, a sentence a line; returns no line where it names none."""
    if not run.spans:
        return []
    window = describe_spans(run.spans)
    if run.new_since is None:
        lines = [f"Spans: {window}."]
    elif not run.new_spans:
        lines = [f"No new span since run {run.new_since}: {window}."]
    else:
        count, names = len(run.new_spans), describe_spans(run.new_spans)
        plural = "s" if count > 1 else ""
        lines = [f"{count} new span{plural} since run {run.new_since}: {names} (read: {window})."]
    return lines + [_format_exclusion(decision) for decision in run.excluded_spans]


def _format_exclusion(decision: Mapping[str, Any]) -> str:
    span, who, when, reason = (decision.get(key, "?") for key in ("span", "who", "when", "reason"))
    return f"Excluded: {span}, by {who} on {when}: {reason}"


def warn_of_missed(run: Run) -> str | None:
    """Returns a warning about spans that came since the last run and do not fit in the window, or None."""
    if not run.missed_spans:
        return None
    needed = len(run.missed_spans) + len(run.spans)
    return (
        f"More spans have arrived since run {run.new_since} than data.window={len(run.spans)} holds: no run"
        f" was trained on {describe_spans(run.missed_spans)}. To include them: --set data.window={needed}"
    )
