"""Figures computed from a model's answers: metrics by slice, their intervals, and the worst groups."""

import numpy as np
from numpy.typing import NDArray

from edgeline.gates.answers import Answers, Floats, build_measure
from edgeline.gates.settings import ALARM_METRICS, FEWEST_OF_A_CLASS
from edgeline.records.evaluation import Confusion, GroupShare, Metrics, SliceMetrics
from edgeline.records.training import Estimate

_METRICS = ("accuracy", "loss", "recall", "precision", "f1")
_MOST_GROUPS = 20


def compute_metrics(answers: Answers, group: str, false_alarm_rate: float) -> Metrics:
    """Computes the metrics of both models.

    Args:
        answers: The answers of the candidate; without a baseline, there are no metrics of one.
        group: The noun for a group in messages, such as `session`.
        false_alarm_rate: The largest share of normal examples that raise an alarm, 0..1.
    """
    candidate = _compute_model_metrics(answers, answers.candidate, false_alarm_rate)
    baseline = None
    if answers.baseline is not None:
        baseline = _compute_model_metrics(answers, answers.baseline, false_alarm_rate)
    return Metrics(
        candidate,
        baseline,
        confusion=_count_confusions(answers),
        group=group,
        estimates=_estimate_accuracies(answers),
        worst_groups=find_worst_groups(answers),
    )


def _compute_model_metrics(answers: Answers, probabilities: Floats, false_alarm_rate: float) -> SliceMetrics:
    metrics = {}
    for kind, names in answers.list_slices().items():
        metrics[kind] = {
            name: _compute_slice_metrics(answers, probabilities, kind, name, false_alarm_rate)
            for name in names
        }
    return metrics


def _compute_slice_metrics(
    answers: Answers, probabilities: Floats, kind: str, name: str, false_alarm_rate: float
) -> dict[str, float | None]:
    mask = answers.of(kind, name)
    normal = 0 if answers.normal is None else int((answers.labels[mask] == answers.normal).sum())
    has_both = answers.normal is not None and 0 < normal < mask.sum()
    values: dict[str, float | None] = {"example_count": float(mask.sum())}
    for metric in (*_METRICS, *(ALARM_METRICS if has_both else ())):
        groups, measure = build_measure(answers, probabilities, kind, name, metric, false_alarm_rate)
        (value,) = measure(np.ones((1, len(groups)), np.float32))
        values[metric] = float(value) if np.isfinite(value) else None
    if has_both:
        is_alarm = answers.labels[mask] != answers.normal
        predicted = answers.choose_classes(probabilities[mask])
        values |= _measure_alarms(is_alarm, (predicted >= 0) & (predicted != answers.normal))
    return values


def _measure_alarms(is_alarm: NDArray[np.bool_], is_raised: NDArray[np.bool_]) -> dict[str, float]:
    """Returns the shares of false and of missed alarms, and their F1, all 0..1; both kinds are there, [n]."""
    false, missed = int((is_raised & ~is_alarm).sum()), int((is_alarm & ~is_raised).sum())
    hits = int(is_alarm.sum()) - missed
    return {
        "false_alarms": false / int((~is_alarm).sum()),
        "missed_alarms": missed / int(is_alarm.sum()),
        "alarm_f1": 2 * hits / (2 * hits + false + missed),
    }


def _count_confusions(answers: Answers) -> Confusion:
    rows = np.zeros((len(answers.classes), len(answers.classes)), int)
    predicted = answers.choose_classes(answers.candidate)
    has_answer = (predicted >= 0) & (predicted < len(answers.classes))
    np.add.at(rows, (answers.labels[has_answer], predicted[has_answer]), 1)
    return Confusion(answers.classes, tuple(map(tuple, rows.tolist())))


def _estimate_accuracies(answers: Answers) -> dict[str, dict[str, Estimate]]:
    """Returns the candidate's accuracy by kind and slice, with its interval and the number of groups."""
    right = answers.find_right(answers.candidate)
    estimates: dict[str, dict[str, Estimate]] = {}
    for kind, names in answers.list_slices().items():
        for name in names:
            mask = answers.of(kind, name)
            estimates.setdefault(kind, {})[name] = Estimate.of(right[mask], answers.groups[mask])
    return estimates


def find_worst_groups(answers: Answers) -> tuple[GroupShare, ...]:
    """Returns the groups with the smallest shares of right answers; none if no examples share a group.

    Groups of fewer than five examples are left out if there are larger ones.
    """
    if not answers.grouped:
        return ()
    sizes = np.bincount(answers.groups)
    enough = sizes >= min(FEWEST_OF_A_CLASS, sizes.max())
    shares = [
        np.bincount(answers.groups, weights=answers.find_right(probabilities)) / np.maximum(sizes, 1)
        for probabilities in (answers.candidate, answers.baseline)
        if probabilities is not None
    ]
    # The larger one of two equal groups comes first.
    order = np.lexsort((-sizes, shares[0]))
    names = answers.group_names
    return tuple(
        GroupShare(names[number], int(sizes[number]), *(float(share[number]) for share in shares))
        for number in order[enough[order]][:_MOST_GROUPS]
    )
