"""Measures training on this machine's GPU.

    .venv/bin/python -m benchmarks.bench_gpu --workspace WS

Trains the network of a workspace's last run, or that of `--backbone`, on its examples for a few steps. Mixed
precision and float32, with and without XLA, are timed on one batch in memory, and beside them Keras's `fit`
on the input pipeline of a run. `--cpu` tries all this without a GPU; its times do not apply to GPUs.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from edgeline.workspace import runs
from pipeline.settings import Settings
from pipeline.workloads import find_workload, with_features
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import devices, input_pipeline
from trainer_module.training.task import Prepared, Task, prepare


@dataclass(frozen=True)
class Run:
    """The settings and examples of a run."""

    settings: Settings
    task: Task

    @staticmethod
    def of(workspace: Path, backbone: str | None = None) -> "Run":
        """Returns the last run of a workspace that trained a model, with another network if one is named."""
        trained = [run for run in runs.read_runs(workspace) if run.outcome in ("pushed", "held")]
        if not trained:
            sys.exit(f"{workspace} has no run that trained a model. Start one with `edgeline run`.")
        run = trained[-1]
        workload = with_features(find_workload(run.workload_source))
        graphs = workspace.glob("artifacts/Transform/transform_graph/*")
        transform = tft.TFTransformOutput(str(max(graphs, key=lambda path: int(path.name))))
        examples = workspace.glob("artifacts/ExampleGen/examples/*")
        files = [f"{max(examples, key=lambda path: int(path.name))}/Split-train/*"]
        split = input_pipeline.open_split(files, transform, "train", workload)
        settings = Settings.model_validate_json(json.dumps(run.settings))
        if backbone:
            model = ModelSettings.model_validate({**settings.model.model_dump(), "backbone": backbone})
            settings = settings.model_copy(update={"model": model})
        return Run(settings, Task(workload, transform, split, split, 1))

    def time_steps(self, steps: int, replicas: Any, **changes: object) -> float:
        """Returns the seconds of `steps` steps of training, as in a run, on one batch that stays in memory.

        The first steps are not timed: they trace and compile the graph, and fill queues.
        """
        with self._prepare(replicas, changes) as (prepared, settings):
            batch = next(iter(prepared.batches_of(range(1 + 2 * steps), 0)))
            batches = itertools.repeat(batch)
            loop = prepared.loop(settings)
            loop.run(batches, max(steps // 4, 2))
            return loop.run(batches, steps).seconds

    def time_fit(self, steps: int, replicas: Any, **changes: object) -> float:
        """Returns the seconds of `steps` steps of Keras's `fit` after a warm-up; Keras decides on XLA."""
        with self._prepare(replicas, changes) as (prepared, settings):
            prepared.loop(settings)  # compiles the model for `fit`
            warmup = max(steps // 4, 2)
            times: dict[int, float] = {}
            clock = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: times.setdefault(batch + 1, time.perf_counter())
            )
            batches = prepared.batches_of(range(1 + 2 * steps), 0)
            prepared.trained.fit(batches, steps_per_epoch=warmup + steps, callbacks=[clock], verbose=0)
            return times[warmup + steps] - times[warmup]

    @contextmanager
    def _prepare(
        self, replicas: Any, changes: dict[str, object]
    ) -> Iterator[tuple[Prepared, TrainerSettings]]:
        keras.utils.clear_session()
        overrides = {"budget": None, "epochs": 10_000, **changes}
        settings = TrainerSettings.model_validate({**self.settings.trainer.model_dump(), **overrides})
        with devices.set_precision(settings):
            yield prepare(self.task, self.settings.model, settings, replicas), settings


def _compare(run: Run, device: str, batch_size: int, steps: int) -> None:
    """Prints steps per second by precision and XLA, and those of Keras's `fit`."""
    one = tf.distribute.OneDeviceStrategy(device)
    print(f"{'precision':15} XLA {'steps/s':>8}")
    for precision, xla in itertools.product(("float32", "mixed_float16"), (False, True)):
        if precision != "float32" and "GPU" not in device:
            continue  # a CPU computes float16 in float32 and converts back
        changes = {"batch_size": batch_size, "precision": precision}
        seconds = run.time_steps(steps, one, jit_compile=xla, **changes)
        print(f"{precision:15} {'yes' if xla else 'no':3} {steps / seconds:>8.1f}")
        if not xla:
            seconds = run.time_fit(steps, one, **changes)
            print(f"{precision:15} Keras's fit, on the pipeline: {steps / seconds:.1f} steps/s")


def main() -> None:
    """Prints the device and the examples, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="workspace with a run")
    parser.add_argument("--backbone", help="network, as model.backbone (default: of the last run)")
    parser.add_argument("--batch-size", type=int, default=256, help="batch size (256)")
    parser.add_argument("--steps", type=int, default=100, help="timed steps per row of the table (100)")
    parser.add_argument("--cpu", action="store_true", help="use the CPU even if there is a GPU")
    arguments = parser.parse_args()
    gpus = [] if arguments.cpu else tf.config.list_physical_devices("GPU")

    if not (gpus or arguments.cpu):
        sys.exit("TensorFlow sees no GPU on this machine. Look at nvidia-smi, or try it out with --cpu.")
    if arguments.cpu:
        tf.config.set_visible_devices([], "GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    run = Run.of(arguments.workspace, arguments.backbone)
    model = run.settings.model
    examples = len(run.task.training.labels)
    print(f"{', '.join(names[:1]) or 'CPU'}; TensorFlow {tf.__version__}; {examples} examples")
    print(f"batches of {arguments.batch_size}, {model.backbone}, photos of {model.image_size} pixels\n")
    _compare(run, "/device:GPU:0" if gpus else "/cpu:0", arguments.batch_size, arguments.steps)


if __name__ == "__main__":
    main()
