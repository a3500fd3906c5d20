"""Which network is trained, and how."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from settings_group import Fraction, Group, SettingsPath


class ModelSettings(Group):
    """Which network is trained.

    Attributes:
        backbone: `compact` (a small CNN) or `mobilenet_v3_small` (keras.applications).
        image_size: Height and width of the model's input, in pixels.
        channels: 1 for luma, 3 for RGB.
        weights: A Keras weights file to start from; None starts from random weights.
        vocabulary_size: Of texts: most words that the model knows; the most frequent ones.
        vocabulary_min_count: Of texts: how often a word has to be there to be known.
        text_length: Of texts: how many of a text's first words are read.
        embedding_size: Of texts: numbers that stand for a word; the LSTM reads a quarter as many.
        embedding_dropout: Of texts: share of these that training leaves out at random.
        word_dropout: Of texts: share of whole words that training leaves out at random.
        lstm_units: Of texts: numbers that the LSTM carries in each direction.
    """

    backbone: Literal["compact", "mobilenet_v3_small"] = "compact"
    image_size: int = Field(128, ge=32, le=512)
    channels: Literal[1, 3] = 1
    weights: SettingsPath | None = None
    vocabulary_size: int = Field(20_000, ge=10, le=500_000)
    vocabulary_min_count: int = Field(2, ge=1, le=1_000_000)
    text_length: int = Field(64, ge=2, le=1024)
    embedding_size: int = Field(64, ge=2, le=1024)
    embedding_dropout: float = Field(0.5, ge=0, le=0.95)
    word_dropout: float = Field(0.2, ge=0, le=0.95)
    lstm_units: int = Field(8, ge=2, le=1024)


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

    def weights_of(self, labels: Sequence[str]) -> list[float]:
        """The sample weight of each class in label order; 1 where none is set."""
        return [self.class_weights.get(label, 1.0) for label in labels]
