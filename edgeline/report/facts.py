"""The facts of one run: its record, and what its artifacts tell. Its page shows them; later runs compare.

They are written as `facts.json` beside each page.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from edgeline.records.edge import EdgeFiles, Mistake
from edgeline.records.evaluation import (
    Confusion,
    EarlierRelease,
    Importance,
    LabelIssues,
    PhotoDrift,
    SimpleModel,
)
from edgeline.records.ingest import Ingest, Quarantined
from edgeline.records.run import Run
from edgeline.records.served import PushedVersion, Served, Skew, Tally
from edgeline.records.training import CrossValidation, Epoch, Search, TrainingSummary
from edgeline.records.verdict import Difference, EndedCanary, Verdict
from edgeline.report.measures import Reliability
from edgeline.report.words import percent

_MOST_DEVICES = 30  # the worst, which come first


@dataclass(frozen=True)
class Distribution:
    """The values of one feature over some examples: a mean and bins for numbers, values for texts."""

    mean: float | None = None
    bins: tuple[tuple[float, float, float], ...] = ()  # (from, to, share of the examples)
    values: tuple[tuple[str, float], ...] = ()  # (text, share of the examples), the commonest first


@dataclass(frozen=True)
class Feature:
    """One feature of the training examples: the newest span, the spans before it, and how far apart they are.

    Distance and threshold are None where the schema sets no threshold, or examples are too few to compare.
    """

    name: str
    now: Distribution  # in the newest span; in the whole window where that is the only span
    before: Distribution | None = None
    distance: float | None = None  # 0..1
    threshold: float | None = None  # the most that the schema allows
    measure: str = ""  # the name of the distance in the schema

    @property
    def drifted(self) -> bool:
        """Returns whether the distance is above the threshold of the schema."""
        return self.distance is not None and self.threshold is not None and self.distance > self.threshold

    @property
    def beyond(self) -> float:
        """Returns the share of numbers outside the range of the spans before, 0..1, from the bins."""
        if self.before is None or not self.before.bins:
            return 0.0
        least, most = self.before.bins[0][0], self.before.bins[-1][1]

        def within(low: float, high: float) -> float:
            width = high - low
            return max(min(high, most) - max(low, least), 0) / width if width else float(least <= low <= most)

        return sum(share * (1 - within(low, high)) for low, high, share in self.now.bins)


@dataclass(frozen=True)
class Data(Ingest):
    """The window of data as ingest recorded it, and the findings on it."""

    features: tuple[Feature, ...] = ()  # those whose drift was measured first, each kind by name
    anomalies: tuple[str, ...] = ()  # violations of the schema, a sentence each
    thumbnails: tuple[Quarantined, ...] = ()  # some of what is in quarantine
    schema: tuple[Difference, ...] = ()  # how the window differs from the curated schema


@dataclass(frozen=True)
class Training:
    """The training of the model."""

    epochs: tuple[Epoch, ...] = ()
    summary: TrainingSummary = field(default_factory=TrainingSummary)
    cross_validation: CrossValidation | None = None

    @property
    def kept(self) -> Epoch | None:
        """Returns the epoch whose weights the model has."""
        best = self.summary.best_epoch
        return next((epoch for epoch in self.epochs if epoch.epoch == best), None)


@dataclass(frozen=True)
class Slice:
    """Accuracy on one slice of the eval examples, 0..1."""

    kind: str  # `overall`, `class`, `span`, or one of the workload
    name: str  # within its kind
    examples: int
    accuracy: float | None = None  # None where it was not a number
    low: float = 0.0  # lower end of its 95 % confidence interval; `high` is the upper one
    high: float = 1.0
    before: float | None = None  # the production model's, on the same examples
    # Further metrics: `recall`, `precision`, `f1`, `auc`, `recall_at_false_alarms`, `false_alarms`, ...
    measures: Mapping[str, float] = field(default_factory=dict)
    groups: int | None = None  # counted by its interval; None where every example is a group of its own

    @property
    def lost(self) -> float:
        """Number of right answers that production has more than the model; 0 where it is not known."""
        if self.before is None or self.accuracy is None:
            return 0.0
        return self.examples * (self.before - self.accuracy)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of the trained model, and those of the model in production if there is one."""

    slices: tuple[Slice, ...] = ()
    baseline_version: int | None = None
    confusion: Confusion | None = None
    group: str = "group"  # the noun for a group: session, machine, author
    out_of_fold: tuple[Slice, ...] = ()  # by models that did not learn from the groups
    simple_models: tuple[SimpleModel, ...] = ()  # the worst first
    importance: tuple[Importance, ...] = ()  # of a table's columns, the largest drop first

    def of(self, kind: str) -> tuple[Slice, ...]:
        """Returns the slices of one kind."""
        return tuple(item for item in self.slices if item.kind == kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Returns the kinds of slices, `overall`, `class` and `span` first."""
        first = ("overall", "class", "span")
        return tuple(dict.fromkeys((*first, *(item.kind for item in self.slices))))

    @property
    def overall(self) -> Slice | None:
        """Returns the slice of all eval examples."""
        return next(iter(self.of("overall")), None)

    @property
    def judged(self) -> Slice | None:
        """Returns the slice of all examples by which the gate judged: out of fold, if there is one."""
        return next((item for item in self.out_of_fold if item.kind == "overall"), self.overall)

    def worst(self, kind: str, judged: bool = False) -> Slice | None:
        """Returns the slice of a kind with the lowest accuracy; if `judged`, out of fold where possible."""
        slices = self.out_of_fold if judged and self.out_of_fold else self.slices
        rated = [item for item in slices if item.kind == kind and item.accuracy is not None]
        return min(rated, key=lambda item: (item.accuracy or 0.0, item.name), default=None)


@dataclass(frozen=True)
class TwinAccuracy:
    """Accuracy on eval with and without the examples that have a near twin in train, 0..1."""

    twins: int = 0  # examples with a near twin, out of `compared`
    compared: int = 0
    sample: str = ""  # the number of examples that these are a sample of, in words
    examples: str = ""  # some of those twins in words
    accuracy: float | None = None  # on all that the model answered; None without answers
    without: float | None = None  # on those without a near twin
    others: int = 0  # how many have no near twin


@dataclass(frozen=True)
class Written:
    """The facts of a run in a file; a part is None where the run did not get that far."""

    run: Run | str  # its record, or only its id where the record is another file
    data: Data | None = None
    search: Search | None = None  # None where settings were not searched
    training: Training | None = None
    evaluation: Evaluation | None = None
    twins: TwinAccuracy | None = None  # None where there are none
    reliability: Reliability | None = None  # measured on the SavedModel's probabilities of eval examples
    mistakes: tuple[Mistake, ...] | None = None  # the wrong answers with the highest probabilities
    label_issues: LabelIssues | None = None
    served: Served | None = None  # None where no phone reported its answers
    pushed: Mapping[int, PushedVersion] = field(default_factory=dict)  # the served versions
    skews: tuple[Skew, ...] = ()  # where served scores were computed again
    earlier: tuple[EarlierRelease, ...] = ()
    photo_drift: PhotoDrift | None = None
    edge: EdgeFiles | None = None
    gates: tuple[Verdict, ...] = ()  # in the order of the DAG
    ended_canary: EndedCanary | None = None
    # The settings that are others than in the run that made production, `a.b 12 -> 2`.
    unlike_production: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()  # unreadable parts, a sentence each


@dataclass(frozen=True)
class Facts(Written):
    """All facts of a run."""

    run: Run

    def __repr__(self) -> str:
        return f"<facts of run {self.run.id}>"

    @property
    def canary_percent(self) -> float | None:
        """Returns the share of phones that try its model as a canary; None if it is none."""
        share: float | None = self.run.settings.get("push", {}).get("canary_percent")
        has_baseline = self.evaluation is not None and self.evaluation.baseline_version is not None
        return share if share and has_baseline and self.run.outcome == "pushed" else None

    @property
    def production(self) -> int | None:
        """Returns the version in production when it ended, which a canary leaves as it was."""
        is_canary = self.canary_percent is not None
        return self.evaluation.baseline_version if is_canary and self.evaluation else self.run.version


@dataclass(frozen=True)
class ServedSlice:
    """The answers of one version on one slice, which may be all of them."""

    version: int
    tally: Tally
    drawn: Slice  # the checked ones among those drawn at random; `before` is the eval accuracy at the push

    @property
    def sentence(self) -> str:
        """Returns accuracy, expected accuracy and doubted answers in words."""
        tally, drawn = self.tally, self.drawn
        text = f"Version {self.version} answered {tally.answers:,} times"
        if drawn.accuracy is not None:
            on_eval = f", on eval {percent(drawn.before)}" if drawn.before is not None else ""
            text += (
                f": {percent(drawn.accuracy)} of {drawn.examples:,} drawn at random were right (95 % CI"
                f" {percent(drawn.low)} to {percent(drawn.high)}{on_eval})"
            )
        text += f"; {percent(tally.expected)} to expect by their scores"
        if tally.doubted:
            text += f"; {tally.doubted_right:,} of {tally.doubted:,} that looked wrong were right"
        return f"{text}.".replace("\u00a0", " ")


def list_served(served: Served | None, pushed: Mapping[int, PushedVersion]) -> Iterator[ServedSlice]:
    """Yields what was answered by version, the newest first, kind and slice."""
    for version in (served or Served()).versions:
        release = pushed.get(version.version)
        for kind, tallies in version.kinds.items():
            for name, tally in islice(tallies.items(), _MOST_DEVICES if tallies is version.devices else None):
                before = release.accuracy_of(kind, name) if release else None
                drawn = Slice(kind, name, 0, before=before)
                if checked := tally.checked:
                    share, groups = (checked.share, checked.low, checked.high), checked.sessions
                    drawn = Slice(kind, name, checked.examples, *share, before=before, groups=groups)
                yield ServedSlice(version.version, tally, drawn)
