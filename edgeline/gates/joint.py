"""Changes of how the numbers of a span go together, where each alone may look as in earlier spans.

Two columns that swapped places, rows that were joined by another key, and a sensor that no longer follows
another one may show in no column alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.records.ingest import name_span
from edgeline.records.verdict import Shift

# With fewer examples, two samples of one distribution are too different.
_LEAST_TO_COMPARE = 50
# Components that explain this share of the variance are kept, and what they leave of an example is its error.
_EXPLAINED = 0.9
# An error of more deviations is not that of most examples.
_MOST_DEVIATIONS = 3.0
# A column has moved if its error is this many times the largest of an earlier span, and beyond its noise.
_MOVED, _BEYOND_NOISE = 1.5, 6.0
# A number that more of the examples have tells too little of the others.
_MOST_ALIKE = 0.9
_MOST_MISSING = 0.5
# Distances of Kolmogorov and Smirnov: from these on a column is another, and below those it may be the same.
_OTHER, _SAME = 0.3, 0.25
_MOST_NAMED = 5

Floats = NDArray[np.float64]


def find_shifts(columns: Mapping[str, Sequence[Any]], others: Mapping[str, Sequence[str]]) -> Iterator[Shift]:
    """Yields how columns of spans go together otherwise than in the spans that each is compared with.

    Args:
        columns: The values of examples by column, None for a missing one; `span` has the spans' numbers.
        others: The names of the spans that each span is compared with.
    """
    spans = np.array([name_span(number) for number in columns["span"]])
    names, matrix = _stack_numbers(columns)
    for span, compared in others.items():
        new = matrix[spans == span]
        old = [matrix[spans == other] for other in compared]
        old = [rows for rows in old if len(rows) >= _LEAST_TO_COMPARE]
        if len(new) < _LEAST_TO_COMPARE or not old:
            continue
        # A column that one of the spans does not have goes together with nothing there.
        is_there = np.logical_and.reduce([np.isnan(rows).mean(0) < _MOST_MISSING for rows in (new, *old)])
        present = list(compress(names, is_there))
        new, old = new[:, is_there], [rows[:, is_there] for rows in old]
        if len(present) < 2:
            continue
        swapped = [*_find_swapped(present, new, np.concatenate(old))]
        yield from (Shift(span, "swapped", pair) for pair in swapped)
        if len(old) > 1 and not swapped:
            yield from _find_moved(span, present, new, old)


def _stack_numbers(columns: Mapping[str, Sequence[Any]]) -> tuple[list[str], Floats]:
    """Returns the columns of numbers that vary, and their values, float64 [n, columns], NaN where missing."""
    names = list[str]()
    stacked = list[Floats]()
    for name, values in columns.items():
        if name == "span" or not all(value is None or isinstance(value, int | float) for value in values):
            continue
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        _, counts = np.unique(numbers, return_counts=True)
        if counts.max() <= _MOST_ALIKE * len(numbers):
            names.append(name)
            stacked.append(numbers)
    return names, np.stack(stacked, 1) if stacked else np.empty((len(columns["span"]), 0))


def _find_swapped(names: Sequence[str], new: Floats, old: Floats) -> Iterator[tuple[str, str]]:
    """Yields the pairs of columns each of which is distributed as the other was, and not as itself."""
    moved = {place: _measure_distance(new[:, place], old[:, place]) for place in range(len(names))}
    for one, two in combinations((place for place, distance in moved.items() if distance > _OTHER), 2):
        across = (_measure_distance(new[:, one], old[:, two]), _measure_distance(new[:, two], old[:, one]))
        if max(across) < min(_SAME, moved[one] / 2, moved[two] / 2):
            yield names[one], names[two]


def _measure_distance(one: Floats, other: Floats) -> float:
    """Returns the distance of Kolmogorov and Smirnov between two samples, 0..1; 1 if one has no number."""
    one, other = np.sort(one[~np.isnan(one)]), np.sort(other[~np.isnan(other)])
    if not len(one) or not len(other):
        return 1.0
    places = np.concatenate([one, other])
    below = [np.searchsorted(sample, places, "right") / len(sample) for sample in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def _find_moved(span: str, names: Sequence[str], new: Floats, old: Sequence[Floats]) -> Iterator[Shift]:
    """Yields a shift with the columns that the others no longer tell as well as in any earlier span."""
    usual = np.zeros(len(names))
    for place, rows in enumerate(old):
        rest = np.concatenate([other for number, other in enumerate(old) if number != place])
        usual = np.maximum(usual, _measure_errors(rest, rows).mean(0))
    before = np.concatenate(old)
    in_sample, errors = np.split(_measure_errors(before, np.concatenate([before, new])), [len(before)])

    noise = in_sample.std(0) / np.sqrt(len(new))
    beyond = errors.mean(0) - in_sample.mean(0) > _BEYOND_NOISE * noise
    factors = np.where(beyond & (usual > 0), errors.mean(0) / np.where(usual > 0, usual, 1), 0)
    moved = [place for place in np.argsort(-factors, kind="stable") if factors[place] > _MOVED]
    if moved:
        shown = tuple(names[place] for place in moved[:_MOST_NAMED])
        yield Shift(span, "joint", shown, float(factors[moved[0]]))


def _measure_errors(old: Floats, rows: Floats) -> Floats:
    """Returns the squared error with which principal components of old rows reconstruct rows, [n, columns].

    Numbers count by their rank among the old ones, so that none is far from all others; a missing one is in
    the middle. Errors are in deviations of the old ones.
    """
    sample, scores = _rank(old, old), _rank(old, rows)
    variances, vectors = np.linalg.eigh(np.cov(sample.T))
    explained = np.cumsum(variances[::-1]) / variances.sum()
    kept = vectors[:, ::-1][:, : max(1, int((explained < _EXPLAINED).sum()))]

    deviations = (sample - sample @ kept @ kept.T).std(0)
    errors = (scores - scores @ kept @ kept.T) / np.where(deviations > 0, deviations, 1)
    return np.asarray(np.clip(errors, -_MOST_DEVIATIONS, _MOST_DEVIATIONS) ** 2)


def _rank(old: Floats, rows: Floats) -> Floats:
    """Returns the ranks of numbers among the old ones, with mean 0 and deviation 1 there, [n, columns]."""
    ranks = np.zeros_like(rows)
    for column in range(rows.shape[1]):
        known = np.sort(old[:, column][~np.isnan(old[:, column])])
        places = [np.searchsorted(known, rows[:, column], side) for side in ("left", "right")]
        middle = (places[0] + places[1]) / 2 / max(len(known), 1)
        ranks[:, column] = np.where(np.isnan(rows[:, column]), 0, (middle - 0.5) * np.sqrt(12))
    return ranks
