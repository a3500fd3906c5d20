"""Measures of predicted probabilities: their calibration, and the ROC over thresholds."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

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


class RocPoint(NamedTuple):
    """The rates, 0..1, where every score of at least the threshold counts as positive."""

    threshold: float
    false_positive_rate: float
    recall: float


def compute_roc(scored: Sequence[tuple[float, bool]]) -> tuple[RocPoint, ...]:
    """Returns the ROC of (score 0..1, is positive) in some 50 points; empty if all are of one kind."""
    positives = sum(positive for _, positive in scored)
    if not 0 < positives < len(scored):
        return ()
    points, hits, others = [RocPoint(1.0, 0.0, 0.0)], 0, 0
    for score, tied in groupby(sorted(scored, reverse=True), key=lambda item: item[0]):
        kinds = [positive for _, positive in tied]
        hits, others = hits + sum(kinds), others + len(kinds) - sum(kinds)
        points.append(RocPoint(score, others / (len(scored) - positives), hits / positives))
    step = -(-len(points) // _MOST_POINTS)
    return (*points[:-1:step], points[-1])
