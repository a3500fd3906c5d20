"""`run_fn`: what TFX's Trainer calls, by the dotted path `trainer_module.run.run_fn`."""

import shutil
import time
from pathlib import Path
from typing import Any

from errors import EdgelineError
from records.training import EPOCHS, TRAINING, Epoch, TrainingSummary
from records.workload import Workload
from trainer_module import checkpoint, signatures
from trainer_module.settings import ModelSettings, TrainerSettings, with_values
from trainer_module.training import open_task, train_model


def run_fn(fn_args: Any) -> None:
    """Trains the workload's model and writes its SavedModel, `history.jsonl` and `training.json`.

    `custom_config` of TFX's FnArgs has `workload`, `model` and `trainer` (settings), each as JSON, `seed`,
    `code` (the digest of what trains) and `checkpoints` (a folder that outlives a kill). What a search found,
    FnArgs' `hyperparameters`, takes the place of those settings.

    Raises:
        EdgelineError: When the settings, the machine or the data do not allow training.
        HeldBack: When it diverges.
    """
    began, config = time.monotonic(), fn_args.custom_config
    look = ModelSettings.model_validate_json(config["model"])
    settings = TrainerSettings.model_validate_json(config["trainer"])
    if fn_args.hyperparameters:
        # Beside settings, KerasTuner has notes of its own there: tuner/epochs.
        values = {name: value for name, value in fn_args.hyperparameters["values"].items() if "/" not in name}
        look, settings = with_values(values, look, settings)
        config = {**config, "model": look.model_dump_json(), "trainer": settings.model_dump_json()}
    key = checkpoint.training_key(config, fn_args.train_files, fn_args.transform_output)
    checkpoints = Path(config["checkpoints"]) / key

    replicas = make_strategy(settings)
    task = open_task(
        Workload.from_json(config["workload"]),
        fn_args.transform_output,
        fn_args.train_files,
        fn_args.eval_files,
        config["seed"],
    )
    model, outcome = train_model(task, look, settings, replicas, checkpoints, began)
    signatures.export(model, task.transform, fn_args.serving_model_dir, task.workload)

    folder = Path(fn_args.model_run_dir)
    EPOCHS.write(folder, (Epoch(number, **logs) for number, logs in enumerate(outcome.history, start=1)))
    epochs_here = len(outcome.history) - (outcome.resumed_from_epoch or 0)
    summary = TrainingSummary(
        devices=tuple(device.split("/device:")[-1] for device in replicas.extended.worker_devices),
        global_batch_size=settings.batch_size * replicas.num_replicas_in_sync,
        best_epoch=outcome.best_epoch + 1,
        resumed_from_epoch=outcome.resumed_from_epoch,
        seconds=round(outcome.seconds, 3),
        examples_per_second=round(epochs_here * len(task.training.labels) / outcome.seconds, 1),
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
