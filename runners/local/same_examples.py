"""What the models of two runs answered to the same eval examples, and whether one is better."""

import numpy as np
from numpy.typing import NDArray

from gates.answers import Answers, Floats
from gates.paired import no_drop
from intervals import interval
from records.edge import Prediction
from records.json_file import UNREADABLE
from report.collect import read_answers
from report.compare import SlicePair, Verdict
from report.facts import Slice
from report.sources import Sources

# Of fewer, not even a sign test of answers that all changed to one side is sure: 2 x 0.5^5 = 0.06.
_LEAST_CHANGED = 6
_CHANCE = 0.025  # on each side
_RIGHT, _WRONG = [1.0, 0.0], [0.0, 1.0]


def same_slices(first: Sources, second: Sources) -> tuple[tuple[SlicePair, ...], int]:
    """Both models by slice on the examples that both answered, and how many these are.

    None where that is less than half of what either was measured on, or where its answers are gone.
    """
    try:
        sides = [
            {asked.example_id: (asked, right) for asked, _, right in read_answers(side)}
            for side in (first, second)
        ]
    except UNREADABLE:
        return (), 0
    shared = sorted(sides[0].keys() & sides[1].keys())
    if len(shared) * 2 < max(map(len, sides)) or not shared:
        return (), 0
    right = np.array([[side[name][1] for name in shared] for side in sides])
    # One that has none is alone, as in runs of before.
    known = [(sides[0][name][0].group or sides[1][name][0].group, name) for name in shared]
    groups = np.unique([group or f"alone {name}" for group, name in known], return_inverse=True)[1]
    members: dict[tuple[str, str], list[int]] = {}
    for number, name in enumerate(shared):
        for key in _slices(sides[1][name][0]):
            members.setdefault(key, []).append(number)
    order = {kind: place for place, kind in enumerate(("overall", "class", "span"))}
    return tuple(
        _pair(*key, right[:, chosen], groups[chosen])
        for key, chosen in sorted(members.items(), key=lambda item: (order.get(item[0][0], 9), item[0]))
    ), len(shared)


def _slices(asked: Prediction) -> list[tuple[str, str]]:
    span = [("span", str(asked.span))] if asked.span is not None else []
    return [("overall", "all"), ("class", asked.label), *span, *asked.slices.items()]


def _pair(kind: str, name: str, right: NDArray[np.bool_], groups: NDArray[np.int64]) -> SlicePair:
    """`right` is [2, n]: whether the first and the second model was."""
    examples, counted = right.shape[1], len(np.unique(groups))
    shares = [
        Slice(
            *(kind, name, examples, float(of.mean()), *interval(of, groups)),
            groups=counted if counted < examples else None,
        )
        for of in right
    ]
    return SlicePair(kind, name, shares[0], shares[1], _judge(right, groups))


def _judge(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> Verdict:
    if (right[0] != right[1]).sum() < _LEAST_CHANGED:
        return "noise"
    labels = np.zeros(len(groups), np.int64)
    said = [np.where(side[:, None], _RIGHT, _WRONG).astype(np.float32) for side in right]

    def no_worse(candidate: Floats, baseline: Floats) -> float:
        answers = Answers(("right", "wrong"), None, labels, groups, candidate, baseline, {})
        return max(no_drop(answers, "overall", "all", "accuracy", 0.0))

    if no_worse(said[1], said[0]) < _CHANCE:
        return "worse"
    return "better" if no_worse(said[0], said[1]) < _CHANCE else "noise"
