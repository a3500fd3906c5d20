"""How a model was trained."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from records.json_file import JsonFile, JsonLines

# The folder of what TensorBoard shows of a training, in its `model_run` artifact; the name too of the event
# that says where it is written meanwhile.
TENSORBOARD = "tensorboard"
# In the folder of a training's checkpoints, from when all is written that a step hands on.
FINISHED = "finished"
# In a SavedModel, where TF Serving leaves alone what is not its own: a digest of weights and graph, in which
# two equal trainings agree, as their files do not.
MODEL_IDENTITY = "assets.extra/model_identity"


def remove_finished(checkpoints: Path, stays: str = "") -> None:
    """Removes the checkpoints of trainings that finished, but for those of the folder that stays.

    A training leaves them there: until its step is published, a kill has it done again.
    """
    for finished in checkpoints.glob(f"*/{FINISHED}"):
        if finished.parent.name != stays:
            shutil.rmtree(finished.parent, ignore_errors=True)


@dataclass(frozen=True)
class Epoch:
    """The logs of one epoch, counted from 1; None where a figure was no number."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_recall: float | None = None  # mean over the classes that the eval split has
    held_out_loss: float | None = None  # on groups of train that choose the epoch; None where nothing does
    held_out_recall: float | None = None
    input_wait: float | None = None  # share of the steps' time that went into waiting for the next batch


@dataclass(frozen=True)
class TrainingSummary:
    """A training that ended; epochs count from 1, seconds and speed are of the process that ended it."""

    devices: tuple[str, ...] = ()  # that held a replica, as `GPU:0`
    global_batch_size: int | None = None  # examples in one step of all replicas
    best_epoch: int | None = None  # whose weights were kept: the last, or the one that held-out groups chose
    resumed_from_epoch: int | None = None  # epochs that were done before a kill; None where there was none
    seconds: float | None = None
    examples_per_second: float | None = None
    input_wait: float | None = None  # share of the steps' time that went into waiting for the next batch
    parameters: int | None = None
    variations: int | None = None  # of each photo, that epochs took in turn; None without a frozen front
    notes: tuple[str, ...] = ()  # what went another way than set, a sentence each


@dataclass(frozen=True)
class Trial:
    """One training of a search."""

    number: int  # from 1, in their order
    values: Mapping[str, bool | int | float | str] = field(default_factory=dict)  # by the names of settings
    epochs: int | None = None  # most of them that it was given
    state: Literal["done", "failed"] = "done"
    score: float | None = None  # the objective after its best epoch; None of one that failed
    best_epoch: int | None = None  # from 1
    seconds: float = 0.0
    reason: str = ""  # why it failed


@dataclass(frozen=True)
class Search:
    """A search for better settings that ended."""

    objective: str  # `val_loss`, the lower the better; `val_accuracy` or `val_recall`
    best: int  # the number of the best trial
    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        # A record may be damaged.
        if not any(trial.number == self.best and trial.score is not None for trial in self.trials):
            raise ValueError(f"the best trial is {self.best}, and no trial of that number has a score")

    @property
    def found(self) -> Trial:
        """The best trial."""
        return next(trial for trial in self.trials if trial.number == self.best)

    def as_profile(self) -> str:
        """The best settings as a file for `--profile`, whose runs search no more."""
        import yaml

        groups: dict[str, dict[str, bool | int | float | str]] = {"tune": {"max_trials": 0}}
        for name, value in sorted(self.found.values.items()):
            group, _, leaf = name.partition(".")
            groups.setdefault(group, {})[leaf] = value
        return (
            f"# The best of {len(self.trials)} trials, number {self.best}: {self.objective}"
            f" {self.found.score:.4f} after epoch {self.found.best_epoch}.\n"
            f"{yaml.safe_dump(groups, sort_keys=False, allow_unicode=True)}"
            "# To train with these and search no more: the same command with `--profile` and this file,\n"
            "# or copy them to the settings in the file of the workload.\n"
        )


@dataclass(frozen=True)
class Estimate:
    """The share of examples that are answered right, with the ends of its interval of 95 %."""

    examples: int
    sessions: int  # that they are of, which were drawn as wholes
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class CrossValidation:
    """What models of the same kind make of examples of sessions that they have not seen."""

    folds: int
    overall: Estimate
    classes: Mapping[str, Estimate]  # recall
    seconds: float


TRAINING = JsonFile[TrainingSummary]("training.json", TrainingSummary)
EPOCHS = JsonLines[Epoch]("history.jsonl", Epoch)
CROSS_VALIDATION = JsonFile[CrossValidation]("crossvalidation.json", CrossValidation)
# The best of a search, as a file of settings.
TUNED = "tuned.yaml"
TRIAL = JsonFile[Trial]("trial.json", Trial)
SEARCH = JsonFile[Search]("search.json", Search)
