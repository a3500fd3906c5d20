"""Estimates what suggestions are worth beside as many random examples, on labelled ones of one's own.

Some of the labels are hidden. Suggestions and random draws from these each teach a logistic regression on
the same features, which others then test; groups (sessions, machines, authors) stay together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runners.suggest.strategy import Floats, choose, measure_margins

_DIVISIONS = 20
_TEST_SHARE = 0.25
# Numbers of random examples, in numbers of suggested ones, whose accuracy is compared.
_TIMES = (0.25, 0.5, 1.0, 2.0, 3.0)
_FEWEST = 10


@dataclass(frozen=True)
class Gain:
    """The accuracy with suggestions and with random examples, 0..1, in the mean of several divisions."""

    labelled: int  # labels that were known in the mean
    suggested: int  # labels that were then added
    accuracy: float
    at_random: float  # the accuracy with as many random examples
    error: float  # standard error of the difference
    worth: float  # number of random examples with the accuracy of the suggested ones; 3 * suggested at most

    def sentence(self, nouns: str) -> str:
        """Returns what was measured, for people."""
        gain = self.accuracy - self.at_random
        measured = (
            f"accuracy {self.accuracy:.3f} against {self.at_random:.3f},"
            f" {100 * gain:+.1f} ± {100 * self.error:.1f} points"
        )
        begin = (
            f"On your own labelled {nouns}, beside {self.labelled:,} of them, {self.suggested:,} suggested"
        )
        begin += " ones"
        if gain < -2 * self.error:
            return f"{begin} were worse than as many random ones: {measured}."
        if gain <= 2 * self.error:
            return f"{begin} were not surely better than as many random ones: {measured}."
        more = "at least " if round(self.worth) >= _TIMES[-1] * self.suggested else ""
        return f"{begin} were worth {more}{self.worth:,.0f} random ones: {measured}."


def estimate_gain(
    features: Floats,
    labels: NDArray[np.str_],
    groups: NDArray[np.str_],
    slices: Sequence[str],
    count: int,
    few: bool,
    known: int | None = None,
) -> Gain | None:
    """Compares suggestions with random draws; returns None with too few examples or groups.

    Args:
        features: Those of `reduce_features`, [n, features].
        labels: The label of each example, [n].
        groups: The group of each example, [n].
        slices: The slice of each example.
        count: The number of suggestions; of few examples, fewer are drawn.
        few: Whether suggestions are chosen as with few labels.
        known: The number of labels that are not hidden; half by default.
    """
    outcomes, sizes = [], []
    for seed in range(_DIVISIONS):
        random = np.random.default_rng(seed)
        test, start, pool = _divide(groups, known, random)
        added = min(count, len(pool) // 4)
        if added < _FEWEST or len(np.unique(labels[start])) < 2:
            continue

        def score(chosen: NDArray[np.intp], start=start, test=test) -> float:  # type: ignore[no-untyped-def]
            model = _fit(features, labels, np.concatenate([start, chosen]))
            return float(model.score(features[test], labels[test]))

        margins = None
        if not few:
            margins = measure_margins(_fit(features, labels, start).predict_proba(features[pool]))
        chosen = choose(features[pool], margins, [slices[place] for place in pool], added, random)
        suggested = score(pool[np.concatenate([chosen.useful, chosen.drawn])])
        shuffled = random.permutation(pool)
        curve = [score(shuffled[: round(times * added)]) for times in _TIMES]
        outcomes.append([suggested, *curve])
        sizes.append((len(start), added))
    if len(outcomes) < _DIVISIONS // 2:
        return None
    suggested, *curve = np.mean(outcomes, axis=0)
    labelled, added = np.mean(sizes, axis=0)
    differences = np.array([each[0] - each[1 + _TIMES.index(1.0)] for each in outcomes])
    # Divisions share examples, so their differences are alike (Nadeau and Bengio, 2003: Machine Learning 52,
    # 239-281, with the examples tested and those that take part in learning).
    shared = _TEST_SHARE / (1 - _TEST_SHARE)
    error = float(np.sqrt(differences.var(ddof=1) * (1 / len(outcomes) + shared)))
    rising = np.maximum.accumulate(curve)
    worth = float(np.exp(np.interp(suggested, rising, np.log(np.array(_TIMES) * added))))
    at_random = float(curve[_TIMES.index(1.0)])
    return Gain(round(labelled), round(added), float(suggested), at_random, error, worth)


def _divide(
    groups: NDArray[np.str_], known: int | None, random: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Divides examples by group into those to test with, those whose label is known, and the hidden ones."""
    names, numbers = np.unique(groups, return_inverse=True)
    places = np.argsort(random.permutation(len(names))[numbers], kind="stable")  # group by group
    whole = np.flatnonzero(np.diff(numbers[places], append=-1)) + 1  # where a group ends

    def end(wanted: float) -> int:
        return int(whole[np.abs(whole - wanted).argmin()])

    tested = end(_TEST_SHARE * len(groups))
    last = end(tested + ((len(groups) - tested) / 2 if known is None else known))
    return places[:tested], places[tested:last], places[last:]


def _fit(features: Floats, labels: NDArray[np.str_], places: NDArray[np.intp]):  # type: ignore[no-untyped-def]
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / features.shape[1], max_iter=300).fit(features[places], labels[places])
