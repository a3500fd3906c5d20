"""The answers of models to examples, and functions that measure each metric on resamples of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeline.gates.settings import ALARM_METRICS
from edgeline.records.edge import Prediction
from edgeline.records.workload import Workload

# Metrics are float32, TFMA's too: 9 right of 10 come as 0.8999999762, and 6 of 10 as 0.6000000238.
ROUNDING = 1e-6
_LEAST_PROBABILITY = 1e-7  # Keras's, in the loss

Floats = NDArray[np.float32]
# Maps how often each example was drawn, [draws, n], to the metric of each draw, [draws].
Measure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Answers:
    """The answers of the trained model, and of the one in production if there is one, to n examples."""

    classes: tuple[str, ...]
    normal: int | None  # the class that is not an alarm, where the workload has one
    labels: NDArray[np.int64]  # [n]
    groups: NDArray[np.int64]  # [n], number of the group of each example, such as a session
    candidate: Floats  # probabilities, [n, classes or more]
    baseline: Floats | None  # None where nothing is in production
    # The examples of each (kind, slice) but of kind `class`: a mask [n] or positions, which are smaller.
    slices: Mapping[tuple[str, str], NDArray[np.bool_] | NDArray[np.int64]]
    group_names: tuple[str, ...] = ()  # by number
    ids: tuple[str, ...] = ()  # of the examples; empty where nobody asks

    @property
    def grouped(self) -> bool:
        """Returns True if any group has more than one example."""
        return len(np.unique(self.groups)) < len(self.groups)

    @cached_property
    def has_made_sessions(self) -> bool:
        """Returns True if most groups have the name of one of their photos: the source named no sessions."""
        photos = [example.partition("/")[2] for example in self.ids]
        names = {*photos, *(photo[:16] for photo in photos)}  # an import names a session by a digest
        numbers = np.unique(self.groups) if self.group_names else ()
        groups = [self.group_names[number].partition("-")[0] for number in numbers]
        return 2 * sum(group in names for group in groups) > len(groups)

    @staticmethod
    def choose_classes(probabilities: Floats) -> NDArray[np.int64]:
        """Returns the most probable class, [n]; -1 where a probability is not a finite number."""
        return np.where(np.isfinite(probabilities).all(1), probabilities.argmax(1), -1)

    def find_right(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Returns a mask of the examples that a model answers right, [n]."""
        return self.choose_classes(probabilities) == self.labels

    def take(self, positions: NDArray[np.int64]) -> "Answers":
        """Returns the answers to some examples, in this order."""
        places = np.full(len(self.labels), -1)
        places[positions] = np.arange(len(positions))
        slices = {}
        for kind, name in self.slices:
            here = places[self.of(kind, name)]
            if (here >= 0).any():
                slices[kind, name] = np.sort(here[here >= 0])
        return replace(
            self,
            labels=self.labels[positions],
            groups=self.groups[positions],
            candidate=self.candidate[positions],
            baseline=None if self.baseline is None else self.baseline[positions],
            slices=slices,
            ids=tuple(self.ids[position] for position in positions),
        )

    def list_slices(self) -> Mapping[str, tuple[str, ...]]:
        """Returns the names of the slices that have examples, by kind."""
        classes = tuple(self.classes[label] for label in np.unique(self.labels))
        kinds: dict[str, tuple[str, ...]] = {"overall": ("all",), "class": classes}
        for kind, name in self.slices:
            kinds[kind] = (*kinds.get(kind, ()), name)
        return kinds

    def of(self, kind: str, name: str) -> NDArray[np.bool_]:
        """Returns a mask of the examples of a slice, [n]."""
        if kind == "overall":
            return np.ones(len(self.labels), bool)
        if kind == "class":
            return self.labels == self.classes.index(name)
        mask = np.zeros(len(self.labels), bool)
        mask[self.slices[kind, name]] = True
        return mask


def name_own_group(example: str) -> str:
    """Returns the name of the group of an example that is alone."""
    return f"alone {example}"


def gather_answers(lines: Iterable[Prediction], workload: Workload) -> Answers:
    """Returns a model's predictions, at least one, in the order of the examples' ids."""
    lines = sorted(lines, key=lambda line: line.example_id)
    slices: dict[tuple[str, str], list[int]] = {}
    for number, line in enumerate(lines):
        spans = {"span": str(line.span)} if line.span is not None else {}
        for key in {**line.slices, **spans}.items():
            slices.setdefault(key, []).append(number)
    names, groups = np.unique(
        [line.group or name_own_group(line.example_id) for line in lines], return_inverse=True
    )
    return Answers(
        classes=workload.labels,
        normal=workload.labels.index(workload.normal) if workload.normal else None,
        labels=np.array([workload.labels.index(line.label) for line in lines]),
        groups=groups,
        candidate=np.array([line.probabilities for line in lines], np.float32),  # None becomes NaN
        baseline=None,
        slices={key: np.array(slices[key]) for key in sorted(slices)},
        group_names=tuple(names.tolist()),
        ids=tuple(line.example_id for line in lines),
    )


def build_measure(
    answers: Answers, probabilities: Floats, kind: str, name: str, metric: str, false_alarm_rate: float
) -> tuple[NDArray[np.int64], Measure]:
    """Returns the groups of the examples that a metric of a slice is measured on, and its measure.

    Args:
        answers: The labels and the groups; a slice is a subset of its examples.
        probabilities: The answers of one of the models to all examples, [N, classes].
        kind: The kind of slice, such as `overall`, `class` or `span`.
        name: The slice of this kind; for `class` a label, for `overall` it is `all`.
        metric: A metric of `edgeline.gates.settings.Bound`. Those of alarms need a normal class in `answers`.
        false_alarm_rate: The largest share of normal examples that raise an alarm, 0..1.

    Returns:
        The group of each measured example, [n], and a function that returns the metric, [draws], for the
        counts of the examples in resamples, [draws, n].
    """
    class_id = None
    mask = answers.of(kind, name)
    if kind == "class" and metric in ("recall", "precision", "f1"):
        class_id = answers.classes.index(name)
        mask = answers.of("overall", "all")
    groups, labels, probabilities = answers.groups[mask], answers.labels[mask], probabilities[mask]
    if metric in ALARM_METRICS:
        assert answers.normal is not None
        scores = _Scores(labels == answers.normal, probabilities[:, answers.normal])
        if metric == "auc":
            return groups, scores.auc
        return groups, lambda counts: scores.alarm_recall(counts, 1 - false_alarm_rate)
    predicted = Answers.choose_classes(probabilities)
    if metric in ("accuracy", "loss"):
        of_label = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0]
        losses = -np.log(of_label.clip(_LEAST_PROBABILITY, 1))
        values = predicted == labels if metric == "accuracy" else losses
        return groups, lambda counts: counts @ values.astype(np.float32) / counts.sum(1)
    classes = np.arange(probabilities.shape[1])
    is_label, is_predicted = labels[:, None] == classes, predicted[:, None] == classes

    def measure_classes(counts: Floats) -> Floats:
        masks = (is_label & is_predicted, is_label, is_predicted)
        hits, actual, answered = (counts @ mask.astype(np.float32) for mask in masks)
        value = {
            "recall": _divide(hits, actual),
            "precision": _divide(hits, answered),
            "f1": _divide(2 * hits, actual + answered),
        }[metric]
        if class_id is not None:
            return value[:, class_id]
        # The mean is over the classes that have examples.
        return _divide((value * (actual > 0)).sum(1), (actual > 0).sum(1))

    return groups, measure_classes


class _Scores:
    """The probabilities of examples to be normal, in ascending order; equal ones form one step."""

    def __init__(self, normal: NDArray[np.bool_], scores: Floats) -> None:
        self._order = np.argsort(scores, kind="stable")
        self._normal = normal[self._order]
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    def auc(self, counts: Floats) -> Floats:
        normal, alarms = self._count_steps(counts)
        below = alarms.cumsum(1) - alarms / 2
        return _divide((normal * below).sum(1), normal.sum(1) * alarms.sum(1))

    def alarm_recall(self, counts: Floats, sensitivity: float) -> Floats:
        """Returns the share of alarms below the highest threshold that keeps `sensitivity` of the normal."""
        normal, alarms = self._count_steps(counts)
        total = normal.sum(1, keepdims=True)
        is_kept = total - normal.cumsum(1) + normal >= sensitivity * total - ROUNDING
        highest = is_kept.sum(1, keepdims=True) - 1
        below = np.take_along_axis(alarms.cumsum(1) - alarms, highest, 1)[:, 0]
        return _divide(below, alarms.sum(1))

    def _count_steps(self, counts: Floats) -> tuple[Floats, Floats]:
        ordered = counts[:, self._order]
        normal = np.add.reduceat(ordered * self._normal, self._starts, axis=1)
        return normal, np.add.reduceat(ordered, self._starts, axis=1) - normal


def _divide(part: Floats, whole: Floats) -> Floats:
    """Returns the quotient; 0 where the divisor is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
