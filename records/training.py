"""How a model was trained."""

from dataclasses import dataclass

from records.json_file import JsonFile, JsonLines

# The folder of what TensorBoard shows of a training, in its `model_run` artifact; the name too of the event
# that says where it is written meanwhile.
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Epoch:
    """The logs of one epoch, counted from 1; None where a figure was no number."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_recall: float | None = None  # mean over the classes that the eval split has


@dataclass(frozen=True)
class TrainingSummary:
    """A training that ended; epochs count from 1, seconds and speed are of the process that ended it."""

    devices: tuple[str, ...] = ()  # that held a replica, as `GPU:0`
    global_batch_size: int | None = None  # examples in one step of all replicas
    best_epoch: int | None = None  # whose weights were kept
    resumed_from_epoch: int | None = None  # epochs that were done before a kill; None where there was none
    seconds: float | None = None
    examples_per_second: float | None = None
    parameters: int | None = None


TRAINING = JsonFile[TrainingSummary]("training.json", TrainingSummary)
EPOCHS = JsonLines[Epoch]("history.jsonl", Epoch)
