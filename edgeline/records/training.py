"""Records of trainings, searches and cross-validations."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeline.intervals import compute_group_interval
from edgeline.records.json_file import JsonFile, JsonLines

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The folder of a training's TensorBoard logs in its `model_run` artifact; also the name of the event that
# says where they are during the training.
TENSORBOARD = "tensorboard"
# The folder of a training's last epochs in that artifact, and of all trainings in a workspace.
CHECKPOINTS = "checkpoints"
# A file in the folder of a training's checkpoints once all outputs of the step are written.
FINISHED = "finished"
# A digest of weights and graph in a SavedModel, in the folder for extra files, which TF Serving ignores. Two
# equal trainings have the same digest, although their files differ.
MODEL_IDENTITY = "assets.extra/model_identity"


def remove_finished(checkpoints: Path, stays: str = "") -> None:
    """Removes the checkpoints of finished trainings, except those in the folder named by `stays`.

    A training keeps its checkpoints: until its step is published, a kill makes the step run again.
    """
    for finished in checkpoints.glob(f"*/{FINISHED}"):
        if finished.parent.name != stays:
            shutil.rmtree(finished.parent, ignore_errors=True)


@dataclass(frozen=True)
class Epoch:
    """The logs of one epoch, counted from 1; None for a value that was NaN or missing."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_recall: float | None = None  # mean over the classes that the eval split has
    held_out_loss: float | None = None  # on groups of train that select the epoch; None if there are none
    held_out_recall: float | None = None
    input_wait: float | None = None  # share of the steps' time spent waiting for the next batch
    seconds: float | None = None  # with its evaluation; None in records of earlier versions


@dataclass(frozen=True)
class TrainingSummary:
    """A finished training; epochs count from 1, seconds and speed are of the process that finished it."""

    devices: tuple[str, ...] = ()  # devices with a replica, as `GPU:0`
    global_batch_size: int | None = None  # examples in one step of all replicas
    best_epoch: int | None = None  # its weights were kept: the last, or the one selected by held-out groups
    averaged: int = 1  # number of the last epochs whose mean weights were kept
    resumed_from_epoch: int | None = None  # epochs done before a kill; None if there was none
    seconds: float | None = None
    examples_per_second: float | None = None
    input_wait: float | None = None  # share of the steps' time spent waiting for the next batch
    parameters: int | None = None
    variations: int | None = None  # number per photo, used by the epochs in turn; None without a frozen front
    held_out: int = 0  # number of train examples that the model did not learn from
    temperature: float | None = None  # by which logits are divided; None if it was not fitted
    temperature_examples: int = 0  # of train, answered by models that did not learn from them
    unlike_examples: int = 0  # those that gave the threshold of `unlike`; 0 without it
    notes: tuple[str, ...] = ()  # deviations from the settings, a sentence each
    layers: str = ""  # Keras's table of them; empty in older records


@dataclass(frozen=True)
class Trial:
    """One training of a search."""

    number: int  # from 1, in the order of the trials
    values: Mapping[str, bool | int | float | str] = field(default_factory=dict)  # by the names of settings
    epochs: int | None = None  # largest number of epochs that it was given
    allowed_epochs: int | None = None  # those that limits of steps and time made of it; None if it failed
    state: Literal["done", "failed"] = "done"
    score: float | None = None  # the objective after its best epoch; None for a failed trial
    best_epoch: int | None = None  # from 1
    seconds: float = 0.0
    reason: str = ""  # reason of a failure


@dataclass(frozen=True)
class Search:
    """A finished search for better settings."""

    objective: str  # `val_loss`, which is minimised; `val_accuracy` or `val_recall`
    best: int  # the number of the best trial
    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        # A record may be damaged.
        if not any(trial.number == self.best and trial.score is not None for trial in self.trials):
            raise ValueError(f"the best trial is {self.best}, but no trial of that number has a score")

    @property
    def found(self) -> Trial:
        """The best trial."""
        return next(trial for trial in self.trials if trial.number == self.best)

    def as_profile(self) -> str:
        """Returns the best settings as a file for `--profile`, whose runs do no search."""
        import yaml

        groups: dict[str, dict[str, bool | int | float | str]] = {"tune": {"max_trials": 0}}
        for name, value in sorted(self.found.values.items()):
            group, _, leaf = name.partition(".")
            groups.setdefault(group, {})[leaf] = value
        return (
            f"# The best of {len(self.trials)} trials, number {self.best}: {self.objective}"
            f" {self.found.score:.4f} after epoch {self.found.best_epoch}.\n"
            f"{yaml.safe_dump(groups, sort_keys=False, allow_unicode=True)}"
            "# To train with these settings and not search again, run the same command with `--profile` and\n"
            "# this file, or copy them to the settings in the workload's file.\n"
        )


@dataclass(frozen=True)
class Estimate:
    """The share of right predictions, with the ends of its 95 % interval."""

    examples: int
    sessions: int  # number of sessions of these examples, each resampled as a whole
    share: float
    low: float
    high: float

    @staticmethod
    def of(right: "Sequence[bool] | NDArray[Any]", groups: "Sequence[Any] | NDArray[Any]") -> "Estimate":
        """Returns the share of right predictions, with an interval that counts groups."""
        import numpy as np

        hits, names = np.asarray(right), np.asarray(groups)
        return Estimate(
            len(hits), len(np.unique(names)), float(hits.mean()), *compute_group_interval(hits, names)
        )


@dataclass(frozen=True)
class CrossValidation:
    """Accuracy of models of the same kind on examples of sessions that they have not seen."""

    folds: int
    overall: Estimate
    classes: Mapping[str, Estimate]  # recall
    seconds: float


TRAINING = JsonFile[TrainingSummary]("training.json", TrainingSummary)
EPOCHS = JsonLines[Epoch]("history.jsonl", Epoch)
CROSS_VALIDATION = JsonFile[CrossValidation]("crossvalidation.json", CrossValidation)
# The best settings of a search, as a file of settings.
TUNED = "tuned.yaml"
TRIAL = JsonFile[Trial]("trial.json", Trial)
SEARCH = JsonFile[Search]("search.json", Search)
