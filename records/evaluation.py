"""The metrics of a trained model, by slice, beside those of the model in production."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from records.json_file import JsonFile
from records.training import Estimate

# By kind of slice, slice and metric: `{"class": {"ok": {"accuracy": 0.93, "example_count": 48.0}}}`.
SliceMetrics = Mapping[str, Mapping[str, Mapping[str, float | None]]]


@dataclass(frozen=True)
class Confusion:
    """How often an example of the row's class was taken for the column's.

    One whose probabilities are not numbers is taken for no class, and in no column.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.labels) for row in (self.labels, self.rows, *self.rows)):
            raise ValueError(f"the confusion matrix has not a row and a column for each of {self.labels}")


@dataclass(frozen=True)
class GroupShare:
    """The share of one group (session, machine, author) that is answered right, 0..1."""

    name: str
    examples: int
    accuracy: float
    before: float | None = None  # the production model's


@dataclass(frozen=True)
class Metrics:
    """What the evaluator measured of the trained model and of the one in production, on the same examples."""

    candidate: SliceMetrics
    baseline: SliceMetrics | None = None  # None when nothing is in production
    baseline_version: int = 0
    confusion: Confusion | None = None  # of the trained model
    group: str = "group"  # what a group is called; with an s, what several are
    # The trained model's accuracy by kind and slice, with intervals that count groups; of a class its recall.
    estimates: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    worst_groups: tuple[GroupShare, ...] = ()  # the worst first; none where each example is alone
    # Of examples of the whole window, each answered by a model that has learned from other groups; None where
    # the Trainer gave no such answers.
    out_of_fold: "Metrics | None" = None
    # Of the eval examples without a near twin in train; None where near twins are few.
    without_twins: "Metrics | None" = None


METRICS = JsonFile[Metrics]("metrics.json", Metrics)
