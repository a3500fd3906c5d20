"""Whether a model's metrics keep the bounds: TFMA's own thresholds know no support and name no reason."""

from collections.abc import Iterator, Mapping

from gates.classes import find_blind, unjudged
from gates.settings import Bound, EvaluationSettings
from records.evaluation import Metrics, SliceMetrics
from records.verdict import Verdict

# TFMA's accuracies are float32: 9 right of 10 come as 0.8999999762, and 6 of 10 as 0.6000000238.
_ROUNDING = 1e-6
_NAN = float("nan")
_WORDS = {
    "auc": "AUC",
    "f1": "F1",
    "recall_at_false_alarms": "recall of alarms at the allowed rate of false ones",
}


def judge(metrics: Metrics, settings: EvaluationSettings) -> Verdict:
    """Applies the bounds to every slice with enough examples, and looks for classes never recognised."""
    broken = [
        found for bound in settings.bounds for found in _broken(bound, metrics.candidate, metrics.baseline)
    ]
    overall = metrics.candidate["overall"]["all"]
    label, majority = max(
        ((label, _value(values, "example_count")) for label, values in metrics.candidate["class"].items()),
        key=lambda item: item[1],
    )
    examples, accuracy = _value(overall, "example_count"), _value(overall, "accuracy")
    share = majority / examples
    # Here and below, "not above" instead of "below": an accuracy that is not a number passes nothing.
    if settings.beat_majority and not accuracy > share + _ROUNDING:
        reason = (
            f"Overall accuracy {accuracy:.3f} does not beat always saying {label}, which is right for"
            f" {share:.3f} of the examples."
        )
        broken.append(("overall", reason))
    broken += [(f"class {label}", reason) for label, reason in find_blind(metrics, settings)]
    warnings = unjudged(metrics, settings)
    if broken:
        slices = tuple(dict.fromkeys(name for name, _ in broken))
        return Verdict("evaluation", "fail", tuple(reason for _, reason in broken), warnings, slices=slices)
    summary = f"Accuracy {accuracy:.3f} on {examples:.0f} eval examples; every bound holds."
    if metrics.baseline is None:
        none = "Nothing is in production yet, so there is no baseline to compare with."
        return Verdict("evaluation", "no_baseline", (summary, none), warnings)
    before = _value(metrics.baseline["overall"]["all"], "accuracy")
    production = f"The model in production has {before:.3f} on the same examples."
    return Verdict("evaluation", "pass", (summary, production), warnings)


def _broken(
    bound: Bound, candidate: SliceMetrics, baseline: SliceMetrics | None
) -> Iterator[tuple[str, str]]:
    """Each slice that does not keep the bound, with the reason."""
    kind, metric = bound.slice, bound.metric
    for name, values in candidate[kind].items():
        support = _value(values, "example_count")
        if support < bound.min_support or metric not in values:
            continue
        value, slice_name = _value(values, metric), kind if kind == "overall" else f"{kind} {name}"
        # Of the examples of one class, the share that is right is its recall.
        words = "recall" if (kind, metric) == ("class", "accuracy") else _WORDS.get(metric, metric)
        where = words if kind == "overall" else f"{words} of {slice_name}"
        found = f"{where[0].upper()}{where[1:]} is {value:.3f} on {support:.0f} eval examples"
        if bound.lower is not None and not value >= bound.lower - _ROUNDING:
            yield slice_name, f"{found}; at least {bound.lower:.3f} required."
        if bound.upper is not None and not value <= bound.upper + _ROUNDING:
            yield slice_name, f"{found}; at most {bound.upper:.3f} allowed."
        if bound.max_drop is None or baseline is None or metric not in baseline[kind].get(name, {}):
            continue
        before = _value(baseline[kind][name], metric)
        worse, side = (value - before, "above") if metric == "loss" else (before - value, "below")
        if not worse <= bound.max_drop + _ROUNDING:
            yield (
                slice_name,
                f"{found}, {worse:.3f} {side} the model in production ({before:.3f});"
                f" at most {bound.max_drop:.3f} allowed.",
            )


def _value(values: Mapping[str, float | None], metric: str) -> float:
    """A metric; NaN where it was no number, which JSON does not know."""
    value = values.get(metric)
    return _NAN if value is None else value
