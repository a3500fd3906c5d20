"""`run_fn`: what TFX's Trainer calls, by the dotted path `trainer_module.run.run_fn`."""

import shutil
import time
from pathlib import Path
from typing import Any

from errors import EdgelineError
from records.training import EPOCHS, TRAINING, Epoch, TrainingSummary
from records.workload import Workload
from trainer_module import budget, checkpoint, fit, front, input_pipeline, signatures, workload_module
from trainer_module.settings import ModelSettings, TrainerSettings


def run_fn(fn_args: Any) -> None:
    """Trains the workload's model and writes its SavedModel, `history.jsonl` and `training.json`.

    `custom_config` of TFX's FnArgs has `workload`, `model` and `trainer` (settings), each as JSON, `seed`,
    `code` (the digest of what trains) and `checkpoints` (a folder that outlives a kill).

    Raises:
        EdgelineError: When the settings, the machine or the data do not allow training.
        HeldBack: When it diverges.
    """
    import keras
    import numpy as np
    import tensorflow_transform as tft

    began, config = time.monotonic(), fn_args.custom_config
    settings = TrainerSettings.model_validate_json(config["trainer"])
    key = checkpoint.training_key(config, fn_args.train_files, fn_args.transform_output)
    checkpoints = Path(config["checkpoints"]) / key

    replicas = make_strategy(settings)
    batch_size = settings.batch_size * replicas.num_replicas_in_sync
    transform = tft.TFTransformOutput(fn_args.transform_output)
    workload = Workload.from_json(config["workload"])
    module = workload_module.load(workload.module)
    training = input_pipeline.open_split(fn_args.train_files, transform, "train", workload)
    evaluation = input_pipeline.open_split(fn_args.eval_files, transform, "eval", workload)

    steps, seed = input_pipeline.steps_per_epoch(training, batch_size), config["seed"]
    keras.utils.set_random_seed(seed)
    with replicas.scope():
        model = module.build_model(
            workload.labels, ModelSettings.model_validate_json(config["model"]), transform
        )
    augment = workload_module.augmentation(workload.module, settings)
    counts = np.bincount(training.labels, minlength=len(workload.labels)).tolist()
    weights = settings.weights_of(workload.labels, counts)

    trained, parts = model, front.parts(model)
    if parts and (copies := front.copies_that_fit(parts[0], len(training.labels), settings.epochs)):
        training = front.features(training, parts[0], copies, seed, augment)
        evaluation = front.features(evaluation, parts[0])
        trained, augment = parts[1], None

    def batches_of(epochs: range) -> Any:
        return input_pipeline.training_batches(training, batch_size, epochs, seed, augment, weights)

    if parts:
        front.fit_last_layer(model, batches_of(range(1)), kept=trained is not model)

    def compile_for(epochs: int) -> None:
        with replicas.scope():
            fit.compile_model(trained, settings.learning_rate, steps * epochs, fine_tuning=parts is not None)

    compile_for(settings.epochs)
    if settings.budget:
        left_s = settings.budget_s - (time.monotonic() - began)
        epochs = budget.affordable_epochs(trained, batches_of, steps, settings.epochs, left_s, checkpoints)
        settings = settings.model_copy(update={"epochs": epochs})
        compile_for(epochs)
    outcome = fit.train(
        trained,
        batches_of,
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
        devices=tuple(device.split("/device:")[-1] for device in replicas.extended.worker_devices),
        global_batch_size=batch_size,
        best_epoch=outcome.best_epoch + 1,
        resumed_from_epoch=outcome.resumed_from_epoch,
        seconds=round(outcome.seconds, 3),
        examples_per_second=round(epochs_here * steps * batch_size / outcome.seconds, 1),
        parameters=model.count_params(),
    )
    TRAINING.write(folder, summary)
    shutil.rmtree(checkpoints)


def make_strategy(settings: TrainerSettings) -> Any:
    """The `tf.distribute.Strategy` for this machine: every GPU of it or one of them, else its CPU.

    Raises:
        EdgelineError: When a GPU is required and none is visible.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if settings.require_gpu and not gpus:
        raise EdgelineError(
            "trainer.require_gpu is true, and TensorFlow sees no GPU on this machine.",
            "Training would silently run on the CPU, many times slower.",
            "Check the driver with nvidia-smi and CUDA_VISIBLE_DEVICES, or set trainer.require_gpu=false.",
        )
    if settings.strategy == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
