"""What limits training on this machine's GPUs: `python -m benchmarks.bench_gpu [--workspace WS] [--cpu]`.

Trains the network of a workspace's last run, on its examples, for a few steps each way: on one batch that
stays in memory, on the input pipeline as a run has it, and on the pipeline where photos are decoded in each
epoch, as beyond `CACHE_LIMIT_BYTES`; in float32 and in mixed precision, with and without XLA; then on one
GPU, two, four, ... up to all. Without a workspace it renders the sample and runs the DAG in a temporary one
first. `--cpu` shows that all of it works where there is no GPU; its figures say nothing of one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.settings import Settings
from pipeline.workloads import find_workload, with_features
from records.workload import Workload
from runners.shared import runs
from trainer_module import fit, input_pipeline, workload_module

_RUNNER = (sys.executable, "runners/local_runner.py")


@dataclass(frozen=True)
class Task:
    """What is trained on what."""

    workload: Workload
    settings: Settings
    transform: Any
    cached: input_pipeline.Split
    decoded: input_pipeline.Split  # the same examples, none of them kept in memory

    @staticmethod
    def of(workspace: Path) -> "Task":
        """The last run of a workspace that came as far as training."""
        import tensorflow_transform as tft

        done = [run for run in runs.read_runs(workspace) if run.outcome in ("pushed", "held")]
        if not done:
            sys.exit(f"{workspace} has no run that trained a model. Leave --workspace out to make one.")
        run = done[-1]
        workload = with_features(find_workload(run.workload_source))
        graphs = workspace.glob("artifacts/Transform/transform_graph/*")
        transform = tft.TFTransformOutput(str(max(graphs, key=lambda path: int(path.name))))
        examples = workspace.glob("artifacts/ExampleGen/examples/*")
        files = [f"{max(examples, key=lambda path: int(path.name))}/Split-train/*"]
        read = partial(input_pipeline.open_split, files, transform, "train", workload)
        settings = Settings.model_validate_json(json.dumps(run.settings))
        return Task(workload, settings, transform, read(), read(cache_limit_bytes=0))

    def model(self, precision: str, xla: bool, strategy: Any) -> Any:
        """The network, compiled as a run compiles it."""
        import keras

        keras.utils.clear_session()
        keras.config.set_dtype_policy(precision)
        with strategy.scope():
            module = workload_module.load(self.workload.module)
            model = module.build_model(self.workload.labels, self.settings.model, self.transform)
            fit.compile_model(model, self.settings.trainer.learning_rate, 100_000)
        model.jit_compile = xla
        return model

    def batches(self, split: input_pipeline.Split, batch_size: int, steps: int) -> Any:
        """At least so many training batches, varied as in a run."""
        augment = workload_module.augmentation(self.workload.module, self.settings.trainer)
        epochs = range(1 + steps // input_pipeline.steps_per_epoch(split, batch_size))
        weights = [1.0] * len(self.workload.labels)
        return input_pipeline.training_batches(split, batch_size, epochs, 1, augment, weights)


def steps_per_second(model: Any, batches: Any, steps: int) -> float:
    """Of the second epoch of Keras's fit: in the first it traces, compiles, and fills its queues."""
    import keras

    ended: list[float] = []
    # The logs of an epoch's end are numbers, for which Keras waits until the device is done.
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ended.append(time.perf_counter()))
    model.fit(batches, epochs=2, steps_per_epoch=steps, callbacks=[clock], verbose=0)
    return steps / (ended[1] - ended[0])


def compare_inputs(task: Task, device: str, batch_size: int, steps: int) -> None:
    """Prints steps a second by precision and XLA, and what of them is left with real input."""
    import tensorflow as tf

    half = "mixed_float16" if "GPU" in device else "mixed_bfloat16"
    ways = [(precision, xla) for precision in ("float32", half) for xla in (False, True)]
    needed, first = 2 * steps, 0.0
    batch = next(iter(task.batches(task.cached, batch_size, 1)))
    heads = f"{'steps/s':>8} {'x first':>7} {'pipeline':>8} {'decoding':>8} {'input wait':>13}"
    print(f"{'precision':15} XLA {heads}")
    for precision, xla in ways:
        model = task.model(precision, xla, tf.distribute.OneDeviceStrategy(device))
        memory, pipeline, decoding = (
            steps_per_second(model, batches, steps)
            for batches in (
                tf.data.Dataset.from_tensors(batch).repeat(needed).prefetch(tf.data.AUTOTUNE),
                task.batches(task.cached, batch_size, needed),
                task.batches(task.decoded, batch_size, needed),
            )
        )
        first = first or memory
        wait = max(0.0, 1000 / pipeline - 1000 / memory)
        print(
            f"{precision:15} {'yes' if xla else 'no':3} {memory:>8.1f} {memory / first:>7.2f}"
            f" {pipeline / memory:>8.2f} {decoding / memory:>8.2f} {wait:>5.1f} ms/step"
        )


def compare_devices(task: Task, devices: Sequence[str], batch_size: int, steps: int) -> None:
    """Prints examples a second on one device, two, four, ... and all, as a share of as many times one."""
    import tensorflow as tf

    print(f"\n{'devices':>7} {'batch':>6} {'examples/s':>10} {'x one':>6} {'of linear':>9}")
    one = 0.0
    for count in sorted({1, *(n for n in (2, 4, 8) if n < len(devices)), len(devices)}):
        model = task.model("float32", False, tf.distribute.MirroredStrategy(list(devices[:count])))
        batch = batch_size * count
        rate = batch * steps_per_second(model, task.batches(task.cached, batch, 2 * steps), steps)
        one = one or rate
        print(f"{count:>7} {batch:>6} {rate:>10.0f} {rate / one:>6.2f} {rate / one / count:>9.2f}")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="one with a run (default: a new one, of the sample)")
    parser.add_argument("--batch-size", type=int, default=256, help="examples of one GPU in a step (256)")
    parser.add_argument("--steps", type=int, default=100, help="that are timed each way (100)")
    parser.add_argument("--cpu", action="store_true", help="use the CPU, whether there is a GPU or not")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = arguments.workspace or Path(folder, "workspace")
        if arguments.workspace is None:
            short = ["--set", "trainer.epochs=1", "--set", "trainer.strategy=one_device"]
            subprocess.run([*_RUNNER, "--workspace", str(workspace), *short], check=False)
        measure(workspace, arguments.batch_size, arguments.steps, arguments.cpu)


def measure(workspace: Path, batch_size: int, steps: int, cpu: bool) -> None:
    """Prints what is measured on what, then both tables."""
    import tensorflow as tf

    gpus = [] if cpu else tf.config.list_physical_devices("GPU")
    if not (gpus or cpu):
        sys.exit("TensorFlow sees no GPU on this machine. Look at nvidia-smi, or try it out with --cpu.")
    if cpu:
        tf.config.set_visible_devices([], "GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    devices = [f"/gpu:{number}" for number in range(len(gpus))] or ["/cpu:0"]
    task = Task.of(workspace)
    (shape,) = {tuple(batch[0].shape[1:]) for batch in task.batches(task.cached, batch_size, 1).take(1)}
    print(f"{', '.join(names) or 'CPU'}; TensorFlow {tf.__version__}; {len(task.cached.labels)} examples")
    print(f"batches of {batch_size} of {'x'.join(map(str, shape))}, {steps} steps each way\n")
    compare_inputs(task, "/device:GPU:0" if gpus else "/cpu:0", batch_size, steps)
    compare_devices(task, devices, batch_size, steps)


if __name__ == "__main__":
    main()
