"""What is known of one run, as plain values: what the page shows, and what the pages after it compare with.

`facts.json` beside each page is this, so every field has a default: a page of an older version is still read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from report.measures import Reliability

Outcome = Literal["running", "pushed", "unchanged", "held", "refused", "failed", "interrupted", "killed"]


@dataclass(frozen=True)
class Step:
    """One step of the DAG: its state, wall time in seconds, and start (UTC, ISO 8601), where known."""

    name: str
    state: str = "done"
    seconds: float | None = None
    started: str | None = None


@dataclass(frozen=True)
class Artifact:
    """One output of one step: where it lies, and its custom properties."""

    step: str
    output: str
    uri: str
    properties: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What ended a run: what was found, why it cannot work, what to do."""

    found: str
    why: str = ""
    do: str = ""


@dataclass(frozen=True)
class About:
    """The run itself.

    Attributes:
        run: Its id.
        model: The model's name.
        number: Its place in the order in which the runs of its model were made; 0 where that was not noted.
        engine: Where it ran.
        outcome: How it ended.
        version: In production afterwards; None where nothing is, or where that is not known.
        started_at: UTC, ISO 8601.
        ended_at: The same.
        seconds: Wall time.
        start_seconds: Of it, from the start to the first step.
        resumes: The run whose finished steps it took over.
        reasons: Of the outcome, a sentence each.
        warnings: What a person should look at although it blocked nothing.
        notes: On the spans that it read, a sentence each.
        problem: What ended it before its last step.
        log: File with everything that was printed.
        data: Where the photos came from.
        inputs: Digests of what it depends on.
        settings: By dotted name.
        libraries: Version by name.
        steps: In their order.
        artifacts: What they put out.
    """

    run: str
    model: str
    number: int = 0
    engine: Literal["local", "kubeflow"] = "local"
    outcome: Outcome = "running"
    version: int | None = None
    started_at: str = ""
    ended_at: str | None = None
    seconds: float | None = None
    start_seconds: float | None = None
    resumes: str | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: Problem | None = None
    log: str | None = None
    data: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class Span:
    """One week of the window: rows of its labels, photos accepted, by class, and set aside by reason."""

    name: str
    number: int
    rows: int = 0
    accepted: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)

    @property
    def set_aside(self) -> int:
        """Photos of it in quarantine."""
        return sum(self.rejected.values())


@dataclass(frozen=True)
class Distribution:
    """The values of one feature over some photos.

    Attributes:
        photos: How many.
        mean: Of numbers.
        deviation: Of numbers.
        bins: Of numbers: (from, to, share of the photos).
        values: Of texts: (text, share of the photos), the commonest first.
    """

    photos: int
    mean: float | None = None
    deviation: float | None = None
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
class SetAside:
    """A photo in quarantine that there is a thumbnail of."""

    file: str
    span: str
    photo: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Excluded:
    """A span that somebody took out of all runs."""

    span: str
    who: str = ""
    when: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Data:
    """The window of data.

    Attributes:
        window: Digest of its content.
        splits: Photos by split.
        classes: Photos by class.
        spans: Oldest first.
        features: Those whose drift was measured first, each kind by name.
        anomalies: What breaks the schema, a sentence each.
        set_aside: Some of the photos in quarantine.
        excluded: The spans that the window would hold, had nobody excluded them.
    """

    window: str = ""
    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    features: tuple[Feature, ...] = ()
    anomalies: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    excluded: tuple[Excluded, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """The logs of one epoch; None where a figure was no number."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True)
class Training:
    """How the model was trained; `best_epoch` counts from 1 and is the one whose weights were kept."""

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int | None = None
    resumed_from_epoch: int | None = None
    seconds: float | None = None
    devices: tuple[str, ...] = ()
    global_batch_size: int | None = None
    train_examples: int | None = None
    eval_examples: int | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Slice:
    """Accuracy on one slice of the eval photos.

    Attributes:
        kind: `overall`, `class`, `lane` or `span`.
        name: Within its kind.
        photos: How many.
        accuracy: 0..1; None where it was no number.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        loss: Cross-entropy.
        before: The production model's accuracy on the same photos.
    """

    kind: str
    name: str
    photos: int
    accuracy: float | None = None
    low: float = 0.0
    high: float = 1.0
    loss: float | None = None
    before: float | None = None


@dataclass(frozen=True)
class Confusion:
    """How often a photo of the row's class was taken for the column's."""

    labels: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.labels) for row in (self.labels, self.rows, *self.rows)):
            raise ValueError(f"the confusion matrix has not a row and a column for each of {self.labels}")


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
    def overall(self) -> Slice | None:
        """The slice of all eval photos."""
        return next(iter(self.of("overall")), None)

    def worst(self, kind: str) -> Slice | None:
        """The slice of a kind with the lowest accuracy."""
        known = [item for item in self.of(kind) if item.accuracy is not None]
        return min(known, key=lambda item: (item.accuracy or 0.0, item.name), default=None)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that the model was sure of."""

    file: str
    photo_id: str
    label: str
    predicted: str
    probability: float
    probability_of_label: float = 0.0
    lane: str = ""
    span: int | None = None


@dataclass(frozen=True)
class Variant:
    """One edge file as it was measured; it passed where `reasons` is empty.

    Attributes:
        name: `fp32`, `fp16`, `dynamic` or `int8`.
        file: None where it could not be made.
        reasons: Why it may not ship.
        size_bytes: Its size.
        accuracy: 0..1.
        reference_accuracy: The SavedModel's on the same photos.
        agreement: Share of photos with the SavedModel's answer.
        max_difference: Largest difference of a probability.
        p50_ms: Median time of one photo, milliseconds.
        p99_ms: The time that 99 of 100 photos stay under.
        worst_lane: The lane with the lowest accuracy.
        worst_lane_accuracy: That.
        machine: Where the times were measured.
    """

    name: str
    file: str | None = None
    reasons: tuple[str, ...] = ()
    size_bytes: int | None = None
    accuracy: float | None = None
    reference_accuracy: float | None = None
    agreement: float | None = None
    max_difference: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    worst_lane: str | None = None
    worst_lane_accuracy: float | None = None
    machine: str = ""


@dataclass(frozen=True)
class Edge:
    """The files for phones."""

    default: str | None = None
    photos: int = 0
    variants: tuple[Variant, ...] = ()

    def __post_init__(self) -> None:
        if self.default is not None and self.default not in {variant.name for variant in self.variants}:
            raise ValueError(f"the default {self.default} is none of the files")


@dataclass(frozen=True)
class Gate:
    """A gate's verdict: `pass`, `fail` or `no_baseline`."""

    gate: str
    result: str
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All of it; a part is None where the run did not get that far.

    Attributes:
        about: The run itself.
        data: The window.
        training: The Trainer's.
        evaluation: The ModelEvaluator's.
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
    edge: Edge | None = None
    gates: tuple[Gate, ...] = ()
    unreadable: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The content of facts.json."""
        return bytes(_adapter().dump_json(self, indent=1)) + b"\n"

    @staticmethod
    def from_json(content: bytes) -> "Facts":
        """Reads facts.json, also one of another version.

        Raises:
            ValueError: It is none.
        """
        found: Facts = _adapter().validate_json(content)
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


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Facts)
