"""How a model was trained."""

from dataclasses import dataclass

from records.json_file import JsonFile, JsonLines


@dataclass(frozen=True)
class Epoch:
    """The logs of one epoch, counted from 1; None where a figure was no number."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True)
class TrainingSummary:
    """A training that ended.

    Attributes:
        strategy: `mirrored` or `one_device`.
        replicas: Devices that trained at once.
        devices: Their names.
        global_batch_size: Examples in one step of all replicas.
        epochs: That were done, those before a resume included.
        best_epoch: The one whose weights were kept, counted from 1.
        resumed_from_epoch: Epochs that were done before a kill; None where there was none.
        seconds: In the process that ended it.
        examples_per_second: In that process.
        train_examples: How many.
        eval_examples: How many.
        parameters: Of the model.
    """

    strategy: str = ""
    replicas: int | None = None
    devices: tuple[str, ...] = ()
    global_batch_size: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    resumed_from_epoch: int | None = None
    seconds: float | None = None
    examples_per_second: float | None = None
    train_examples: int | None = None
    eval_examples: int | None = None
    parameters: int | None = None


TRAINING = JsonFile[TrainingSummary]("training.json", TrainingSummary)
EPOCHS = JsonLines[Epoch]("history.jsonl", Epoch)
