"""The new spans that a run reads, and the spans that no run read because the window was too short."""

from collections.abc import Sequence
from dataclasses import replace

from data.spans.layout import Span, find_excluded_in_window, find_usable_spans
from edgeline.records.ingest import Excluded, describe_spans
from edgeline.records.run import Run
from edgeline.store.locations import Location


def add_spans(
    run: Run,
    data: Location,
    spans: Sequence[Span],
    window: int,
    earlier: Sequence[Run],
    until: str | None = None,
) -> Run:
    """Returns the record of a run with the spans that it reads, and which of them are new.

    Args:
        run: The record so far.
        data: The place of the spans; runs on other data do not count as earlier.
        spans: Those that the run reads, oldest first; at least one.
        window: The largest number of spans that the run reads.
        earlier: The earlier runs of its workload, oldest first.
        until: The name of the last span that the run may read; None for the newest.
    """
    names = tuple(span.name for span in spans)
    excluded = tuple(
        Excluded(entry.span, entry.who, entry.when, entry.reason)
        for entry in find_excluded_in_window(data, spans, window, until)
    )
    run = replace(run, spans=names, excluded_spans=excluded)
    judged = [run for run in earlier if run.spans and run.data == str(data) and run.has_verdict]
    if not judged:
        return run
    judged_spans = set().union(*(before.spans for before in judged))
    last = judged[-1]
    # Numbers in span names have leading zeros, so the names sort like the numbers.
    usable = (span.name for span in find_usable_spans(data))
    return replace(
        run,
        new_since=last.id,
        new_spans=tuple(name for name in names if name not in judged_spans),
        missed_spans=tuple(name for name in usable if max(judged_spans) < name < names[0]),
    )


def warn_of_missed(run: Run) -> str | None:
    """Returns a warning about spans that came since the last run and do not fit in the window, or None."""
    if not run.missed_spans:
        return None
    needed = len(run.missed_spans) + len(run.spans)
    return (
        f"More spans have arrived since run {run.new_since} than data.window={len(run.spans)} holds: no run"
        f" was trained on {describe_spans(run.missed_spans)}. To include them: --set data.window={needed}"
    )
