"""Settings of the network and of its training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from edgeline.settings_group import Fraction, Group, make_absolute


def _resolve_weights(weights: str) -> str:
    return weights if weights in ("imagenet", "minilm", "none") else str(make_absolute(Path(weights)))


def _check_folds(folds: int | None) -> int | None:
    if folds and not 2 <= folds <= 20:
        raise ValueError(f"{folds} is not 0 or 2 to 20: one fold is measured, the others train")
    return folds


Weights = Annotated[
    str,
    BeforeValidator(lambda weights: "none" if weights is None else weights),
    AfterValidator(_resolve_weights),
    Field(json_schema_extra={"format": "path"}),
]

# The backbones that have ImageNet weights.
PRETRAINED = ("efficientnet_lite0", "efficientnet_lite0_cut", "efficientnet_lite2")

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smh]$")]


def parse_seconds(duration: str | None) -> float:
    """Converts a duration to seconds; None is infinite."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]] if duration else math.inf


class ModelSettings(Group):
    """The settings of the network."""

    backbone: Literal[
        "compact",
        "mobilenet_v3_small",
        "mobilenet_v3_small_minimalistic",
        "efficientnet_lite0",
        "efficientnet_lite0_cut",
        "efficientnet_lite2",
    ] = "compact"
    """Photos: the network; `trainer_module/networks/backbones.py` describes each."""
    image_size: int = Field(128, ge=32, le=512)
    """Photos: height and width of the model's input in pixels."""
    channels: Literal[1, 3] = 1
    """Photos: 1 for luma, 3 for RGB."""
    weights: Weights = "none"
    """Weights that training begins with: `imagenet`, for efficientnet_lite; `minilm`, for texts, the
    vectors of English words that `make words` installs (then the default of texts); `none` for random ones;
    or a Keras file with weights of the backbone (.weights.h5, .keras, .h5)."""
    unlike: bool = True
    """Photos: whether files for phones say how unlike a photo is to those of training, as a second output;
    where training has 30 photos and 20 others are held out of train for it."""
    frozen_stages: Annotated[int, Field(ge=1, le=7)] | Literal["all"] = 3
    """Number of efficientnet_lite's seven stages that stay unchanged if training begins with weights. `all`,
    for any backbone: training changes nothing but the last layer."""
    hidden: int = Field(48, ge=8, le=1024)
    """Tables: width of the network."""
    members: int = Field(1, ge=1, le=64)
    """Tables: networks that share most weights and whose mean answers. Windows of readings have only one."""
    buckets: Literal[0, 4, 8, 16, 32, 64, 128] = 0
    """Tables: quantiles by which a number is ranked beside its z-score, for heavy tails; 0 for no rank."""
    vocabulary: int = Field(32, ge=1, le=10_000)
    """Tables: largest number of values of one category that are told apart."""
    vocabulary_size: int = Field(20_000, ge=10, le=500_000)
    """Texts: largest number of words without a vector that the model knows; and of pairs of words."""
    vocabulary_min_count: int = Field(2, ge=1, le=1_000_000)
    """Texts: number of times that a word without a vector, or a pair, has to occur to be known."""
    text_length: int | None = Field(None, ge=2, le=1024)
    """Texts: number of a text's first words that are read. With null, 95 % of the window's texts are read to
    their end, and 256 words at most."""
    word_dropout: float = Field(0.2, ge=0, le=0.95)
    """Texts: share of the words that training leaves out at random, in all of the network but the LSTM."""
    lstm_units: int = Field(0, ge=0, le=1024)
    """Texts: number of units in each direction of an LSTM that reads the order of the words; 0 for none."""
    embedding_size: int = Field(64, ge=2, le=1024)
    """Texts: size of the embedding of a word beside an LSTM, which reads one of a quarter of the size."""
    embedding_dropout: float = Field(0.5, ge=0, le=0.95)
    """Texts: share of the embeddings' numbers that training leaves out at random."""


class TrainerSettings(Group):
    """The settings of the training."""

    epochs: int = Field(16, ge=1, le=10_000)
    """Number of epochs. Where you set it, the limits of steps that the workload's kind has do not apply."""
    min_steps: int | None = Field(None, ge=1)
    """Least number of steps: more epochs, up to three times `epochs`, where few examples make few steps."""
    max_steps: int | None = Field(None, ge=1)
    """Largest number of steps: fewer epochs where not all fit, at least one. Null for no limit."""
    max_steps_a_group: int | None = Field(None, ge=1)
    """Largest number of steps for each group (session, machine, author) of train, as `max_steps`: what few
    groups have in common is learned soon, and then what tells them apart. Null for no limit."""
    budget: Duration | None = None
    """Time for the training (`300s`, `5m`, `2h`): fewer epochs where not all fit. Null for no limit."""
    batch_size: int = Field(64, ge=1, le=65_536)
    """Number of examples of one replica in one step."""
    learning_rate: float = Field(1e-3, gt=0, le=1.0)
    """Learning rate of Adam at the start; `schedule` says how it falls. For photos it is 0.0002 where
    training begins with weights, and 0.002 where these are random."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """How the learning rate falls. `cosine`: along half a cosine to 0 by the end, and where training begins
    with weights, after a rise. `plateau`: to a tenth after `plateau_patience` epochs without a smaller loss
    of the examples that `early_stopping_patience` holds out, or else of train (Keras's ReduceLROnPlateau)."""
    plateau_patience: int = Field(3, ge=1, le=10_000)
    """Number of epochs of `schedule`."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    """Share of the weights of layers, times the learning rate, that each step takes away (AdamW); more for
    few examples."""
    class_weights: Mapping[str, Annotated[float, Field(gt=0, le=1000)]] = {}
    """Weight of a label's examples in the loss, by label; 1.0 for labels that are not named."""
    balanced: bool = False
    """Whether each class counts as much, however rare, in the loss and in the choice of the epoch."""
    balanced_groups: bool = False
    """Whether each group (session, machine, author) counts as much within its class, however many examples of
    it there are; an example counts four times the mean of its class at most."""
    label_smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of each label that stands for all classes alike, against answers that are too sure."""
    teacher: Fraction = 0.0
    """Tables: share of each label that is replaced by the answer of gradient boosting that learned from other
    groups, which helps with groups never seen; 0 for none. Large tables have none."""
    flip: bool = True
    """Photos: whether training photos are mirrored left to right at random."""
    brightness: Fraction = 0.15
    """Photos: largest random change of brightness, as a share of the full range."""
    contrast: Fraction = 0.0
    """Photos: largest random change of contrast, as a share of it."""
    variations: int = Field(4, ge=1, le=100)
    """Photos: random variations of each photo, which epochs take in turn, if the first layers are frozen."""
    rotation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Photos: largest random turn to either side, as a share of a full one (Keras's RandomRotation), for
    phones held askew and things that lie about; 0.05 is 18 degrees, 0.5 any angle. Corners are mirrored."""
    crop: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Photos: largest share of a training photo's sides that is cut off at random; 0 if the edges matter."""
    early_stopping_patience: int = Field(0, ge=0, le=10_000)
    """0 trains all epochs and takes the last. Otherwise the tenth of the groups (sessions, machines, authors)
    that is held out of train chooses the epoch by loss (of balanced classes: by mean recall), and training
    stops after this many epochs without a better one."""
    checkpoint: Annotated[int, Field(ge=1)] | Literal["best"] = "best"
    """Weights to export: `best`, or those after that epoch, one of the last three. A step that is run again
    takes those of its run, without training."""
    strategy: Literal["auto", "mirrored", "one_device", "multi_worker", "tpu"] = "auto"
    """Devices that train. `auto`: as `mirrored` where the machine has a GPU, else its CPU. `mirrored`: a
    replica on each GPU of the machine. `one_device`: a single device. `multi_worker`: the devices of
    `workers` pods on Kubeflow, of all machines that TensorFlow's TF_CONFIG lists, or without both of
    `workers` processes of this machine. `tpu`: the TPU that TPU_NAME names. A step takes batch_size times as
    many examples as there are replicas; learning_rate is that of the whole step, however many they are."""
    workers: int = Field(2, ge=1, le=64)
    """Number of pods or processes that the strategy `multi_worker` trains with."""
    require_gpu: bool = False
    """Whether to refuse to train on a CPU. If not set, a pod on Kubeflow that asks for a GPU refuses."""
    folds: Annotated[int | None, AfterValidator(_check_folds)] = None
    """Number of models, 0 or 2 to 20, that are trained beside the model, each for as long, without a part of
    the groups of train. Their answers to these judge the model where eval is too small to tell, and give the
    temperature where a tenth of train is. 0 trains none. With null there are five if one of both has fewer
    than 20 groups or fewer than 5 of a class; but where trainer.budget is set, only to judge and if it has
    the time left, and for photos, only where it is set."""
    precision: Literal["float32", "mixed_float16"] = "float32"
    """Precision of the computations of a step; weights are float32 in both."""
    jit_compile: bool = False
    """Whether XLA compiles a step, of one replica."""
    deterministic: bool = False
    """Whether the same seed gives the same weights on a GPU too, at some cost of speed."""
    check_numerics: bool = False
    """Whether training stops at the operation that returns a number that is not finite; slow."""

    @property
    def budget_s(self) -> float:
        """Returns the budget in seconds; infinite if there is none."""
        return parse_seconds(self.budget)

    def count_epochs(self, steps: int, groups: int) -> tuple[int, str]:
        """Counts the epochs, each of `steps` steps, that the limits of steps allow for so many groups.

        Returns their number, and the limit that changes it; empty if none does.
        """
        epochs, limit = self.epochs, ""
        if self.min_steps and steps * epochs < self.min_steps:
            epochs = min(3 * epochs, math.ceil(self.min_steps / steps))
            limit = "min_steps"
        largest = {"max_steps": self.max_steps, "max_steps_a_group": self.max_steps_a_group}
        if largest["max_steps_a_group"]:
            largest["max_steps_a_group"] *= groups
        for name, most in largest.items():
            if most and steps * epochs > most and epochs > 1:
                epochs = max(1, most // steps)
                limit = name
        return epochs, limit

    def sample_weights(self, labels: Sequence[str], counts: Sequence[int]) -> list[float]:
        """Returns the sample weight of each class, in label order, from its number of training examples."""
        present = sum(count > 0 for count in counts)
        shares = [sum(counts) / (present * max(count, 1)) if self.balanced else 1.0 for count in counts]
        return [
            share * self.class_weights.get(label, 1.0) for label, share in zip(labels, shares, strict=True)
        ]


class LearningSettings(Group):
    """The settings of the Trainer, which the Tuner has too."""

    seed: int
    model: ModelSettings
    trainer: TrainerSettings

    def with_values(self, values: Mapping[str, Any]) -> "LearningSettings":
        """Returns the settings with the values of a search, by dotted name (`trainer.learning_rate`)."""
        updates: dict[str, dict[str, Any]] = {"model": {}, "trainer": {}}
        for name, value in values.items():
            group, _, leaf = name.partition(".")
            updates[group][leaf] = value
        changed = {group: getattr(self, group).model_copy(update=update) for group, update in updates.items()}
        return self.model_copy(update=changed)
