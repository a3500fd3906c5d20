"""What is known of one run, as plain values: what the page shows, and what the pages after it compare with.

`facts.json` beside each page is this, so every field has a default: a page of an older version is still read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from records.edge import EdgeFiles, Mistake
from records.evaluation import Confusion
from records.ingest import Ingest, Thumbnail
from records.json_file import decode, encode
from records.run import Course, Problem
from records.schema import Difference
from records.training import Epoch, TrainingSummary
from records.verdict import Verdict
from report.measures import Reliability


@dataclass(frozen=True)
class Artifact:
    """One output of one step: where it lies, and its custom properties."""

    step: str
    output: str
    uri: str
    properties: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class About(Course):
    """The run itself.

    Attributes:
        run: Its id.
        model: The model's name.
        engine: Where it ran.
        notes: On the spans that it read, a sentence each.
        problem: What ended it before its last step.
        log: File with everything that was printed.
        data: Where the photos came from.
        settings: By dotted name.
        libraries: Version by name.
        artifacts: What the steps put out.
    """

    run: str
    model: str
    engine: Literal["local", "kubeflow"] = "local"
    notes: tuple[str, ...] = ()
    problem: Problem | None = None
    log: str | None = None
    data: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class Distribution:
    """The values of one feature over some photos.

    Attributes:
        photos: How many.
        mean: Of numbers.
        bins: Of numbers: (from, to, share of the photos).
        values: Of texts: (text, share of the photos), the commonest first.
    """

    photos: int
    mean: float | None = None
    bins: tuple[tuple[float, float, float], ...] = ()
    values: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Feature:
    """One feature of the training photos: the newest span, the spans before it, and how far apart they are.

    Attributes:
        name: Its name.
        now: In the newest span; in the whole window where that is the only span.
        before: In the spans before it.
        measure: The distance that the schema asks for.
        distance: 0..1; None where the schema asks for none, or too little is there to compare.
        threshold: The most that the schema allows.
    """

    name: str
    now: Distribution
    before: Distribution | None = None
    measure: str | None = None
    distance: float | None = None
    threshold: float | None = None

    @property
    def drifted(self) -> bool:
        """Whether it is further away than the schema allows."""
        return self.distance is not None and self.threshold is not None and self.distance > self.threshold


@dataclass(frozen=True)
class Data(Ingest):
    """The window of data, as ingest has it, and what was found in it.

    Attributes:
        features: Those whose drift was measured first, each kind by name.
        anomalies: What breaks the schema, a sentence each.
        thumbnails: Some of what is in quarantine.
        schema: How the window differs from the curated schema.
    """

    features: tuple[Feature, ...] = ()
    anomalies: tuple[str, ...] = ()
    thumbnails: tuple[Thumbnail, ...] = ()
    schema: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Training:
    """How the model was trained."""

    epochs: tuple[Epoch, ...] = ()
    summary: TrainingSummary = field(default_factory=TrainingSummary)


@dataclass(frozen=True)
class Slice:
    """Accuracy on one slice of the eval photos.

    Attributes:
        kind: `overall`, `class`, `span`, or one of the workload.
        name: Within its kind.
        photos: How many.
        accuracy: 0..1; None where it was no number.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        before: The production model's accuracy on the same examples.
        measures: What else was measured: `recall`, `precision`, `f1`, `auc`, `recall_at_false_alarms`.
    """

    kind: str
    name: str
    photos: int
    accuracy: float | None = None
    low: float = 0.0
    high: float = 1.0
    before: float | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of the trained model, beside those of the one in production where there is one."""

    slices: tuple[Slice, ...] = ()
    baseline_version: int | None = None
    confusion: Confusion | None = None

    def of(self, kind: str) -> tuple[Slice, ...]:
        """The slices of one kind."""
        return tuple(item for item in self.slices if item.kind == kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of slices, `overall`, `class` and `span` first."""
        known = ("overall", "class", "span")
        return tuple(dict.fromkeys((*known, *(item.kind for item in self.slices))))

    @property
    def overall(self) -> Slice | None:
        """The slice of all eval photos."""
        return next(iter(self.of("overall")), None)

    def worst(self, kind: str) -> Slice | None:
        """The slice of a kind with the lowest accuracy."""
        known = [item for item in self.of(kind) if item.accuracy is not None]
        return min(known, key=lambda item: (item.accuracy or 0.0, item.name), default=None)


@dataclass(frozen=True)
class Facts:
    """All of it; a part is None where the run did not get that far.

    Attributes:
        about: The run itself.
        data: The window.
        training: The Trainer's.
        evaluation: The Evaluator's.
        reliability: Of the SavedModel's probabilities on eval photos.
        mistakes: The surest wrong answers.
        edge: The EdgeValidator's.
        gates: The verdicts, in the order of the DAG.
        unreadable: What could not be read, a sentence each.
    """

    about: About
    data: Data | None = None
    training: Training | None = None
    evaluation: Evaluation | None = None
    reliability: Reliability | None = None
    mistakes: tuple[Mistake, ...] | None = None
    edge: EdgeFiles | None = None
    gates: tuple[Verdict, ...] = ()
    unreadable: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The content of facts.json."""
        return encode(self) + b"\n"

    @staticmethod
    def from_json(content: bytes) -> "Facts":
        """Reads facts.json, also one of another version.

        Raises:
            ValueError: It is none.
        """
        found: Facts = decode(content, Facts)
        return found


def by_dotted_name(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `About.settings` has them, each value as text."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= by_dotted_name(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found
