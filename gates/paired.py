"""Whether a model is worse than the one in production, or only looks so: a paired bootstrap.

Both models answered the same examples. Of these as many are drawn again, with replacement, 2,000 times, and
both are measured on each draw: what is only chance goes up as well as down (Efron and Tibshirani, 1993: An
Introduction to the Bootstrap, chapters 13 and 16). Draws have a fixed seed, so that a verdict is the same
each time.

Six photos of one object are not six independent ones: where examples share a group, groups are drawn too
(Field and Welsh, 2007: Bootstrapping clustered data), and what is less sure counts. Few groups alone would be
no better: of a single one, each draw is the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
# What one draw of a metric is worse by that is only rounding, as in `gates/bounds.py`.
_ROUNDING = 1e-6
_MOST_WEIGHTS = 4_000_000  # at once, 16 MB
_LEAST_PROBABILITY = 1e-7  # Keras's, in the loss

Floats = NDArray[np.float32]
# From how often each example was drawn, [draws, n], to the metric of each draw, [draws].
Measure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Answers:
    """What both models say of the n eval examples."""

    classes: tuple[str, ...]
    normal: int | None  # the class that is no alarm, where the workload has one
    labels: NDArray[np.int64]  # [n]
    groups: NDArray[np.int64]  # [n], of one number what belongs together: a session
    candidate: Floats  # probabilities, [n, classes or more]
    baseline: Floats
    # By kind but `class`, and slice: which examples, a mask [n] or, which is smaller, their positions.
    slices: Mapping[tuple[str, str], NDArray[np.bool_] | NDArray[np.int64]]

    def of(self, kind: str, name: str) -> NDArray[np.bool_]:
        """Which examples are in a slice, [n]."""
        if kind == "overall":
            return np.ones(len(self.labels), bool)
        if kind == "class":
            return self.labels == self.classes.index(name)
        here = np.zeros(len(self.labels), bool)
        here[self.slices[kind, name]] = True
        return here


def no_drop(answers: Answers, kind: str, name: str, metric: str, false_alarm_rate: float) -> float:
    """The share of resamples in which the candidate's metric of a slice is not worse than production's.

    Of resamples of examples and of groups, it is the larger share.

    Metrics are as in `gates.settings.Bound`: precision and F1 of a class depend on all examples, so all are
    drawn for it. A draw in which nothing can be measured counts as one without a drop.
    """
    groups, candidate, baseline = measures(answers, kind, name, metric, false_alarm_rate)
    sign = -1 if metric == "loss" else 1

    def share(drawn_together: NDArray[np.int64]) -> float:
        draws = _draws(drawn_together)
        held = [sign * (baseline(drawn) - candidate(drawn)) <= _ROUNDING for drawn in draws]
        return float(np.concatenate(held).mean())

    alone, together = np.arange(len(groups)), np.unique(groups, return_inverse=True)[1]
    return max(share(alone), share(together) if together.max() < alone.max() else 0.0)


def measures(
    answers: Answers, kind: str, name: str, metric: str, false_alarm_rate: float
) -> tuple[NDArray[np.int64], Measure, Measure]:
    """The groups of the examples that a metric of a slice is measured on, and how, for both models."""
    of_class, here = None, answers.of(kind, name)
    if kind == "class" and metric in ("recall", "precision", "f1"):
        of_class, here = answers.classes.index(name), answers.of("overall", "all")
    labels = answers.labels[here]
    candidate, baseline = (
        _measure(metric, labels, probabilities[here], of_class, answers.normal, false_alarm_rate)
        for probabilities in (answers.candidate, answers.baseline)
    )
    return answers.groups[here], candidate, baseline


def _draws(groups: NDArray[np.int64]) -> Iterator[Floats]:
    """How often each example was drawn with its group, [some draws, n], until there are all resamples."""
    random, count = np.random.default_rng(20), groups.max() + 1
    at_once = max(1, min(RESAMPLES, _MOST_WEIGHTS // len(groups)))
    for start in range(0, RESAMPLES, at_once):
        draws = min(at_once, RESAMPLES - start)
        drawn = random.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=draws * count)
        yield counts.reshape(draws, count).astype(np.float32)[:, groups]


def _measure(
    metric: str,
    labels: NDArray[np.int64],
    probabilities: Floats,
    of_class: int | None,
    normal: int | None,
    false_alarm_rate: float,
) -> Measure:
    if metric in ("auc", "recall_at_false_alarms"):
        assert normal is not None
        scores = _Scores(labels == normal, probabilities[:, normal])
        return scores.auc if metric == "auc" else lambda drawn: scores.found(drawn, 1 - false_alarm_rate)
    # An answer that is no number is for no class.
    said = np.where(np.isfinite(probabilities).all(1), probabilities.argmax(1), -1)
    if metric in ("accuracy", "loss"):
        of_label = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0]
        values = said == labels if metric == "accuracy" else -np.log(of_label.clip(_LEAST_PROBABILITY, 1))
        return lambda drawn: drawn @ values.astype(np.float32) / drawn.sum(1)
    classes = np.arange(probabilities.shape[1])
    truth, answered = labels[:, None] == classes, said[:, None] == classes

    def by_class(drawn: Floats) -> Floats:
        right, there, taken = (drawn @ of.astype(np.float32) for of in (truth & answered, truth, answered))
        value = {
            "recall": _share(right, there),
            "precision": _share(right, taken),
            "f1": _share(2 * right, there + taken),
        }[metric]
        # The mean is over the classes that have examples.
        return (
            value[:, of_class]
            if of_class is not None
            else _share((value * (there > 0)).sum(1), (there > 0).sum(1))
        )

    return by_class


class _Scores:
    """How probable each example is to be normal, in ascending order; equal ones are one step."""

    def __init__(self, normal: NDArray[np.bool_], scores: Floats) -> None:
        self._order = np.argsort(scores, kind="stable")
        self._normal = normal[self._order]
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    def auc(self, drawn: Floats) -> Floats:
        normal, alarms = self._steps(drawn)
        below = alarms.cumsum(1) - alarms / 2
        return _share((normal * below).sum(1), normal.sum(1) * alarms.sum(1))

    def found(self, drawn: Floats, sensitivity: float) -> Floats:
        """The share of alarms below the highest threshold that leaves so much of what is normal above it."""
        normal, alarms = self._steps(drawn)
        every = normal.sum(1, keepdims=True)
        kept = every - normal.cumsum(1) + normal >= sensitivity * every - _ROUNDING
        highest = kept.sum(1, keepdims=True) - 1
        below = np.take_along_axis(alarms.cumsum(1) - alarms, highest, 1)[:, 0]
        return _share(below, alarms.sum(1))

    def _steps(self, drawn: Floats) -> tuple[Floats, Floats]:
        ordered = drawn[:, self._order]
        normal = np.add.reduceat(ordered * self._normal, self._starts, axis=1)
        return normal, np.add.reduceat(ordered, self._starts, axis=1) - normal


def _share(part: Floats, whole: Floats) -> Floats:
    """A quotient; 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
