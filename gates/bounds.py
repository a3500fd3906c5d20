"""Whether a model's metrics keep the bounds: TFMA's own thresholds know no support and name no reason.

A metric has dropped below production's where it is worse by more than `max_drop`, and that is not noise: on
less than `1 - confidence` of the resamples of the eval examples the trained model is no worse, so that the
one-sided bound of the paired bootstrap (`gates/paired.py`) excludes that there is no drop.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gates.classes import find_blind, unjudged
from gates.paired import RESAMPLES, Answers, no_drop
from gates.settings import Bound, EvaluationSettings
from records.evaluation import Metrics
from records.verdict import Verdict

# TFMA's accuracies are float32: 9 right of 10 come as 0.8999999762, and 6 of 10 as 0.6000000238.
_ROUNDING = 1e-6
_NAN = float("nan")
_WORDS = {
    "auc": "AUC",
    "f1": "F1",
    "recall_at_false_alarms": "recall of alarms at the allowed rate of false ones",
}


@dataclass(frozen=True)
class _Finding:
    """A slice beyond a bound; one that may be noise does not hold a model back."""

    slice: str
    reason: str
    noise: bool = False


def judge(metrics: Metrics, settings: EvaluationSettings, answers: Answers | None) -> Verdict:
    """Applies the bounds to every slice with enough examples, and looks for classes never recognised.

    `answers` are of the same examples as `metrics`; None while nothing is in production.
    """
    found = [finding for bound in settings.bounds for finding in _find(bound, metrics, settings, answers)]
    broken = [(finding.slice, finding.reason) for finding in found if not finding.noise]
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
    warnings = (*(finding.reason for finding in found if finding.noise), *unjudged(metrics, settings))
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


def _find(
    bound: Bound, metrics: Metrics, settings: EvaluationSettings, answers: Answers | None
) -> Iterator[_Finding]:
    """Each slice that is beyond the bound, with the reason."""
    kind, metric, before = bound.slice, bound.metric, (metrics.baseline or {}).get(bound.slice, {})
    for name, values in metrics.candidate[kind].items():
        support = _value(values, "example_count")
        if support < bound.min_support or metric not in values:
            continue
        value, slice_name = _value(values, metric), kind if kind == "overall" else f"{kind} {name}"
        # Of the examples of one class, the share that is right is its recall.
        words = "recall" if (kind, metric) == ("class", "accuracy") else _WORDS.get(metric, metric)
        where = words if kind == "overall" else f"{words} of {slice_name}"
        found = f"{where[0].upper()}{where[1:]} is {value:.3f} on {support:.0f} eval examples"
        if bound.lower is not None and not value >= bound.lower - _ROUNDING:
            yield _Finding(slice_name, f"{found}; at least {bound.lower:.3f} required.")
        if bound.upper is not None and not value <= bound.upper + _ROUNDING:
            yield _Finding(slice_name, f"{found}; at most {bound.upper:.3f} allowed.")
        if bound.max_drop is None or answers is None or metric not in before.get(name, {}):
            continue
        old = _value(before[name], metric)
        worse, side = (value - old, "above") if metric == "loss" else (old - value, "below")
        if worse <= bound.max_drop + _ROUNDING:
            continue
        found += f", {worse:.3f} {side} the model in production ({old:.3f});"
        allowed = f"at most {bound.max_drop:.3f} allowed."
        if math.isnan(worse):
            yield _Finding(slice_name, f"{found} {allowed}")
            continue
        share = no_drop(answers, kind, name, metric, settings.false_alarm_rate)
        noise = share >= 1 - settings.confidence
        sure = f"within noise: of {RESAMPLES:,} resamples {100 * share:.1f} % show no drop."
        if not noise:
            sure = f"{allowed} Sure: {100 * share:.1f} % of {RESAMPLES:,} resamples show no drop."
        yield _Finding(slice_name, f"{found} {sure}", noise)


def _value(values: Mapping[str, float | None], metric: str) -> float:
    """A metric; NaN where it was no number, which JSON does not know."""
    value = values.get(metric)
    return _NAN if value is None else value
