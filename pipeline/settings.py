"""The settings of a run: typed, frozen values, checked once; `settings_layers.py` has their sources."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from errors import UsageError
from locations import is_url
from pipeline.kubeflow_settings import KubeflowSettings
from pipeline.secret_values import names_secret, names_user, refuse_user
from pipeline.settings_group import Group
from pipeline.settings_layers import describe_mistakes, merge_layers

Severity = Literal["block", "warn", "off"]
GateRule = Literal["schema", "drift", "label_shift", "class_count", "quarantine"]
DEFAULT_SEVERITY: Mapping[GateRule, Severity] = {
    "schema": "block",
    "drift": "warn",
    "label_shift": "block",
    "class_count": "block",
    "quarantine": "block",
}
VariantName = Literal["fp32", "fp16", "int8", "dynamic"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def _absolute(path: Path) -> Path:
    """Taken from where the command was typed: a worker may stand elsewhere."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be found: {error}") from None


SettingsPath = Annotated[Path, Field(strict=False), AfterValidator(_absolute)]
SettingsPlace = Annotated[
    str,
    Field(json_schema_extra={"format": "path"}),
    AfterValidator(lambda place: refuse_user(place) if is_url(place) else str(_absolute(Path(place)))),
]


class DataSettings(Group):
    """Which photos are read.

    Attributes:
        window: How many of the newest spans are read.
        eval_fraction: Share of the sessions (not of the photos) that goes to the eval split.
        max_megapixels: A larger photo is quarantined before it is decoded.
        min_side: A photo with a shorter side, in pixels, is quarantined.
        max_side: A photo with a longer side, in pixels, is stored scaled down to it.
    """

    window: int = Field(8, ge=1, le=1000)
    eval_fraction: float = Field(0.2, ge=0.01, le=0.9)
    max_megapixels: float = Field(40.0, gt=0, le=1000)
    min_side: int = Field(16, ge=1, le=4096)
    max_side: int = Field(512, ge=16, le=8192)

    @model_validator(mode="after")
    def _sides_in_order(self) -> "DataSettings":
        if self.min_side > self.max_side:
            raise ValueError(f"min_side ({self.min_side}) is larger than max_side ({self.max_side})")
        return self


class GateSettings(Group):
    """What the data gate asks of a window.

    Attributes:
        min_examples_per_class: Photos that each class needs in the whole window, train and eval together.
        max_quarantine_fraction: Largest share of the newest span that may be quarantined.
        severity: What each rule does when it fires; rules that are not named keep their default.
    """

    min_examples_per_class: int = Field(20, ge=0, le=1_000_000)
    max_quarantine_fraction: Fraction = 0.05
    severity: Mapping[GateRule, Severity] = Field(default_factory=lambda: dict(DEFAULT_SEVERITY))

    @field_validator("severity")
    @classmethod
    def _every_rule(cls, severity: Mapping[GateRule, Severity]) -> Mapping[GateRule, Severity]:
        return {**DEFAULT_SEVERITY, **severity}


class ModelSettings(Group):
    """Which network is trained.

    Attributes:
        backbone: `compact` (a small CNN) or `mobilenet_v3_small` (keras.applications).
        image_size: Height and width of the model's input, in pixels.
        channels: 1 for luma, 3 for RGB.
        weights: A Keras weights file to start from; None starts from random weights.
    """

    backbone: Literal["compact", "mobilenet_v3_small"] = "compact"
    image_size: int = Field(128, ge=32, le=512)
    channels: Literal[1, 3] = 1
    weights: SettingsPath | None = None


class TrainerSettings(Group):
    """How the network is trained.

    Attributes:
        epochs: Most epochs.
        batch_size: Photos a replica and step; the global batch is this times the replicas.
        learning_rate: Adam's, at the start; it falls to 0 along half a cosine by the last epoch.
        class_weights: Weight of a label's photos in the loss; 1.0 for labels not named.
        flip: Mirror training photos left to right at random.
        brightness: Largest random change of brightness, as a share of the full range.
        early_stopping_patience: Epochs without a better eval loss before training stops; 0 never stops early.
        strategy: `mirrored` (every GPU of the machine) or `one_device`.
        require_gpu: Refuse to train on a CPU.
    """

    epochs: int = Field(16, ge=1, le=10_000)
    batch_size: int = Field(64, ge=1, le=65_536)
    learning_rate: float = Field(1e-3, gt=0, le=1.0)
    class_weights: Mapping[str, Annotated[float, Field(gt=0, le=1000)]] = Field(default_factory=dict)
    flip: bool = True
    brightness: Fraction = 0.15
    early_stopping_patience: int = Field(5, ge=0, le=10_000)
    strategy: Literal["mirrored", "one_device"] = "mirrored"
    require_gpu: bool = False


class Bound(Group):
    """One bound that a model has to keep on every slice of a kind.

    Attributes:
        slice: `overall`, or each `class`, `lane` or `span`.
        metric: What is measured.
        lower: Smallest allowed value.
        max_drop: Largest allowed drop below the production model; says nothing while there is none.
        min_support: Slices with fewer eval photos are not judged: on 50 photos one photo is two points.
    """

    slice: Literal["overall", "class", "lane", "span"]
    metric: Literal["accuracy"] = "accuracy"
    lower: Fraction | None = None
    max_drop: Fraction | None = None
    min_support: int = Field(1, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _bounds_something(self) -> "Bound":
        if self.lower is None and self.max_drop is None:
            raise ValueError("it has neither lower nor max_drop, so it bounds nothing")
        return self


class EvaluationSettings(Group):
    """What a trained model has to reach.

    Attributes:
        bounds: All of them have to hold.
        beat_majority: Overall accuracy has to beat always saying the most frequent class.
    """

    bounds: Annotated[tuple[Bound, ...], Field(strict=False)] = ()
    beat_majority: bool = True


class EdgeSettings(Group):
    """What the phone's file has to reach.

    Attributes:
        variants: In the preferred order: the first that passes becomes the default.
        calibration_photos: Training photos that calibrate int8.
        min_agreement: Smallest share of eval photos on which file and SavedModel give the same label.
        max_accuracy_drop: Largest drop of eval accuracy from SavedModel to file.
        max_size_mb: Largest size of a file, in 10^6 bytes.
        max_latency_ms: Largest median of one photo on this machine, one thread, in milliseconds.
    """

    variants: Annotated[tuple[VariantName, ...], Field(strict=False, min_length=1)] = ("fp16", "int8", "fp32")
    calibration_photos: int = Field(100, ge=1, le=10_000)
    min_agreement: Fraction = 0.95
    max_accuracy_drop: Fraction = 0.02
    max_size_mb: float = Field(5.0, gt=0, le=10_000)
    max_latency_ms: float = Field(50.0, gt=0, le=60_000)

    @model_validator(mode="after")
    def _variants_once(self) -> "EdgeSettings":
        if len(set(self.variants)) != len(self.variants):
            raise ValueError(f"variants names one twice: {', '.join(self.variants)}")
        return self


class BeamSettings(Group):
    """Which Beam engine runs ingest, statistics, Transform and Evaluator.

    Attributes:
        flags: Go untouched to each Beam step; none means Beam's in-memory direct runner.
    """

    flags: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @field_validator("flags")
    @classmethod
    def _no_secrets(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        for flag in flags:
            name = flag.partition("=")[0]
            if names_secret(name) or names_user(flag):
                raise ValueError(
                    f"{name} has a secret, which every run would record. Its library also takes it from where"
                    " its own tools do, such as AWS_SECRET_ACCESS_KEY or ~/.aws"
                )
        return flags


class PushSettings(Group):
    """Where releases go.

    Attributes:
        destination: Root of the release store, a folder or a URL such as s3://BUCKET/PREFIX; None means
            `push/` in the workspace.
        expires_days: Days after the push from which a phone should no longer trust the release.
    """

    destination: SettingsPlace | None = None
    expires_days: int = Field(90, ge=1, le=3650)


class Settings(Group):
    """Every setting of a run."""

    seed: int = Field(20, ge=0, le=2**31 - 1)
    data: DataSettings = DataSettings()
    gate: GateSettings = GateSettings()
    model: ModelSettings = ModelSettings()
    trainer: TrainerSettings = TrainerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    edge: EdgeSettings = EdgeSettings()
    beam: BeamSettings = BeamSettings()
    push: PushSettings = PushSettings()
    kubeflow: KubeflowSettings = KubeflowSettings()


def load(
    workload: Mapping[str, object],
    profile: str | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    platform: str | None = None,
) -> Settings:
    """Settles defaults < workload's settings < profile < platform < `a.b=c` overrides into one value.

    Args:
        workload: The workload's own settings, nested by group.
        profile: Path of a YAML file, or the name of one in `pipeline/profiles/`.
        overrides: `a.b=c` each, `c` in YAML.
        labels: The workload's labels; class weights may name no other.
        platform: A second file of settings, for what belongs to a cluster.

    Raises:
        UsageError: Something is wrong; the one error names every mistake.
    """
    tree, mistakes = merge_layers(workload, profile, platform, overrides)
    settings = None
    try:
        settings = Settings.model_validate(tree.values)
    except ValidationError as error:
        mistakes += describe_mistakes(error, Settings.model_json_schema(), tree)
    weighted = settings.trainer.class_weights if settings else {}
    mistakes += [
        f"trainer.class_weights.{label}: the schema has no label {label!r}; its labels: {', '.join(labels)}."
        for label in weighted
        if labels is not None and label not in labels
    ]
    if mistakes or settings is None:
        count = "One setting is" if len(mistakes) == 1 else f"{len(mistakes)} settings are"
        raise UsageError(
            "\n".join([f"{count} wrong:", *(f"  {mistake}" for mistake in mistakes)]),
            "\nNothing was run.",
            "Mend them in the command, the profile or the workload, and run the same command again.",
        )
    return settings
