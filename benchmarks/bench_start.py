"""The cost of a run outside of its steps: seconds before, between and after them, and who brings TensorFlow.

    python -m benchmarks.bench_start [--workspace DIR] [--runs N]

It runs the sample once, if the workspace has no run yet, and then N times from the cache; the fastest of
those counts. `before` is the command, its reading of the data, and the worker's imports; `after` is the page
of the run. CPU is that of all processes of a run.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_STEP = re.compile(r'Running launcher for node_info \{|^\s*id: "(\w+)"')
_TENSORFLOW = re.compile(r"\btensorflow/(core|compiler)/")


def measure(command: Sequence[str]) -> tuple[str, float, resource.struct_rusage]:
    """Returns a command's output, its seconds and its usage."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        output.seek(0)
        return output.read().decode(), seconds, usage


def run_sample(workspace: Path) -> dict[str, Any]:
    """Runs the sample; returns the run's record, with wall time and CPU seconds."""
    runner = str(_ROOT / "runners/local_runner.py")
    output, wall, usage = measure([sys.executable, runner, "--json", "--workspace", str(workspace)])
    return {**json.loads(output), "wall": wall, "cpu": usage.ru_utime + usage.ru_stime}


def find_tensorflow_import(log: Path) -> str:
    """Returns the step during which TensorFlow was imported."""
    step, in_header = "before the first", False
    for line in log.read_text(errors="replace").splitlines():
        if _TENSORFLOW.search(line):
            return step
        if (match := _STEP.search(line)) is not None:
            step = match[1] if in_header and match[1] else step
            in_header = match[1] is None
    return "none"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of a full run and one from the cache."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workspace", type=Path, help="workspace with runs (default: a temporary one)")
    parser.add_argument("--runs", type=int, default=3, help="number of runs from the cache (3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        workspace = (options.workspace or Path(temporary)).absolute()
        rows = [] if (workspace / "runs").is_dir() else [("all steps", run_sample(workspace))]
        cached = [run_sample(workspace) for _ in range(options.runs)]
        rows.append(("from the cache", min(cached, key=lambda run: float(run["wall"]))))
        names = ("wall", "steps", "before", "between", "after", "outside", "CPU")
        print(f"{'seconds':15}" + "".join(f"{name:>9}" for name in names) + "  TensorFlow imported in")
        for name, run in rows:
            steps = sum(step["seconds"] or 0.0 for step in run["steps"])
            before, wall = run["start_seconds"], run["wall"]
            between, after = run["seconds"] - before - steps, wall - run["seconds"]
            figures = (wall, steps, before, between, after, wall - steps, run["cpu"])
            step = find_tensorflow_import(workspace / "runs" / run["id"] / "run.log")
            print(f"{name:15}" + "".join(f"{figure:9.1f}" for figure in figures) + f"  {step}")


if __name__ == "__main__":
    main()
