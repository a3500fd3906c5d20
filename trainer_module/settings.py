"""Settings of the network and of its training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from settings_group import Fraction, Group, absolute


def _resolve_weights(weights: str) -> str:
    return weights if weights in ("imagenet", "none") else str(absolute(Path(weights)))


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


Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smh]$")]


def parse_seconds(duration: str | None) -> float:
    """Converts a duration to seconds; None is infinite."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]] if duration else math.inf


class ModelSettings(Group):
    """The settings of the network."""

    # The network for photos; `trainer_module/backbones.py` describes each.
    backbone: Literal[
        "compact",
        "mobilenet_v3_small",
        "mobilenet_v3_small_minimalistic",
        "efficientnet_lite0",
        "efficientnet_lite0_cut",
    ] = "compact"
    image_size: int = Field(128, ge=32, le=512)  # height and width of the model's input, in pixels
    channels: Literal[1, 3] = 1  # 1 for luma, 3 for RGB
    # The weights that training begins with: `imagenet`, for the two efficientnet_lite0; random ones (`none`);
    # or a file of Keras with weights of the backbone (.weights.h5, .keras, .h5).
    weights: Weights = "none"
    # Stages of efficientnet_lite0, of seven, that training leaves as they are where it begins with weights.
    frozen_stages: int = Field(3, ge=1, le=7)
    # For tables.
    hidden: int = Field(48, ge=8, le=1024)  # the width of the network
    # Quantiles that a number is ranked by beside its z-score; 0 for no rank. Worth it for heavy tails.
    buckets: Literal[0, 4, 8, 16, 32, 64, 128] = 0
    vocabulary: int = Field(32, ge=1, le=10_000)  # most values of one category that are told apart
    # For texts.
    vocabulary_size: int = Field(20_000, ge=10, le=500_000)  # most words that the model knows
    vocabulary_min_count: int = Field(2, ge=1, le=1_000_000)  # how often a word has to be there to be known
    text_length: int = Field(64, ge=2, le=1024)  # how many of a text's first words are read
    embedding_size: int = Field(64, ge=2, le=1024)  # numbers for a word; the LSTM reads a quarter as many
    embedding_dropout: float = Field(0.5, ge=0, le=0.95)  # share of these that training leaves out at random
    word_dropout: float = Field(0.2, ge=0, le=0.95)  # share of words that all but the LSTM leave out
    lstm_units: int = Field(8, ge=2, le=1024)  # numbers that the LSTM carries in each direction


class TrainerSettings(Group):
    """The settings of the training."""

    epochs: int = Field(16, ge=1, le=10_000)  # most of them
    # Time that the training may take (`300s`, `5m`, `2h`): fewer epochs where so many do not fit.
    budget: Duration | None = None
    batch_size: int = Field(64, ge=1, le=65_536)  # examples of one replica in one step
    learning_rate: float = Field(1e-3, gt=0, le=1.0)  # Adam's; it falls to 0 along half a cosine by the end
    # Weight of a label's examples in the loss; 1.0 for labels not named.
    class_weights: Mapping[str, Annotated[float, Field(gt=0, le=1000)]] = Field(default_factory=dict)
    # Each class counts as much, however rare: in the loss, and in what chooses the epoch.
    balanced: bool = False
    flip: bool = True  # mirror training photos left to right at random
    brightness: Fraction = 0.15  # largest random change of brightness, as a share of the full range
    contrast: Fraction = 0.0  # largest random change of contrast, as a share of it
    # Random variations of each photo where the first layers are frozen: epochs take one after the other.
    variations: int = Field(4, ge=1, le=100)
    # Largest share of a training photo's sides that is cut off at random; 0 where what matters may be there.
    crop: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    # 0 trains all epochs and takes the last. Otherwise a tenth of the groups (sessions, machines, authors) is
    # held out of train and chooses the epoch, by loss (of balanced classes: mean recall); after so many
    # epochs without a better one training stops.
    early_stopping_patience: int = Field(0, ge=0, le=10_000)
    # `auto`: as `mirrored` where the machine has a GPU, or else its CPU. `mirrored`: a replica on each of its
    # GPUs. `multi_worker`: on those of `workers` pods on Kubeflow, of all machines that TensorFlow's
    # TF_CONFIG lists, or without both of `workers` processes of this machine. `tpu`: the one that TPU_NAME
    # names. A step takes batch_size times as many examples as there are replicas; learning_rate is that of
    # the whole step, however many they are.
    strategy: Literal["auto", "mirrored", "one_device", "multi_worker", "tpu"] = "auto"
    workers: int = Field(2, ge=1, le=64)
    # Refuse to train on a CPU. Where it is not set, a pod of Kubeflow does that asks for a GPU.
    require_gpu: bool = False
    # Models that are trained beside the one, each as long, to judge by groups that they have not seen what
    # such a model is worth: for sets whose eval split is too small to tell. 0 trains none. Where it is not
    # set they are five, if eval has fewer than 20 groups or fewer than 5 of a class; of photos, and where
    # there is a trainer.budget, only if that has the time left.
    folds: Annotated[int | None, AfterValidator(_check_folds)] = None
    precision: Literal["float32", "mixed_float16"] = "float32"  # of what a step computes; weights are float32
    jit_compile: bool = False  # have XLA compile a step, of one replica
    deterministic: bool = False  # the same weights from the same seed on a GPU too, at some cost of speed
    check_numerics: bool = False  # stop at the operation that gives a number that is not finite; slow

    @property
    def budget_s(self) -> float:
        """Returns the budget in seconds; infinite if there is none."""
        return parse_seconds(self.budget)

    def sample_weights(self, labels: Sequence[str], counts: Sequence[int]) -> list[float]:
        """Returns the sample weight of each class, in label order, from its number of training examples."""
        present = sum(count > 0 for count in counts)
        shares = [sum(counts) / (present * max(count, 1)) if self.balanced else 1.0 for count in counts]
        return [
            share * self.class_weights.get(label, 1.0) for label, share in zip(labels, shares, strict=True)
        ]


def replace_values(
    values: Mapping[str, Any], model: ModelSettings, trainer: TrainerSettings
) -> tuple[ModelSettings, TrainerSettings]:
    """Returns both settings with the values of a search, by dotted name (`trainer.learning_rate`)."""

    def select(group: str) -> dict[str, Any]:
        prefix = f"{group}."
        return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}

    return model.model_copy(update=select("model")), trainer.model_copy(update=select("trainer"))
