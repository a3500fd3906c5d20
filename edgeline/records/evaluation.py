"""Records of the ModelValidator: metrics by slice, suspect labels, photos unlike earlier ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeline.records.json_file import JsonFile
from edgeline.records.training import Estimate

# Metrics by kind of slice, slice and name: `{"class": {"ok": {"accuracy": 0.93, "example_count": 48.0}}}`.
SliceMetrics = Mapping[str, Mapping[str, Mapping[str, float | None]]]


@dataclass(frozen=True)
class Confusion:
    """Counts of examples by true class (row) and predicted class (column).

    An example whose probabilities are NaN has no predicted class and is in no column.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.labels) for row in (self.labels, self.rows, *self.rows)):
            raise ValueError(f"the confusion matrix lacks rows or columns for the labels {self.labels}")


@dataclass(frozen=True)
class GroupShare:
    """The accuracy on the examples of one group (session, machine, author), 0..1."""

    name: str
    examples: int
    accuracy: float
    before: float | None = None  # accuracy of the production model


@dataclass(frozen=True)
class SimpleModel:
    """A simple model that learned from the same train split, and its accuracy, 0..1.

    The network answered the same examples.
    """

    name: str
    accuracy: float
    low: float  # ends of the 95 % interval, which allows for groups
    high: float
    # The share of resamples in which the network is no worse; None for a model that is always beaten.
    no_better: float | None = None
    trained_on: int = 0  # examples
    seconds: float = 0.0
    network: float | None = None  # the network's accuracy; None in older records
    answered: int = 0  # examples
    examples: str = "eval examples"  # what a message calls these


@dataclass(frozen=True)
class Importance:
    """The effect of shuffling one column of the eval examples on the network's answers."""

    column: str
    drop: float  # of accuracy, 0..1; below 0 if it is better by chance
    changed: float  # share of the answers that change, 0..1
    largest_change: float  # of a probability, 0..1


@dataclass(frozen=True)
class Metrics:
    """The metrics of the trained model and of the production model, on the same examples."""

    candidate: SliceMetrics
    baseline: SliceMetrics | None = None  # None when nothing is in production
    baseline_version: int = 0
    confusion: Confusion | None = None  # the trained model's
    group: str = "group"  # the noun for a group; the plural adds an s
    # The trained model's accuracy by kind and slice (a class has its recall); intervals allow for groups.
    estimates: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    worst_groups: tuple[GroupShare, ...] = ()  # the worst first; empty where there are no groups
    # Metrics of cross-validation on the whole window: each example is predicted by a model trained on other
    # groups. None where the Trainer made no such predictions.
    out_of_fold: "Metrics | None" = None
    simple_models: tuple[SimpleModel, ...] = ()  # the worst first
    importance: tuple[Importance, ...] = ()  # of a table's columns, the largest drop first
    # Metrics on the eval examples without a near twin in train; None where near twins are few.
    without_twins: "Metrics | None" = None


METRICS = JsonFile[Metrics]("metrics.json", Metrics)


# The list for people to fill in, beside the record.
LABEL_ISSUES_CSV = "label_issues.csv"
# The columns of that list by which `edgeline data relabel` reads a decision.
EXAMPLE, LABEL, CORRECTED = "example", "label", "corrected"
# Its columns of numbers: the probability of the suggested label, and that of the label.
PROBABILITIES = ("probability", "probability_of_label")


@dataclass(frozen=True)
class LabelIssue:
    """An example with a suspect label; probabilities are 0..1."""

    example: str  # its id, `span-00042/a.jpg`
    split: str
    label: str
    suggested: str
    probability: float  # of the suggested label
    probability_of_label: float
    file: str = ""  # a preview beside the record; empty for a text or where none was made
    text: str = ""


@dataclass(frozen=True)
class LabelIssues:
    """The suspect examples of a window, the surest first."""

    judged: int  # number of examples
    judges: tuple[str, ...]  # the models that did not learn from the examples that they judged
    total: int  # number of suspects that are listed
    shown: tuple[LabelIssue, ...]  # the first of them
    unjudged: str = ""  # sentences why a split is not judged, or why not all suspects are listed


LABEL_ISSUES = JsonFile[LabelIssues]("label_issues.json", LabelIssues)
# The ids of the examples whose label a person has confirmed or corrected.
REVIEWED = JsonFile[tuple[str, ...]]("reviewed.json", tuple[str, ...])


@dataclass(frozen=True)
class EarlierRelease:
    """The answers of a release before the one in production to eval examples of the newest span."""

    version: int
    examples: int
    right: int


EARLIER = JsonFile[tuple[EarlierRelease, ...]]("earlier.json", tuple[EarlierRelease, ...])


# The photos have drifted if surely more than this share is unlike earlier ones, three times that by chance.
_MOST_UNLIKE = 0.03


@dataclass(frozen=True)
class UnlikePhoto:
    """A photo that is unlike earlier ones; `file` is a preview beside the record."""

    example: str
    file: str


@dataclass(frozen=True)
class PhotoDrift:
    """The share of a span's photos that are farther from all earlier ones than 99 % of these, 0..1."""

    span: str  # the newest
    photos: int  # number of its photos that were compared
    share: float
    low: float  # ends of the 95 % interval, which allows for sessions
    high: float
    unlike: tuple[UnlikePhoto, ...] = ()  # the first of these photos, the farthest first

    @property
    def has_drifted(self) -> bool:
        """True if more photos are unlike earlier ones than chance explains."""
        return self.low > _MOST_UNLIKE

    @property
    def sentence(self) -> str:
        """The result in words."""
        return (
            f"{100 * self.share:.1f} % of {self.photos:,} photos of {self.span} are unlike all earlier photos"
            f" (95 % CI {100 * self.low:.1f} to {100 * self.high:.1f} %; 1 % are by chance)."
        )


PHOTO_DRIFT = JsonFile[PhotoDrift]("photo_drift.json", PhotoDrift)
