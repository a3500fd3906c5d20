"""The chance differences between samples whose examples come in groups, such as the photos of a session.

Examples of a group are alike, so that six sessions of ten photos tell less than sixty sessions of one (Kish,
Survey Sampling, 1965): the variance of a share grows from 1/n to 1/n + c, in variances of an example.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeline.records.json_file import JsonFile

# Numbers are compared by tenths of them, as the histograms of drift are.
BINS = 10


@dataclass(frozen=True)
class GroupVariances:
    """The sum of c of a span and of those that it is compared with, by feature, by name of the span."""

    spans: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


GROUP_VARIANCES = JsonFile[GroupVariances]("group-variances.json", GroupVariances)


def estimate_variance(
    others: tuple[Sequence[str], Sequence[object]], span: tuple[Sequence[str], Sequence[object]]
) -> float:
    """Estimates the sum of c of two samples, of a feature that both have: each is groups and values, [n].

    How alike the examples of a group are is estimated on the others alone: a fault in some groups of the span
    must not pass for chance. What a group that is in both has of its own cancels in their difference. An
    empty group is an example of its own.
    """
    alike = _estimate_correlation(*others)
    counts = [Counter(filter(None, groups)) for groups, _ in (others, span)]
    shared = sum(count * counts[1][group] for group, count in counts[0].items())
    apart = sum(
        _count_pairs(groups) / max(len(groups) * (len(groups) - 1), 1) for groups, _ in (others, span)
    )
    return alike * max(apart - 2 * shared / max(len(others[0]) * len(span[0]), 1), 0.0)


def _estimate_correlation(groups: Sequence[str], values: Sequence[object]) -> float:
    """Estimates the correlation of two examples of a group: the mean over bins of values, at least 0."""
    pairs = _count_pairs(groups)
    if not pairs:
        return 0.0
    named = np.array([bool(group) for group in groups])
    _, group_of = np.unique(np.array(groups), return_inverse=True)
    bins = _standardise(_divide(values))
    sums = np.zeros((group_of.max() + 1, bins.shape[1]))
    np.add.at(sums, group_of[named], bins[named])
    products = (sums**2).sum(axis=0) - (bins[named] ** 2).sum(axis=0)
    return max(float(products.mean() / pairs), 0.0) if len(products) else 0.0


def _count_pairs(groups: Sequence[str]) -> int:
    """Counts the ordered pairs of two examples of one group."""
    _, counts = np.unique(np.array([group for group in groups if group]), return_counts=True)
    return int((counts * (counts - 1)).sum())


def _divide(values: Sequence[object]) -> NDArray[np.float64]:
    """Returns [n, bins] with 1 where an example is: tenths of numbers, no number, or the commonest text."""
    array = np.array(values)
    if array.dtype.kind in "biuf":
        missing = np.isnan(array)
        if missing.all():
            return np.ones((len(array), 1))
        edges = np.unique(np.quantile(array[~missing], np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.eye(len(edges) + 2)[np.where(missing, len(edges) + 1, np.searchsorted(edges, array))]
    texts, counts = np.unique(array, return_counts=True)
    return (array == texts[counts.argmax()]).astype(np.float64)[:, np.newaxis]


def _standardise(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the bins that some examples are in, and others not, with mean 0 and deviation 1."""
    deviation = bins.std(axis=0)
    return ((bins - bins.mean(axis=0)) / np.where(deviation, deviation, 1.0))[:, deviation > 0]
