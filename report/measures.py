"""Whether probabilities mean what they say, and what each threshold of them finds."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec import Struct, field

_BINS = 10
_MOST_POINTS = 50


class Bin(Struct, frozen=True):
    """The examples whose highest probability lies in one tenth of 0..1."""

    low: float  # excluded, except for 0
    high: float  # included
    examples: int = field(name="photos")  # how many
    confidence: float  # their mean highest probability
    accuracy: float  # the share of them that is right


class Reliability(Struct, frozen=True):
    """Whether a model that says 80 % is right in 80 % of such cases.

    `error` is the expected calibration error: the mean distance of confidence and accuracy over all examples,
    0..1 (Naeini et al., 2015, AAAI).
    """

    bins: tuple[Bin, ...]  # that hold an example, from low to high
    error: float
    examples: int = field(name="photos")  # how many


def reliability(answers: Iterable[tuple[float, bool]]) -> Reliability | None:
    """Sorts answers, the highest probability and whether it was right, into ten bins; None of none."""
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
            examples=len(found),
            confidence=sum(confidence for confidence, _ in found) / len(found),
            accuracy=sum(right for _, right in found) / len(found),
        )
        for number, found in enumerate(by_bin)
        if found
    )
    error = sum(abs(b.confidence - b.accuracy) * b.examples for b in bins) / examples
    return Reliability(bins, error, examples)


class RocPoint(NamedTuple):
    """What calling everything positive that scores at least the threshold finds, each 0..1."""

    threshold: float
    false_positive_rate: float
    recall: float


def roc(scored: Sequence[tuple[float, bool]]) -> tuple[RocPoint, ...]:
    """The ROC of scores 0..1, each with whether it is a positive's, in some 50 points; empty of one kind."""
    positives = sum(positive for _, positive in scored)
    if not 0 < positives < len(scored):
        return ()
    found, hits, others = [RocPoint(1.0, 0.0, 0.0)], 0, 0
    for score, same in groupby(sorted(scored, reverse=True), key=lambda item: item[0]):
        kinds = [positive for _, positive in same]
        hits, others = hits + sum(kinds), others + len(kinds) - sum(kinds)
        found.append(RocPoint(score, others / (len(scored) - positives), hits / positives))
    step = -(-len(found) // _MOST_POINTS)
    return (*found[:-1:step], found[-1])
