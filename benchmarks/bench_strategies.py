"""One training on one device, two replicas, and two workers: `python -m benchmarks.bench_strategies PHOTOS`.

PHOTOS has a folder of JPEGs for each class. The whole DAG runs on it three times, with the same global batch:
on the CPU, on two logical devices of it (`mirrored`), and in two processes (`multi_worker`). Replicas draw
the same random numbers for dropout, of which there is none here: what differs is the order in which float32
is added up.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench_photos import run_edgeline
from records.training import EPOCHS, TRAINING, Epoch
from runners.shared import runs

# The module of the workload sets up the devices, as a user's own may, before TensorFlow uses any.
_MODULE = """
import os
import tensorflow as tf
from trainer_module import backbones
from trainer_module.photos import *

backbones.DROPOUT = 0.0
if "TF_CONFIG" not in os.environ:
    cpu, *_ = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""


def main() -> None:
    """Prints devices, minutes, and each epoch's loss with its difference from the loss on one device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32, help="global batch size (32)")
    parser.add_argument("--set", action="append", default=[], help="a setting of all runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        run_edgeline("data", "import", options.photos, "--data", data)
        (data / "two_cpus_photos.py").write_text(_MODULE, encoding="utf-8")
        with (data / "workload.yaml").open("a", encoding="utf-8") as file:
            file.write("\nmodule: two_cpus_photos\n")
        first: Sequence[Epoch] = ()
        for strategy, replicas in (("one_device", 1), ("mirrored", 2), ("multi_worker", 2)):
            workspace = Path(folder, strategy)
            settings = [
                *(f"trainer.strategy={strategy}", f"trainer.batch_size={options.batch_size // replicas}"),
                *(f"trainer.epochs={options.epochs}", "trainer.early_stopping_patience=0", *options.set),
            ]
            started = time.monotonic()
            run_edgeline(
                *("run", "--workload", data / "workload.yaml", "--data", data, "--workspace", workspace),
                *(part for setting in settings for part in ("--set", setting)),
                path=data,
            )
            minutes = (time.monotonic() - started) / 60
            (run,) = runs.read_runs(workspace)
            (trained,) = workspace.glob("artifacts/Trainer/model_run/*")
            devices = ", ".join(TRAINING.read(trained).devices)
            epochs = list(EPOCHS.read(trained))
            first = first or epochs
            print(f"{strategy} ({devices}): {run.outcome} in {minutes:.1f} min", flush=True)
            for ours, alone in zip(epochs, first, strict=True):
                assert ours.loss and ours.val_loss and alone.loss and alone.val_loss
                print(
                    f"  epoch {ours.epoch}: loss {ours.loss:.6f} ({abs(ours.loss / alone.loss - 1):.1e} off),"
                    f" eval loss {ours.val_loss:.6f} ({abs(ours.val_loss / alone.val_loss - 1):.1e} off)"
                )


if __name__ == "__main__":
    main()
