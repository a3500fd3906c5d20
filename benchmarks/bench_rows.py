"""Examples a second and peak memory of ExampleGen, StatisticsGen and Transform.

    python -m benchmarks.bench_rows [--rows N | --photos N]

Rows are compared with pandas in one process: both make windows of 16 readings, every fourth, of the same
generated week, and compute their scales. The pandas script reads all of it, checks nothing, and writes only
one array. Photos, rendered like those of the shelf, have no other side.
The run is the DAG itself; it ends at the Trainer, whose settings require a GPU.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from data.sensors import generator
from data.shelf import renderer

_STEPS = ("ExampleGen", "StatisticsGen", "Transform")
_PANDAS = """
import sys
import numpy as np, pandas as pd
table = pd.read_csv(sys.argv[1], parse_dates=["timestamp"])
numbers = table.select_dtypes("number")
print(numbers.describe().shape, table["fault_label"].value_counts().shape)
scaled = (numbers - numbers.mean()) / numbers.std()
scaled = pd.concat([scaled.fillna(0.0), scaled.isna().astype("float32")], axis=1).astype("float32")
windows = []
for _, place in table.groupby("machine_id").indices.items():
    of_machine = scaled.to_numpy()[place]
    windows.append(np.lib.stride_tricks.sliding_window_view(of_machine, 16, axis=0)[::4].copy())
np.save(sys.argv[2], np.concatenate(windows))
"""


def measure(command: Sequence[str]) -> tuple[str, float, resource.struct_rusage]:
    """Returns a command's output, its seconds and its usage; peak memory is that of its largest process."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        output.seek(0)
        return output.read().decode(), seconds, usage


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of both sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of rows (1,000,000)")
    parser.add_argument("--photos", type=int, help="use this number of photos instead of rows")
    options = parser.parse_args(arguments)
    workload, examples = ("shelf", options.photos) if options.photos else ("sensor", options.rows)
    generate = renderer.generate if options.photos else generator.generate
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        generate(
            Path(folder, "data"), weeks=1, per_week=examples, seed=20, faults={}, workers=os.cpu_count() or 1
        )
        print(f"generated {examples:,} examples in {time.monotonic() - began:.1f} s")
        print(f"{'':14} {'per s':>9} {'seconds':>8} {'peak MB':>8}")
        if not options.photos:
            file = next(Path(folder, "data").glob("span-*/*.csv"))
            _, seconds, usage = measure([sys.executable, "-c", _PANDAS, str(file), f"{folder}/windows.npy"])
            print(
                f"{'pandas':14} {examples / seconds:>9,.0f} {seconds:>8.1f} {usage.ru_maxrss / 1000:>8,.0f}"
            )
        runner = str(Path(__file__).resolve().parents[1] / "runners" / "local_runner.py")
        command = [sys.executable, runner, "--json", "--workload", workload, "--data", f"{folder}/data"]
        command += ["--workspace", f"{folder}/workspace", "--set", "trainer.require_gpu=true"]
        text, _, usage = measure(command)
        run = json.loads(text)
        of_step = {step["name"]: step["seconds"] for step in run["steps"] if step["name"] in _STEPS}
        for name, seconds in of_step.items():
            print(f"{name:14} {examples / seconds:>9,.0f} {seconds:>8.1f}")
        seconds = sum(of_step.values())
        print(f"{'all three':14} {examples / seconds:>9,.0f} {seconds:>8.1f} {usage.ru_maxrss / 1000:>8,.0f}")


if __name__ == "__main__":
    main()
