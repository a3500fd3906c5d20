"""The spans of a run in words."""

from edgeline.records.run import Run
from edgeline.records.spans import describe_exclusion, describe_spans


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
    keys = ("span", "who", "when", "reason")
    return lines + [
        describe_exclusion(*(decision.get(key, "?") for key in keys)) for decision in run.excluded_spans
    ]
