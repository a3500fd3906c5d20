"""The entry point of TFX's Trainer, by its dotted path `trainer_module.run_fn.run_fn`."""

import logging
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf

from edgeline.records.training import (
    EPOCHS,
    FINISHED,
    TENSORBOARD,
    TRAINING,
    Epoch,
    TrainingSummary,
    remove_finished,
)
from edgeline.records.workload import Workload
from trainer_module import workload_module
from trainer_module.export import signatures
from trainer_module.settings import LearningSettings, TrainerSettings
from trainer_module.training import calibration, checkpoint, devices, fit, folds, front, novelty, workers
from trainer_module.training.task import Task, Trained, build_model, open_task, train_model

_log = logging.getLogger(__name__)
_progress = logging.getLogger("edgeline.progress")
_LINE = 100  # characters of the table of layers
# The attributes of TFX's FnArgs that training needs; others cannot be sent to another process.
_FIELDS = (
    *("custom_config", "train_files", "eval_files", "transform_output"),
    *("serving_model_dir", "model_run_dir"),
)


def run_fn(fn_args: Any) -> None:
    """Trains the workload's model and writes its SavedModel, `history.jsonl` and `training.json`.

    If the eval split is too small, it also writes the out-of-fold predictions of a cross-validation. Examples
    of train alone give the model's temperature and the threshold of `unlike`.

    `custom_config` of TFX's FnArgs has `workload` and `settings`, as JSON, `code` (the digest of the training
    code) and `checkpoints` (a folder that survives a kill). The result of a search, FnArgs'
    `hyperparameters`, replaces those settings.

    Raises EdgelineError if the settings, the machine or the data do not allow training, and HeldBack if it
    diverges.
    """
    began = time.monotonic()
    settings = LearningSettings.model_validate_json(fn_args.custom_config["settings"])
    if fn_args.hyperparameters:
        # KerasTuner adds values of its own, such as tuner/epochs.
        values = {name: value for name, value in fn_args.hyperparameters["values"].items() if "/" not in name}
        settings = settings.with_values(values)
    arguments = SimpleNamespace(**{name: getattr(fn_args, name) for name in _FIELDS})
    if settings.trainer.strategy == "multi_worker":
        workers.run(partial(_train, arguments, settings, began), settings.trainer.workers)
        # The chief writes the model, maybe on another machine; TFX treats a missing folder as a failure.
        Path(fn_args.serving_model_dir).mkdir(parents=True, exist_ok=True)
    else:
        _train(arguments, settings, began)


def _train(fn_args: SimpleNamespace, learning: LearningSettings, began: float) -> None:
    """Trains in this process, alone or as one of several workers; a budget counts from `began`."""
    settings = learning.trainer
    replicas = devices.make_strategy(settings)
    checkpoints = _prepare_checkpoints(fn_args, learning, replicas.num_replicas_in_sync)
    task = open_task(
        Workload.from_json(fn_args.custom_config["workload"]),
        fn_args.transform_output,
        fn_args.train_files,
        fn_args.eval_files,
        learning.seed,
        checkpoints,
    )
    folder = Path(fn_args.model_run_dir)
    started = time.monotonic()

    # The model learns from train, but for what is held out of it.
    find_features = workload_module.find(task.workload.module, "find_features")
    doubts = bool(learning.model.unlike and find_features)
    plan = folds.plan_folds(task, settings)
    needs_held_out = bool(settings.early_stopping_patience) or doubts
    if not needs_held_out and not plan.calibrates:
        needs_held_out = calibration.can_scale(build_model(task, learning.model))
    fitted = task.hold_out() if needs_held_out else task
    trained = train_model(fitted, learning.model, settings, replicas, checkpoints, began)
    if not devices.is_chief(replicas):
        return
    model, notes = trained.model, trained.notes

    # Others learn from the folds, if the time suffices.
    plan = _keep_to_budget(plan, trained.outcome, settings, began, started)
    out_of_fold = None
    if plan.judges or (plan.calibrates and calibration.can_scale(model)):
        out_of_fold = folds.answer_out_of_fold(
            task, learning.model, trained.settings, plan.folds, replicas, checkpoints
        )

    # The temperature and the threshold are of examples that their models did not learn from.
    scaling = _scale(model, fitted, out_of_fold if plan.calibrates else None, settings.batch_size)
    if out_of_fold and plan.judges:
        scaled = calibration.divide_logits(out_of_fold.probabilities, scaling.temperature or 1.0)
        of_eval = calibration.predict(scaling.model, task.evaluation, settings.batch_size)
        folds.write_estimates(folder, task, replace(out_of_fold, probabilities=scaled), of_eval)
    doubting = None
    if doubts:
        doubting = _add_unlike(scaling.model, find_features(scaling.model), fitted, settings.batch_size)
    signatures.export(scaling.model, task.transform, fn_args.serving_model_dir, task.workload, doubting)

    # Records for the report, and for the next training.
    held_out = len(fitted.held_out.shown) if fitted.held_out else 0
    history = enumerate(trained.outcome.history, start=1)
    EPOCHS.write(folder, (Epoch(number, **logs) for number, logs in history))
    layers = _list_layers(scaling.model)
    _log.info("The network:\n%s", layers)
    summary = _summarise(
        trained,
        replicas,
        settings.batch_size,
        parameters=scaling.model.count_params(),
        variations=trained.settings.variations if front.split_model(scaling.model) else None,
        held_out=held_out,
        temperature=scaling.temperature and round(scaling.temperature, 3),
        temperature_examples=scaling.examples,
        unlike_examples=min(held_out, novelty.MOST_EXAMPLES) if doubting else 0,
        notes=tuple(filter(None, (*notes, plan.note, scaling.note))),
        layers=layers,
    )
    TRAINING.write(folder, summary)
    shutil.copytree(checkpoints / TENSORBOARD, folder / TENSORBOARD, dirs_exist_ok=True)
    checkpoint.keep_results(checkpoints, folder)
    (checkpoints / FINISHED).touch()


def _prepare_checkpoints(fn_args: SimpleNamespace, learning: LearningSettings, replicas: int) -> Path:
    """Returns the folder of this training's checkpoints; removes those of trainings that ended."""
    config = {**fn_args.custom_config, "settings": learning.model_dump_json()}
    key = checkpoint.compute_training_key(config, fn_args.train_files, fn_args.transform_output, replicas)
    root = Path(config["checkpoints"])
    remove_finished(root, stays=key)
    if not (root / key).is_dir() and any(root.glob(f"*/{checkpoint.NAME}")):
        _progress.info("Training starts anew: an unfinished one had other data, settings, code or libraries.")
    return root / key


def _keep_to_budget(
    plan: folds.Plan, outcome: fit.Outcome, settings: TrainerSettings, began: float, started: float
) -> folds.Plan:
    """Returns the plan of folds that the rest of the budget allows, and says so where it is another one.

    The budget counts from `began`; a fold takes about as long as the training, which began at `started`.
    """
    # A training that was resumed took the time of its epochs in earlier processes too.
    resumed_s = sum(logs.get("seconds", 0.0) for logs in outcome.history) - outcome.seconds
    now = time.monotonic() + max(resumed_s, 0.0)
    plan = folds.keep_to_budget(plan, settings, now - started, settings.budget_s - (now - began))
    if plan.note:
        _progress.info(plan.note)
    return plan


@dataclass(frozen=True)
class _Scaling:
    """A model with the temperature that it got, None for none, from so many examples."""

    model: keras.Model
    temperature: float | None = None
    examples: int = 0
    note: str = ""


def _scale(model: keras.Model, fitted: Task, of_folds: folds.OutOfFold | None, batch_size: int) -> _Scaling:
    """Fits a temperature, by the answers of the folds or else by those to what was held out."""
    if not calibration.can_scale(model):
        return _Scaling(model)
    if of_folds is not None:
        answers, labels = of_folds.probabilities, of_folds.labels
    elif fitted.held_out is not None:
        answers = calibration.predict(model, fitted.held_out, batch_size)
        labels = fitted.held_out.labels[fitted.held_out.shown]
    else:
        noun = fitted.workload.group_noun
        note = (
            f"No temperature is fitted: no class of train has five {noun}s, of which one could be held out."
        )
        return _Scaling(model, note=note)
    temperature = calibration.fit_temperature(answers, labels)
    return _Scaling(calibration.set_temperature(model, temperature), temperature, len(labels))


def _add_unlike(
    model: keras.Model, features: keras.KerasTensor, fitted: Task, batch_size: int
) -> keras.Model | None:
    """Returns the model with the output `unlike`; None where too few examples are held out for that."""
    if fitted.held_out is None:
        return None
    return novelty.add_unlike(model, features, fitted.training, fitted.held_out, batch_size)


def _list_layers(model: keras.Model) -> str:
    """Returns Keras's table of the layers, with their shapes and numbers of parameters."""
    lines: list[str] = []
    model.summary(line_length=_LINE, print_fn=lines.append, expand_nested=True)
    return "\n".join(lines)


def _summarise(
    trained: Trained, replicas: tf.distribute.Strategy, batch_size: int, **others: Any
) -> TrainingSummary:
    """Returns the summary of a training; `batch_size` is that of a replica, `others` are more fields."""
    outcome = trained.outcome
    waits = [logs["input_wait"] for logs in outcome.history]
    names = tuple(device.split("/device:")[-1] for device in replicas.extended.worker_devices)
    global_batch_size = batch_size * replicas.num_replicas_in_sync
    return TrainingSummary(
        devices=names * (replicas.num_replicas_in_sync // len(names)),
        global_batch_size=global_batch_size,
        best_epoch=outcome.best_epoch + 1,
        averaged=outcome.averaged,
        resumed_from_epoch=outcome.resumed_from_epoch,
        seconds=round(outcome.seconds, 3),
        examples_per_second=round(outcome.steps * global_batch_size / outcome.seconds, 1),
        input_wait=round(sum(waits) / len(waits), 4),
        **others,
    )
