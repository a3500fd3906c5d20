"""The absolute bounds of a model: TFMA's own thresholds have no support and no reasons."""

from collections.abc import Iterator, Mapping
from functools import partial

from edgeline.gates.answers import ROUNDING
from edgeline.gates.evidence import Evidence, read_value
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import Bound
from edgeline.records.evaluation import Metrics
from edgeline.records.verdict import Finding

_WORDS = {
    "auc": "AUC",
    "f1": "F1",
    "recall_at_false_alarms": "recall of alarms at the allowed false alarm rate",
}


def judge_bounds(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding for each slice that is below or above what a bound allows."""
    judged = evidence.judged
    for number, bound in enumerate(evidence.settings.bounds):
        for name, slice_name, subject, values in list_slices(bound, judged.metrics):
            value = read_value(values, bound.metric)
            describe = partial(judged.describe, bound.slice, name, bound.metric)
            # "Not above" is not "below", here and in other judges: what is not a number passes nothing.
            if bound.lower is not None and not value >= bound.lower - ROUNDING:
                shown, limit = format_with_bound(value, bound.lower)
                text = f"{subject} is {shown} on {describe()}; at least {limit} required."
                yield _make_finding(text, number, "lower", slice_name, f"{name} ({shown})", value)
            if bound.upper is not None and not value <= bound.upper + ROUNDING:
                shown, limit = format_with_bound(value, bound.upper)
                text = f"{subject} is {shown} on {describe()}; at most {limit} allowed."
                yield _make_finding(text, number, "upper", slice_name, f"{name} ({shown})", value)


def _make_finding(text: str, number: int, limit: str, slice_name: str, short: str, value: float) -> Finding:
    lifted_by = name_limit(number, limit)
    return Finding(text, lifted_by, slice_name, short, code="bound", numbers={"value": value})


def name_limit(number: int, limit: str) -> str:
    """Returns the setting of a bound's limit with the value that turns it off."""
    return f"evaluation.bounds[{number}].{limit}=null"


def list_slices(bound: Bound, metrics: Metrics) -> Iterator[tuple[str, str, str, Mapping[str, float | None]]]:
    """Yields the slices of a bound: name, name in a verdict, metric in words, and metrics of the slice."""
    kind, metric = bound.slice, bound.metric
    # The accuracy on the examples of one class is its recall.
    words = "recall" if (kind, metric) == ("class", "accuracy") else _WORDS.get(metric, metric)
    for name, values in metrics.candidate.get(kind, {}).items():
        if read_value(values, "example_count") >= bound.min_support and metric in values:
            slice_name = kind if kind == "overall" else f"{kind} {name}"
            subject = words if kind == "overall" else f"{words} of {slice_name}"
            yield name, slice_name, f"{subject[0].upper()}{subject[1:]}", values
