"""How sure a figure is: the interval of a share, and whether probabilities mean what they say."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Half the width of a 95 % interval of the normal distribution, in standard deviations.
_Z = 1.959964
_BINS = 10


def wilson(right: float, photos: float) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson, 1927: JASA 22, 209-212).

    Unlike the textbook's, it stays within 0..1 and means something for five photos or a share of 1. Of none
    it is (0, 1).
    """
    if photos <= 0:
        return 0.0, 1.0
    share, square = right / photos, _Z * _Z
    middle = (share + square / (2 * photos)) / (1 + square / photos)
    half = _Z / (1 + square / photos) * math.sqrt(share * (1 - share) / photos + square / (4 * photos**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Bin:
    """The examples whose highest probability lies in one tenth of 0..1."""

    low: float  # excluded, except for 0
    high: float  # included
    photos: int  # how many examples
    confidence: float  # their mean highest probability
    accuracy: float  # the share of them that is right


@dataclass(frozen=True)
class Reliability:
    """Whether a model that says 80 % is right in 80 % of such cases.

    `error` is the expected calibration error: the mean distance of confidence and accuracy over all examples,
    0..1 (Naeini et al., 2015, AAAI).
    """

    bins: tuple[Bin, ...]  # that hold an example, from low to high
    error: float
    photos: int  # how many examples


def reliability(answers: Iterable[tuple[float, bool]]) -> Reliability | None:
    """Sorts answers, the highest probability and whether it was right, into ten bins; None of none."""
    by_bin: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for confidence, right in answers:
        by_bin[min(_BINS - 1, max(0, math.ceil(confidence * _BINS) - 1))].append((confidence, right))
    photos = sum(map(len, by_bin))
    if not photos:
        return None
    bins = tuple(
        Bin(
            low=number / _BINS,
            high=(number + 1) / _BINS,
            photos=len(found),
            confidence=sum(confidence for confidence, _ in found) / len(found),
            accuracy=sum(right for _, right in found) / len(found),
        )
        for number, found in enumerate(by_bin)
        if found
    )
    error = sum(abs(b.confidence - b.accuracy) * b.photos for b in bins) / photos
    return Reliability(bins, error, photos)
