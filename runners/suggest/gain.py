"""Estimates what suggestions are worth beside as many random examples, on one's own labelled ones.

Some of the labels are hidden. Suggestions and random draws from these each teach a logistic regression on
the same features, which others then test; groups (sessions, machines, authors) stay together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runners.suggest.strategy import Floats, Places, choose, measure_margins

# The share of all examples that test, and that of the others whose label is known.
_DIVISIONS, _TESTED, _KNOWN = 20, 0.25, 0.5
# Numbers of random examples, in numbers of suggested ones, whose accuracy is compared.
_TIMES = (1.0, 0.25, 0.5, 2.0, 3.0)
_FEWEST = 10


@dataclass(frozen=True)
class Gain:
    """The accuracy with suggestions and with random examples, 0..1, in the mean of several divisions."""

    labelled: int  # labels that were known
    suggested: int  # labels that were then added
    accuracy: float
    at_random: float
    error: float  # standard error of the difference
    worth: float  # number of random examples that are as good; at most three times the suggested ones

    def sentence(self, nouns: str) -> str:
        """Returns what was measured, for people."""
        gain = self.accuracy - self.at_random
        verdict = "were not surely better than as many random ones"
        if gain > 2 * self.error:
            least = "at least " if round(self.worth) >= max(_TIMES) * self.suggested else ""
            verdict = f"were worth {least}{self.worth:,.0f} random ones"
        elif gain < -2 * self.error:
            verdict = "were worse than as many random ones"
        return (
            f"Beside {self.labelled:,} of your own labelled {nouns}, {self.suggested:,} suggested ones"
            f" {verdict}: accuracy {self.accuracy:.3f} against {self.at_random:.3f},"
            f" {100 * gain:+.1f} ± {100 * self.error:.1f} points."
        )


def estimate_gain(
    features: Floats,
    labels: NDArray[np.str_],
    groups: NDArray[np.str_],
    slices: NDArray[np.str_],
    count: int,
    few: bool,
) -> Gain | None:
    """Compares suggestions with random draws; returns None with too few examples or groups.

    Args:
        features: Those of `reduce_features`, [n, features].
        labels: The label of each example, [n].
        groups: The group of each example, [n].
        slices: The slice of each example.
        count: The number of suggestions; at least 10 are compared, and of few examples, fewer.
        few: Whether suggestions are chosen as with few labels.
    """
    from sklearn.linear_model import LogisticRegression

    outcomes, sizes = [], []
    for seed in range(_DIVISIONS):
        random = np.random.default_rng(seed)
        test, start, pool = _divide(groups, random)
        added = min(max(count, _FEWEST), len(pool) // 4)
        if added < _FEWEST or len(np.unique(labels[start])) < 2:
            continue

        def fit(places: Places) -> LogisticRegression:
            model = LogisticRegression(C=1 / features.shape[1], max_iter=300)
            return model.fit(features[places], labels[places])

        margins = None if few else measure_margins(fit(start).predict_proba(features[pool]))
        chosen = np.concatenate(choose(features[pool], margins, slices[pool], added, random))
        shuffled = random.permutation(len(pool))
        draws = [chosen, *(shuffled[: round(times * added)] for times in _TIMES)]
        models = [fit(np.concatenate([start, pool[draw]])) for draw in draws]
        outcomes.append([model.score(features[test], labels[test]) for model in models])
        sizes.append((len(start), added))
    if len(outcomes) < _DIVISIONS // 2:
        return None
    accuracy, at_random, *others = map(float, np.mean(outcomes, axis=0))
    labelled, added = map(round, np.mean(sizes, axis=0))
    differences = np.array([pair[0] - pair[1] for pair in outcomes])
    # Divisions share examples, so their differences are alike (Nadeau and Bengio, 2003: Machine Learning 52,
    # 239-281, with the examples tested and those that take part in learning).
    error = float(np.sqrt(differences.var(ddof=1) * (1 / len(outcomes) + _TESTED / (1 - _TESTED))))
    times, curve = map(np.array, zip(*sorted(zip(_TIMES, (at_random, *others), strict=True)), strict=True))
    worth = float(np.exp(np.interp(accuracy, np.maximum.accumulate(curve), np.log(times * added))))
    return Gain(labelled, added, accuracy, at_random, error, worth)


def _divide(groups: NDArray[np.str_], random: np.random.Generator) -> tuple[Places, Places, Places]:
    """Divides examples by group into those to test with, those whose label is known, and the hidden ones."""
    names, numbers = np.unique(groups, return_inverse=True)
    places = np.argsort(random.permutation(len(names))[numbers], kind="stable")  # group by group
    numbered = numbers[places]
    ends = np.append(np.flatnonzero(numbered[1:] != numbered[:-1]) + 1, len(places))  # of the groups

    def cut(wanted: float) -> int:
        return int(ends[np.abs(ends - wanted).argmin()])

    tested = cut(_TESTED * len(places))
    last = cut(tested + _KNOWN * (len(places) - tested))
    return places[:tested], places[tested:last], places[last:]
