"""`run_fn`: what TFX's Trainer calls, by the dotted path `trainer_module.run.run_fn`."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from records.training import EPOCHS, TRAINING, Epoch, TrainingSummary
from records.workload import Workload
from trainer_module import checkpoint, fit, input_pipeline, signatures, strategy, workload_module
from trainer_module.settings import ModelSettings, TrainerSettings


def run_fn(fn_args: Any) -> None:
    """Trains the workload's model and writes its SavedModel, `history.jsonl` and `training.json`.

    Args:
        fn_args: TFX's FnArgs. `custom_config` has `workload`, `model` and `trainer` (the last two settings,
            each as JSON), `seed`, `code` (the digest of what trains) and `checkpoints` (a folder that
            outlives a kill). Of the rest it reads `train_files`, `eval_files` and `transform_output`, and
            writes to `serving_model_dir` and `model_run_dir`.

    Raises:
        EdgelineError: When the settings, the machine or the data do not allow training, or it diverges.
    """
    import keras
    import tensorflow_transform as tft

    config = fn_args.custom_config
    settings = TrainerSettings.model_validate_json(config["trainer"])
    key = checkpoint.training_key(config, fn_args.train_files, fn_args.transform_output)
    checkpoints = Path(config["checkpoints"]) / key

    replicas = strategy.make_strategy(settings.strategy, settings.require_gpu)
    batch_size = strategy.global_batch_size(replicas, settings.batch_size)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    workload = Workload.from_json(config["workload"])
    module = workload_module.load(workload.module)
    training = input_pipeline.open_split(fn_args.train_files, transform, "train", workload)
    evaluation = input_pipeline.open_split(fn_args.eval_files, transform, "eval", workload)

    steps = input_pipeline.steps_per_epoch(training, batch_size)
    keras.utils.set_random_seed(config["seed"])
    with replicas.scope():
        model = module.build_model(
            workload.labels, ModelSettings.model_validate_json(config["model"]), transform
        )
        fit.compile_model(model, settings.learning_rate, steps * settings.epochs)
    varied = getattr(module, "augment", None)
    augment = partial(varied, settings=settings) if varied is not None else None
    outcome = fit.train(
        model,
        lambda epochs: input_pipeline.training_batches(
            training,
            batch_size,
            epochs,
            config["seed"],
            augment,
            settings.weights_of(workload.labels),
        ),
        steps,
        input_pipeline.evaluation_batches(evaluation, batch_size),
        settings,
        checkpoints,
    )
    signatures.export(model, transform, fn_args.serving_model_dir, workload)

    epochs_here = len(outcome.history) - (outcome.resumed_from_epoch or 0)
    folder = Path(fn_args.model_run_dir)
    EPOCHS.write(folder, (Epoch(number, **logs) for number, logs in enumerate(outcome.history, start=1)))
    summary = TrainingSummary(
        strategy=settings.strategy,
        replicas=replicas.num_replicas_in_sync,
        devices=tuple(strategy.device_names(replicas)),
        global_batch_size=batch_size,
        epochs=len(outcome.history),
        best_epoch=outcome.best_epoch + 1,
        resumed_from_epoch=outcome.resumed_from_epoch,
        seconds=round(outcome.seconds, 3),
        examples_per_second=round(epochs_here * steps * batch_size / outcome.seconds, 1),
        train_examples=len(training.labels),
        eval_examples=len(evaluation.labels),
        parameters=model.count_params(),
    )
    TRAINING.write(folder, summary)
    shutil.rmtree(checkpoints)
