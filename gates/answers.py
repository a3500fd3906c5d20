"""What models said of examples, and how each metric is measured on any draw of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Metrics are float32, TFMA's too: 9 right of 10 come as 0.8999999762, and 6 of 10 as 0.6000000238.
ROUNDING = 1e-6
_LEAST_PROBABILITY = 1e-7  # Keras's, in the loss

Floats = NDArray[np.float32]
# From how often each example was drawn, [draws, n], to the metric of each draw, [draws].
Measure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Answers:
    """What the trained model, and the one in production where there is one, say of n examples."""

    classes: tuple[str, ...]
    normal: int | None  # the class that is no alarm, where the workload has one
    labels: NDArray[np.int64]  # [n]
    groups: NDArray[np.int64]  # [n], of one number what belongs together: a session
    candidate: Floats  # probabilities, [n, classes or more]
    baseline: Floats | None  # None where nothing is in production
    # By kind but `class`, and slice: which examples, a mask [n] or, which is smaller, their positions.
    slices: Mapping[tuple[str, str], NDArray[np.bool_] | NDArray[np.int64]]
    group_names: tuple[str, ...] = ()  # by number

    @property
    def grouped(self) -> bool:
        """Whether any examples belong together."""
        return len(np.unique(self.groups)) < len(self.groups)

    @staticmethod
    def said(probabilities: Floats) -> NDArray[np.int64]:
        """The most probable class, [n]; -1 for an answer that is no number."""
        return np.where(np.isfinite(probabilities).all(1), probabilities.argmax(1), -1)

    def right(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Which examples a model is right on, [n]."""
        return self.said(probabilities) == self.labels

    def by_kind(self) -> Mapping[str, tuple[str, ...]]:
        """The slices that have examples, by kind."""
        kinds: dict[str, tuple[str, ...]] = {"overall": ("all",), "class": ()}
        kinds["class"] = tuple(self.classes[label] for label in np.unique(self.labels))
        for kind, name in self.slices:
            kinds[kind] = (*kinds.get(kind, ()), name)
        return kinds

    def of(self, kind: str, name: str) -> NDArray[np.bool_]:
        """Which examples are in a slice, [n]."""
        if kind == "overall":
            return np.ones(len(self.labels), bool)
        if kind == "class":
            return self.labels == self.classes.index(name)
        here = np.zeros(len(self.labels), bool)
        here[self.slices[kind, name]] = True
        return here


def measure_of(
    answers: Answers, probabilities: Floats, kind: str, name: str, metric: str, false_alarm_rate: float
) -> tuple[NDArray[np.int64], Measure]:
    """The groups of the examples that a metric of a slice is measured on, and how, for one of the models."""
    of_class, here = None, answers.of(kind, name)
    if kind == "class" and metric in ("recall", "precision", "f1"):
        of_class, here = answers.classes.index(name), answers.of("overall", "all")
    of = _measure(
        metric, answers.labels[here], probabilities[here], of_class, answers.normal, false_alarm_rate
    )
    return answers.groups[here], of


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
    said = Answers.said(probabilities)
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
        kept = every - normal.cumsum(1) + normal >= sensitivity * every - ROUNDING
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
