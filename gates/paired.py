"""Whether a model is worse than the one in production, or only looks so: a paired bootstrap.

Both models answered the same examples. Of these as many are drawn again, with replacement, 2,000 times, and
both are measured on each draw: what is only chance goes up as well as down (Efron and Tibshirani, 1993: An
Introduction to the Bootstrap, chapters 13 and 16). Draws have a fixed seed, so that a verdict is the same
each time.

Six photos of one object are not six independent ones: where examples share a group, groups are drawn too
(Field and Welsh, 2007: Bootstrapping clustered data), and what is less sure counts. Few groups alone would be
no better: of a single one, each draw is the same. Draws of groups excuse a drop that comes from one or two
groups, since many draws have none of these: neither a large drop (`gates/bounds.py`) nor a group that is lost
(`lost_groups`) is left to them.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gates.answers import ROUNDING, Answers, Floats, measure_of
from intervals import interval

RESAMPLES = 2_000
_MOST_WEIGHTS = 4_000_000  # at once, 16 MB


class NoDrop(NamedTuple):
    """The shares of resamples in which the candidate is not worse, 0..1: of examples, and of groups."""

    examples: float
    groups: float


def no_drop(answers: Answers, kind: str, name: str, metric: str, false_alarm_rate: float) -> NoDrop:
    """The shares of resamples in which the candidate's metric of a slice is not worse than production's.

    Where each example is alone, both are the same. Metrics are as in `gates.settings.Bound`: precision and F1
    of a class depend on all examples, so all are drawn for it. A draw in which nothing can be measured counts
    as one without a drop.
    """
    assert answers.baseline is not None
    groups, candidate = measure_of(answers, answers.candidate, kind, name, metric, false_alarm_rate)
    _, baseline = measure_of(answers, answers.baseline, kind, name, metric, false_alarm_rate)
    sign = -1 if metric == "loss" else 1

    def share(drawn_together: NDArray[np.int64]) -> float:
        draws = _draws(drawn_together)
        held = [sign * (baseline(drawn) - candidate(drawn)) <= ROUNDING for drawn in draws]
        return float(np.concatenate(held).mean())

    alone, together = np.arange(len(groups)), np.unique(groups, return_inverse=True)[1]
    of_examples = share(alone)
    return NoDrop(of_examples, share(together) if together.max() < alone.max() else of_examples)


def lost_groups(answers: Answers, before: float, after: float, chance: float) -> Iterator[tuple[int, ...]]:
    """Each group that production is right on and the candidate is not: its number, size, and right answers.

    Args:
        answers: Of both models.
        before: Least share of the group that production is right on.
        after: Largest share of it that the candidate is right on.
        chance: How probable it may be that equal models lose any of the groups. A model that only answers
            other examples right turns as many answers right as wrong: by the sign test, divided by the
            number of groups (Bonferroni), enough of them have to have turned wrong, 9 more of 9 where there
            are 20 groups, and 13 of 300.
    """
    from scipy.special import bdtr

    assert answers.baseline is not None
    was, now = answers.right(answers.baseline), answers.right(answers.candidate)
    size, of_was, of_now, turned_wrong, turned_right = (
        np.bincount(answers.groups, weights=here, minlength=len(answers.group_names)).astype(int)
        for here in (np.ones(len(was)), was, now, was & ~now, now & ~was)
    )
    # At most so many of those that changed turned right, of a fair coin.
    by_chance = bdtr(turned_right, turned_wrong + turned_right, 0.5) * (size > 0).sum()
    lost = (size > 0) & (of_was >= before * size) & (of_now <= after * size) & (by_chance < chance)
    for number in np.flatnonzero(lost):
        yield int(number), int(size[number]), int(of_was[number]), int(of_now[number])


def interval_of(
    answers: Answers, kind: str, name: str, metric: str, false_alarm_rate: float
) -> tuple[int, float, float]:
    """How many groups the candidate's metric of a slice rests on, and its 95 % interval.

    That of a share of right answers is `intervals.interval`. Of other metrics it is the standard deviation of
    the bootstrap of groups, by the t distribution with as many degrees of freedom as groups but one (Cameron,
    Gelbach and Miller, 2008: Bootstrap-based improvements for inference with clustered errors).
    """
    from scipy.special import stdtrit

    groups, measure = measure_of(answers, answers.candidate, kind, name, metric, false_alarm_rate)
    of_group = np.unique(groups, return_inverse=True)[1]
    number = int(of_group.max()) + 1
    if metric == "accuracy" or (kind, metric) == ("class", "recall"):
        here = answers.of(kind, name)
        return number, *interval(answers.right(answers.candidate)[here], answers.groups[here])
    largest = math.inf if metric == "loss" else 1.0
    if number == 1:
        return number, 0.0, largest
    values = np.concatenate([measure(drawn) for drawn in _draws(of_group)])
    value = float(measure(np.ones((1, len(groups)), np.float32))[0])
    half = float(stdtrit(number - 1, 0.975) * values.std() * math.sqrt(number / (number - 1)))
    return number, max(0.0, value - half), min(largest, value + half)


def _draws(groups: NDArray[np.int64]) -> Iterator[Floats]:
    """How often each example was drawn with its group, [some draws, n], until there are all resamples."""
    random, count = np.random.default_rng(20), groups.max() + 1
    at_once = max(1, min(RESAMPLES, _MOST_WEIGHTS // len(groups)))
    for start in range(0, RESAMPLES, at_once):
        draws = min(at_once, RESAMPLES - start)
        drawn = random.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=draws * count)
        yield counts.reshape(draws, count).astype(np.float32)[:, groups]
