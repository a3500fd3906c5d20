"""The figures that follow from a model's answers: metrics by slice, their intervals, and the worst groups."""

import numpy as np

from gates.answers import Answers, measure_of
from gates.settings import FEWEST_OF_A_CLASS
from intervals import interval
from records.evaluation import Confusion, GroupShare, Metrics
from records.training import Estimate

_METRICS = ("accuracy", "loss", "recall", "precision", "f1")
_OF_ALARMS = ("auc", "recall_at_false_alarms")
_MOST_GROUPS = 20


def metrics_of(answers: Answers, group: str, false_alarm_rate: float) -> Metrics:
    """The candidate's metrics, where TFMA has not measured them; `group` is what a group is called."""
    return Metrics(
        {
            kind: {name: _metrics(answers, kind, name, false_alarm_rate) for name in names}
            for kind, names in answers.by_kind().items()
        },
        confusion=_confusion(answers),
        group=group,
        estimates=estimates_of(answers),
        worst_groups=find_worst_groups(answers),
    )


def _metrics(answers: Answers, kind: str, name: str, false_alarm_rate: float) -> dict[str, float | None]:
    here = answers.of(kind, name)
    normal = 0 if answers.normal is None else int((answers.labels[here] == answers.normal).sum())
    has_both = answers.normal is not None and 0 < normal < here.sum()
    values: dict[str, float | None] = {"example_count": float(here.sum())}
    for metric in (*_METRICS, *(_OF_ALARMS if has_both else ())):
        groups, measure = measure_of(answers, answers.candidate, kind, name, metric, false_alarm_rate)
        (value,) = measure(np.ones((1, len(groups)), np.float32))
        values[metric] = float(value) if np.isfinite(value) else None
    return values


def _confusion(answers: Answers) -> Confusion:
    rows = np.zeros((len(answers.classes), len(answers.classes)), int)
    said = answers.said(answers.candidate)
    known = (said >= 0) & (said < len(answers.classes))
    np.add.at(rows, (answers.labels[known], said[known]), 1)
    return Confusion(answers.classes, tuple(map(tuple, rows.tolist())))


def estimates_of(answers: Answers) -> dict[str, dict[str, Estimate]]:
    """The candidate's accuracy by kind and slice, with its interval and the number of groups."""
    right = answers.right(answers.candidate)
    found: dict[str, dict[str, Estimate]] = {}
    for kind, names in answers.by_kind().items():
        for name in names:
            here = answers.of(kind, name)
            groups = answers.groups[here]
            found.setdefault(kind, {})[name] = Estimate(
                len(groups), len(np.unique(groups)), float(right[here].mean()), *interval(right[here], groups)
            )
    return found


def find_worst_groups(answers: Answers) -> tuple[GroupShare, ...]:
    """The groups with the smallest shares of right answers; none where each example is alone.

    Groups of fewer than five examples are left out where there are larger ones.
    """
    if not answers.grouped:
        return ()
    sizes = np.bincount(answers.groups)
    enough = sizes >= min(FEWEST_OF_A_CLASS, sizes.max())
    shares = [
        np.bincount(answers.groups, weights=answers.right(said)) / np.maximum(sizes, 1)
        for said in (answers.candidate, answers.baseline)
        if said is not None
    ]
    # Of equal ones the largest.
    order = np.lexsort((-sizes, shares[0]))
    return tuple(
        GroupShare(answers.group_names[number], int(sizes[number]), *(float(of[number]) for of in shares))
        for number in order[enough[order]][:_MOST_GROUPS]
    )
