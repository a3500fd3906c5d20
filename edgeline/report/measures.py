"""Measures of predicted probabilities: their calibration, and the ROC over thresholds."""

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

_BINS = 10
_MOST_POINTS = 50


class Bin(Struct, frozen=True):
    """The examples whose highest probability lies in one tenth of 0..1."""

    low: float  # excluded, except for 0
    high: float  # included
    examples: int
    confidence: float  # their mean highest probability
    accuracy: float  # the share of them that is right


class Reliability(Struct, frozen=True):
    """The calibration of probabilities: a calibrated model that says 80 % is right in 80 % of such cases.

    `error` is the expected calibration error: the mean distance of confidence and accuracy over all examples,
    0..1 (Naeini et al., 2015, AAAI).
    """

    bins: tuple[Bin, ...]  # those with examples, from low to high
    error: float
    examples: int


def measure_reliability(answers: Iterable[tuple[float, bool]]) -> Reliability | None:
    """Sorts answers (highest probability, is right) into ten bins; returns None without answers."""
    by_bin: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for confidence, right in answers:
        by_bin[min(_BINS - 1, max(0, math.ceil(confidence * _BINS) - 1))].append((confidence, right))
    examples = sum(map(len, by_bin))
    if not examples:
        return None
    bins = tuple(
        Bin(
            low=number / _BINS,
            high=(number + 1) / _BINS,
            examples=len(members),
            confidence=sum(confidence for confidence, _ in members) / len(members),
            accuracy=sum(right for _, right in members) / len(members),
        )
        for number, members in enumerate(by_bin)
        if members
    )
    error = sum(abs(b.confidence - b.accuracy) * b.examples for b in bins) / examples
    return Reliability(bins, error, examples)


def compute_roc(scored: Sequence[tuple[float, bool]]) -> list[tuple[float, float, float]]:
    """Returns threshold, false positive rate and recall, 0..1, in some 50 points of the ROC.

    `scored` are (score 0..1, is positive); without both kinds there are no points.
    """
    from sklearn.metrics import roc_curve

    if len({positive for _, positive in scored}) < 2:
        return []
    curve = roc_curve([positive for _, positive in scored], [score for score, _ in scored])
    false_positives, recalls, thresholds = (values.tolist() for values in curve)
    thresholds[0] = 1.0  # it is above all scores, in newer versions infinity
    points = list(zip(thresholds, false_positives, recalls, strict=True))
    step = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:step], points[-1]]
