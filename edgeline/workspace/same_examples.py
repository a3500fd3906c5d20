"""A comparison of the models of two runs on the same eval examples."""

import numpy as np
from numpy.typing import NDArray

from edgeline.gates.answers import Answers, Floats
from edgeline.gates.paired import estimate_no_drop
from edgeline.intervals import compute_group_interval
from edgeline.records.edge import Prediction
from edgeline.records.evaluation import REVIEWED
from edgeline.records.json_file import UNREADABLE
from edgeline.records.served import ROW
from edgeline.report.collect import read_answers
from edgeline.report.compare import SlicePair, Verdict
from edgeline.report.facts import Slice
from edgeline.report.sources import Sources

# With fewer changed answers not even a sign test is sure, if all changed to one side: 2 x 0.5^5 = 0.06.
_LEAST_CHANGED = 6
_CHANCE = 0.025  # on each side

# A prediction by its example, and whether it is right.
Side = dict[str, tuple[Prediction, bool]]
_RIGHT, _WRONG = [1.0, 0.0], [0.0, 1.0]


def compare_slices(first: Sources, second: Sources) -> tuple[tuple[SlicePair, ...], int]:
    """Compares both models by slice on the examples that both answered; returns the slices and the number.

    An example counts if both runs had the same label for it. Rows of a span do not count if one of them has
    another label that nobody gave it: in a file that was written again, the same line is another row.

    Returns no slices if those examples are fewer than half of either model's, or if answers are missing.
    """
    try:
        sides = _read_side(first), _read_side(second)
    except UNREADABLE:
        return (), 0
    reviewed = {*(REVIEWED.find(first.quarantine) or ()), *(REVIEWED.find(second.quarantine) or ())}
    shared = _list_shared(*sides, reviewed)
    if len(shared) * 2 < max(map(len, sides)) or not shared:
        return (), 0

    right = np.array([[side[name][1] for name in shared] for side in sides])
    # An example without a group is a group of its own.
    named = [(sides[0][name][0].group or sides[1][name][0].group, name) for name in shared]
    groups = np.unique([group or f"alone {name}" for group, name in named], return_inverse=True)[1]

    members: dict[tuple[str, str], list[int]] = {}
    for number, name in enumerate(shared):
        for key in _list_slices(sides[1][name][0]):
            members.setdefault(key, []).append(number)
    order = {kind: place for place, kind in enumerate(("overall", "class", "span"))}
    return tuple(
        _compare(*key, right[:, chosen], groups[chosen])
        for key, chosen in sorted(members.items(), key=lambda item: (order.get(item[0][0], 9), item[0]))
    ), len(shared)


def _read_side(sources: Sources) -> Side:
    return {prediction.example_id: (prediction, right) for prediction, _, right in read_answers(sources)}


def _list_shared(first: Side, second: Side, reviewed: set[str]) -> list[str]:
    """Returns the names of the examples that both models answered, with the same label in both runs.

    With a label that a person corrected in between (`reviewed`), one of two equal answers would be wrong.
    """
    both = first.keys() & second.keys()
    shared = sorted(name for name in both if first[name][0].label == second[name][0].label)
    rows = [name for name in both - {*shared} - reviewed if ROW.fullmatch(name)]
    changed = {name.partition("/")[0] for name in rows}
    return [name for name in shared if name.partition("/")[0] not in changed or not ROW.fullmatch(name)]


def _list_slices(prediction: Prediction) -> list[tuple[str, str]]:
    span = [("span", str(prediction.span))] if prediction.span is not None else []
    return [("overall", "all"), ("class", prediction.label), *span, *prediction.slices.items()]


def _compare(kind: str, name: str, right: NDArray[np.bool_], groups: NDArray[np.int64]) -> SlicePair:
    """Compares both models on one slice; `right` is [2, n], the correct answers of the first and second."""
    examples = right.shape[1]
    counted = len(np.unique(groups))
    shown = counted if counted < examples else None
    shares = [
        Slice(kind, name, examples, float(side.mean()), *compute_group_interval(side, groups), groups=shown)
        for side in right
    ]
    return SlicePair(kind, name, shares[0], shares[1], _judge(right, groups))


def _judge(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> Verdict:
    if (right[0] != right[1]).sum() < _LEAST_CHANGED:
        return "noise"
    labels = np.zeros(len(groups), np.int64)
    scores = [np.where(side[:, None], _RIGHT, _WRONG).astype(np.float32) for side in right]

    def chance_of_no_drop(candidate: Floats, baseline: Floats) -> float:
        answers = Answers(("right", "wrong"), None, labels, groups, candidate, baseline, {})
        return max(estimate_no_drop(answers, "overall", "all", "accuracy", 0.0))

    if chance_of_no_drop(scores[1], scores[0]) < _CHANCE:
        return "worse"
    return "better" if chance_of_no_drop(scores[0], scores[1]) < _CHANCE else "noise"
