"""The checkpoint from which a killed training resumes, and the weights after each of the last epochs."""

import hashlib
import json
import logging
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeline.records.training import CHECKPOINTS
from edgeline.store.locations import write_atomically
from trainer_module.training.loop import Tally

_log = logging.getLogger(__name__)

# Raised by numpy and zipfile for damaged files; an unknown compression is a RuntimeError.
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
NAME = "checkpoint.npz"
EPOCHS_KEPT = 3


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch, or after some steps of one."""

    history: Sequence[Mapping[str, float]]  # logs of every epoch so far
    variables: Sequence[np.ndarray]  # weights, optimizer state, seeds of dropout
    kept_weights: Sequence[np.ndarray]  # of the best epoch so far, or the mean of the last epochs'
    tally: Tally  # of the epoch in progress


def compute_training_key(
    custom_config: Mapping[str, Any], train_files: Sequence[str], transform_output: str, replicas: int
) -> str:
    """Returns the key of a training; only the same settings, data, code and replicas give the same key.

    Args:
        custom_config: Of FnArgs, as `run_fn` reads it; `checkpoints` and `trainer.checkpoint` do not count.
        train_files: Patterns of the files, which stand for their content.
        transform_output: The path of the Transform graph, which stands for its content.
        replicas: With another number of them, an epoch has another number of steps.
    """
    config = {name: value for name, value in custom_config.items() if name != "checkpoints"}
    settings = json.loads(config["settings"])
    settings["trainer"].pop("checkpoint", None)  # it chooses among the epochs of one training
    config["settings"] = settings
    about = {
        "replicas": replicas,
        "config": config,
        "train_files": list(train_files),
        "transform_output": transform_output,
        "tensorflow": tf.__version__,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _list_variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def read_state(model: keras.Model) -> list[np.ndarray]:
    """Returns the state of a compiled model whose optimizer is built: its variables and the optimizer's."""
    return [variable.numpy() for variable in _list_variables(model)]


def restore_state(model: keras.Model, state: Sequence[np.ndarray]) -> None:
    """Sets what `read_state` returned."""
    for variable, value in zip(_list_variables(model), state, strict=True):
        variable.assign(value)


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Replaces the checkpoint; a crash at any instant leaves the new one or the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(checkpoint, folder / NAME)


def _write(checkpoint: Checkpoint, path: Path) -> None:
    arrays: dict[str, Any] = {f"variable_{i}": array for i, array in enumerate(checkpoint.variables)}
    arrays |= {f"kept_{i}": array for i, array in enumerate(checkpoint.kept_weights)}
    arrays["history"] = np.array(json.dumps(list(checkpoint.history)))
    arrays["tally"] = np.array(json.dumps(asdict(checkpoint.tally)))
    with write_atomically(path, sync=True) as file:
        np.savez(file, **arrays)


def load_checkpoint(model: keras.Model, folder: Path) -> Checkpoint | None:
    """Restores the model and its optimizer from the folder's checkpoint, which it returns.

    None, with the model unchanged, if there is none, it is damaged, or it belongs to another model.
    """
    path = folder / NAME
    try:
        checkpoint = _read(path)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        _log.warning("%s is damaged (%s); training starts from the beginning.", path, error)
        return None
    shapes = [tuple(variable.shape) for variable in _list_variables(model)]
    if shapes != [array.shape for array in checkpoint.variables]:
        _log.warning("%s belongs to another model; training starts from the beginning.", path)
        return None
    restore_state(model, checkpoint.variables)
    return checkpoint


def save_epoch(model: keras.Model, history: Sequence[Mapping[str, float]], folder: Path) -> None:
    """Keeps the weights after the last epoch of `history`, and of the epochs before only the newest.

    Args:
        model: Has these weights now.
        history: Logs of every epoch so far.
        folder: That of the checkpoint, which exists.
    """
    epoch = len(history)
    _write(Checkpoint(history, model.get_weights(), (), Tally()), folder / _name_epoch(epoch))
    (folder / _name_epoch(epoch - EPOCHS_KEPT)).unlink(missing_ok=True)


def load_epoch(model: keras.Model, epoch: int, folder: Path) -> Checkpoint | None:
    """Restores the weights after an epoch; None, with the model unchanged, if they are not in the folder.

    Args:
        model: Gets the weights; its optimizer stays as it is.
        epoch: Counted from 1.
        folder: Where `save_epoch` kept them.
    """
    try:
        kept = _read(folder / _name_epoch(epoch))
        model.set_weights(kept.variables)
        return kept
    except _UNREADABLE:
        return None


def keep_results(folder: Path, run_dir: Path) -> None:
    """Copies the weights of the last epochs and the answers of folds to the outputs of a training.

    From a copy of CHECKPOINTS in its `run_dir`, it exports another epoch and trains nothing.
    """
    target = run_dir / CHECKPOINTS / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for path in (*folder.glob("epoch-*.npz"), *folder.glob("fold-*.npy")):
        shutil.copyfile(path, target / path.name)


def _name_epoch(epoch: int) -> str:
    return f"epoch-{epoch:05d}.npz"


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as arrays:
        variables = [arrays[name] for name in arrays.files if name.startswith("variable_")]
        kept_weights = [arrays[name] for name in arrays.files if name.startswith("kept_")]
        tally = Tally(**json.loads(str(arrays["tally"])))
        return Checkpoint(json.loads(str(arrays["history"])), variables, kept_weights, tally)
