"""Measures training on this machine's GPUs.

    .venv/bin/python -m benchmarks.bench_gpu [--workspace WS] [--cpu]

Trains the network of a workspace's last run, or that of `--backbone`, on its examples for a few steps. The
input is one batch in memory, the input pipeline of a run, or the pipeline that decodes photos in each epoch,
as in a run whose photos fit neither into memory nor on the disk (the features of a front are stored even
then). Each is timed in float32 and in mixed precision, with and without XLA, and with Keras's `fit` on the
same pipeline; then on one GPU, two, four, ... up to all. Without a workspace it renders the sample and runs
the DAG in a temporary one first. `--cpu` tries all this without a GPU; its times do not apply to GPUs.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from trainer_module.training.loop import Tally
from trainer_module.training.task import Prepared, Task, prepare

_RUNNER = (sys.executable, "runners/local_runner.py")


@dataclass(frozen=True)
class Run:
    """The settings and examples of a run."""

    settings: Settings
    cached: Task
    decoded: Task  # the same examples, which are not stored in memory

    @staticmethod
    def of(workspace: Path, backbone: str | None = None) -> "Run":
        """Returns the last run of a workspace that trained a model, with another network if one is named."""
        trained = [run for run in runs.read_runs(workspace) if run.outcome in ("pushed", "held")]
        if not trained:
            sys.exit(f"{workspace} has no run that trained a model. Omit --workspace to create one.")
        run = trained[-1]
        workload = with_features(find_workload(run.workload_source))
        graphs = workspace.glob("artifacts/Transform/transform_graph/*")
        transform = tft.TFTransformOutput(str(max(graphs, key=lambda path: int(path.name))))
        examples = workspace.glob("artifacts/ExampleGen/examples/*")
        files = [f"{max(examples, key=lambda path: int(path.name))}/Split-train/*"]
        open_train = partial(input_pipeline.open_split, files, transform, "train", workload)

        def task(split: input_pipeline.Split) -> Task:
            return Task(workload, transform, split, split, 1)

        settings = Settings.model_validate_json(json.dumps(run.settings))
        if backbone:
            model = ModelSettings.model_validate({**settings.model.model_dump(), "backbone": backbone})
            settings = settings.model_copy(update={"model": model})
        return Run(settings, task(open_train()), task(open_train(limit_bytes=0)))

    def tally(self, task: Task, steps: int, fixed: bool, replicas: Any, **changes: object) -> Tally:
        """Times `steps` steps of training, as in a run, or with `fixed` on one batch that stays in memory.

        The first steps are not timed: they trace and compile the graph, and fill queues.
        """
        with self._prepare(task, replicas, changes) as (prepared, settings):
            batches = iter(prepared.batches_of(range(1 + 2 * steps), 0))
            if fixed:
                batches = itertools.repeat(next(batches))
            loop = prepared.loop(settings)
            loop.run(batches, max(steps // 4, 2))
            return loop.run(batches, steps)

    def time_fit(self, task: Task, steps: int, replicas: Any, **changes: object) -> float:
        """Returns the seconds of `steps` steps of Keras's `fit` after a warm-up; Keras decides on XLA."""
        with self._prepare(task, replicas, changes) as (prepared, settings):
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
        self, task: Task, replicas: Any, changes: dict[str, object]
    ) -> Iterator[tuple[Prepared, TrainerSettings]]:
        keras.utils.clear_session()
        overrides = {"budget": None, "epochs": 10_000, **changes}
        settings = TrainerSettings.model_validate({**self.settings.trainer.model_dump(), **overrides})
        with devices.set_precision(settings):
            yield prepare(task, self.settings.model, settings, replicas), settings


def compare_inputs(run: Run, device: str, batch_size: int, steps: int) -> None:
    """Prints steps per second by precision and XLA, and the share of this speed with real input."""
    one = tf.distribute.OneDeviceStrategy(device)
    first = 0.0
    heads = f"{'steps/s':>8} {'x first':>7} {'pipeline':>8} {'waiting':>8} {'decoding':>8} {'waiting':>8}"
    print(f"{'precision':15} XLA {heads}")
    for precision, xla in itertools.product(("float32", "mixed_float16"), (False, True)):
        if precision != "float32" and "GPU" not in device:
            continue  # a CPU computes float16 in float32 and converts back
        changes = {"batch_size": batch_size, "precision": precision, "jit_compile": xla}
        memory, pipeline, decoding = (
            run.tally(task, steps, fixed, one, **changes)
            for task, fixed in ((run.cached, True), (run.cached, False), (run.decoded, False))
        )
        speed = steps / memory.seconds
        first = first or speed
        print(
            f"{precision:15} {'yes' if xla else 'no':3} {speed:>8.1f} {speed / first:>7.2f}"
            f" {memory.seconds / pipeline.seconds:>8.2f} {pipeline.waited_s / pipeline.seconds:>8.1%}"
            f" {memory.seconds / decoding.seconds:>8.2f} {decoding.waited_s / decoding.seconds:>8.1%}"
        )
        if not xla:
            seconds = run.time_fit(run.cached, steps, one, batch_size=batch_size, precision=precision)
            print(f"{precision:15} Keras's fit, on the pipeline: {steps / seconds:.1f} steps/s")


def compare_devices(run: Run, devices: Sequence[str], batch_size: int, steps: int) -> None:
    """Prints examples per second on one device, two, four, ... and all, and the share of linear scaling."""
    print(f"\n{'devices':>7} {'batch':>6} {'examples/s':>10} {'speedup':>7} {'efficiency':>10}")
    one = 0.0
    for count in sorted({1, *(n for n in (2, 4, 8) if n < len(devices)), len(devices)}):
        replicas = tf.distribute.MirroredStrategy(list(devices[:count]))
        tally = run.tally(run.cached, steps, False, replicas, batch_size=batch_size, jit_compile=False)
        rate = batch_size * count * steps / tally.seconds
        one = one or rate
        print(
            f"{count:>7} {batch_size * count:>6} {rate:>10.0f} {rate / one:>7.2f} {rate / one / count:>10.2f}"
        )


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="workspace with a run (default: a new one)")
    parser.add_argument("--backbone", help="network, as model.backbone (default: of the last run)")
    parser.add_argument("--batch-size", type=int, default=256, help="batch size of one GPU (256)")
    parser.add_argument("--steps", type=int, default=100, help="timed steps per row of the tables (100)")
    parser.add_argument("--cpu", action="store_true", help="use the CPU even if there is a GPU")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = arguments.workspace or Path(folder, "workspace")
        if arguments.workspace is None:
            short = ["--set", "trainer.epochs=1", "--set", "trainer.strategy=one_device"]
            subprocess.run([*_RUNNER, "--workspace", str(workspace), *short], check=False)
        measure(workspace, arguments.backbone, arguments.batch_size, arguments.steps, arguments.cpu)


def measure(workspace: Path, backbone: str | None, batch_size: int, steps: int, cpu: bool) -> None:
    """Prints the devices and the examples, then both tables."""
    gpus = [] if cpu else tf.config.list_physical_devices("GPU")
    if not (gpus or cpu):
        sys.exit("TensorFlow sees no GPU on this machine. Look at nvidia-smi, or try it out with --cpu.")
    if cpu:
        tf.config.set_visible_devices([], "GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    devices = [f"/gpu:{number}" for number in range(len(gpus))] or ["/cpu:0"]
    run = Run.of(workspace, backbone)
    model, examples = run.settings.model, len(run.cached.training.labels)
    print(f"{', '.join(names) or 'CPU'}; TensorFlow {tf.__version__}; {examples} examples")
    print(f"batches of {batch_size}, model.backbone={model.backbone}, model.image_size={model.image_size}\n")
    compare_inputs(run, "/device:GPU:0" if gpus else "/cpu:0", batch_size, steps)
    compare_devices(run, devices, batch_size, steps)


if __name__ == "__main__":
    main()
