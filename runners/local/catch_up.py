"""The new spans that a run reads, and the spans that no run read because the window was too short."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from data.spans.layout import Span, find_excluded_in_window, find_usable_spans
from edgeline.records.run import Run
from edgeline.records.spans import describe_spans
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


def warn_of_missed(run: Run) -> str | None:
    """Returns a warning about spans that came since the last run and do not fit in the window, or None."""
    if not run.missed_spans:
        return None
    needed = len(run.missed_spans) + len(run.spans)
    return (
        f"More spans have arrived since run {run.new_since} than data.window={len(run.spans)} holds: no run"
        f" was trained on {describe_spans(run.missed_spans)}. To include them: --set data.window={needed}"
    )
