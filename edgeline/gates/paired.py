"""A paired bootstrap, which tells whether a model is worse than the one in production or only looks so.

Both models answered the same examples. The same number of examples is drawn with replacement 2,000 times, and
both models are measured on each draw: a difference by chance goes up as well as down (Efron and Tibshirani,
1993: An Introduction to the Bootstrap, chapters 13 and 16). Draws have a fixed seed, so that a verdict is the
same each time.

Six photos of one object are not six independent ones: where examples share a group, groups are drawn too
(Field and Welsh, 2007: Bootstrapping clustered data), and the less certain result counts. Drawing groups
alone would be no better when they are few: each draw of a single group is the same. Draws of groups also
excuse a drop that comes from one or two groups, since many draws contain none of these: neither a large drop
(`edgeline/gates/bounds.py`) nor a lost group (`find_lost_groups`) is left to them.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeline.gates.answers import ROUNDING, Answers, Floats, build_measure
from edgeline.intervals import compute_group_interval

RESAMPLES = 2_000
_MOST_WEIGHTS = 4_000_000  # at once, 16 MB


class NoDrop(NamedTuple):
    """The shares of resamples without a drop of the candidate, 0..1: of examples, and of groups."""

    examples: float
    groups: float


def estimate_no_drop(
    answers: Answers, kind: str, name: str, metric: str, false_alarm_rate: float, allowed: float = 0.0
) -> NoDrop:
    """Returns the shares of resamples in which the candidate is worse on a slice by at most `allowed`.

    Both shares are the same where each example is a group of its own. Precision and F1 of a class depend on
    all examples, so all are drawn for it. A draw in which nothing can be measured has no drop.

    Args:
        answers: The answers of both models to the same examples.
        kind: The kind of slice, such as `overall` or `class`.
        name: The slice of this kind.
        metric: A metric of `edgeline.gates.settings.Bound`; of `loss`, more is worse.
        false_alarm_rate: As of `build_measure`; other metrics than the recall of alarms ignore it.
        allowed: The largest drop that counts as none, in the metric's unit.
    """
    assert answers.baseline is not None
    groups, candidate = build_measure(answers, answers.candidate, kind, name, metric, false_alarm_rate)
    _, baseline = build_measure(answers, answers.baseline, kind, name, metric, false_alarm_rate)
    sign = -1 if metric == "loss" else 1

    def share(drawn_together: NDArray[np.int64]) -> float:
        draws = _draw_resamples(drawn_together)
        drops = np.concatenate([sign * (baseline(counts) - candidate(counts)) for counts in draws])
        return float((drops <= allowed + ROUNDING).mean())

    alone = np.arange(len(groups))
    together = np.unique(groups, return_inverse=True)[1]
    of_examples = share(alone)
    return NoDrop(of_examples, share(together) if together.max() < alone.max() else of_examples)


def find_lost_groups(
    answers: Answers, before: float, after: float, chance: float
) -> Iterator[tuple[int, ...]]:
    """Yields each group that the candidate lost: its number, its size, and both models' right answers.

    Args:
        answers: The answers of both models; the baseline is production.
        before: The least share of a group that production answers right, 0..1.
        after: The largest share of it that the candidate answers right, 0..1.
        chance: The largest allowed probability that equal models lose any of the groups, 0..1. As a model
            that only answers other examples right turns as many right as wrong, enough of them have to
            have turned wrong by the sign test, divided by the number of groups (Bonferroni).
    """
    from scipy.special import bdtr

    assert answers.baseline is not None
    was, now = answers.find_right(answers.baseline), answers.find_right(answers.candidate)
    size, right_before, right_now, turned_wrong, turned_right = (
        np.bincount(answers.groups, weights=mask, minlength=len(answers.group_names)).astype(int)
        for mask in (np.ones(len(was)), was, now, was & ~now, now & ~was)
    )
    # The probability that a fair coin turns at most this many of the changed answers right.
    by_chance = bdtr(turned_right, turned_wrong + turned_right, 0.5) * (size > 0).sum()
    worse = (size > 0) & (right_before >= before * size) & (right_now <= after * size) & (by_chance < chance)
    for number in np.flatnonzero(worse):
        yield int(number), int(size[number]), int(right_before[number]), int(right_now[number])


def estimate_interval(
    answers: Answers, kind: str, name: str, metric: str, false_alarm_rate: float
) -> tuple[int, float, float]:
    """Returns the number of groups behind the candidate's metric of a slice, and its 95 % interval.

    For a share of right answers, the interval is that of `intervals.compute_group_interval`. For other
    metrics, it follows from the standard deviation of the bootstrap of groups and the t distribution with
    one degree of freedom less than groups (Cameron, Gelbach and Miller, 2008: Bootstrap-based improvements
    for inference with clustered errors).

    Args:
        answers: The answers of the candidate; those of a baseline are not looked at.
        kind: The kind of slice, such as `overall` or `class`.
        name: The slice of this kind.
        metric: A metric of `edgeline.gates.settings.Bound`.
        false_alarm_rate: As of `build_measure`; other metrics than the recall of alarms ignore it.
    """
    from scipy.special import stdtrit

    if metric == "accuracy" or (kind, metric) == ("class", "recall"):
        mask = answers.of(kind, name)
        right = answers.find_right(answers.candidate)[mask]
        groups = answers.groups[mask]
        return len(np.unique(groups)), *compute_group_interval(right, groups)
    groups, measure = build_measure(answers, answers.candidate, kind, name, metric, false_alarm_rate)
    group_numbers = np.unique(groups, return_inverse=True)[1]
    number = int(group_numbers.max()) + 1
    largest = math.inf if metric == "loss" else 1.0
    if number == 1:
        return number, 0.0, largest
    values = np.concatenate([measure(counts) for counts in _draw_resamples(group_numbers)])
    value = float(measure(np.ones((1, len(groups)), np.float32))[0])
    half = float(stdtrit(number - 1, 0.975) * values.std() * math.sqrt(number / (number - 1)))
    return number, max(0.0, value - half), min(largest, value + half)


def _draw_resamples(groups: NDArray[np.int64]) -> Iterator[Floats]:
    """Yields how often each example was drawn with its group, [draws, n], until all resamples are drawn."""
    random = np.random.default_rng(20)
    count = groups.max() + 1
    at_once = max(1, min(RESAMPLES, _MOST_WEIGHTS // len(groups)))
    for start in range(0, RESAMPLES, at_once):
        draws = min(at_once, RESAMPLES - start)
        choices = random.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
        counts = np.bincount(choices.ravel(), minlength=draws * count)
        yield counts.reshape(draws, count).astype(np.float32)[:, groups]
