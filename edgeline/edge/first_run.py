"""Loads an edge file and runs it once in new processes, as an app that was just opened does."""

import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from edgeline.edge.interpreter import EdgeModel
from edgeline.errors import EdgelineError
from edgeline.records.json_file import decode, encode

_TIMEOUT_S = 120
_PROCESSES = 3


# Milliseconds of CPU time from the file, which may be in the system's cache, to the answer; and the bytes of
# memory at their peak, None where the system does not say it.
FirstRun = tuple[float, int | None]


def measure_first(tflite: Path) -> FirstRun:
    """Runs a file once in each of some new processes, and returns the medians.

    Raises EdgelineError if the file ends the process, hangs, or cannot be run.
    """
    times, memories = zip(*(_run_first(tflite) for _ in range(_PROCESSES)), strict=True)
    peaks = [peak for peak in memories if peak is not None]
    return statistics.median(times), statistics.median_low(peaks) if peaks else None


def _run_first(tflite: Path) -> FirstRun:
    command = [sys.executable, "-m", "edgeline.edge.first_run", str(tflite)]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    try:
        result = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        end = f"gave no answer in {_TIMEOUT_S} s"
    else:
        if result.returncode == 0:
            first: FirstRun = decode(result.stdout.encode(), FirstRun)
            return first
        name, _, text = "".join(result.stderr.splitlines()[-1:]).partition(": ")  # of the error
        end = f"ended with exit code {result.returncode}: {(text or name).rstrip('.')}"
        if result.returncode < 0:
            end = f"was ended by {signal.Signals(-result.returncode).name}"
    raise EdgelineError(
        f"A process that ran {tflite.name} once {end}.",
        "An app that opens this file would end in the same way.",
        "Convert the model again; leave its variant out of edge.variants if that does not help.",
    )


def main(tflite: str) -> None:
    """Runs a file once; prints a `FirstRun` as JSON."""
    import ai_edge_litert.interpreter  # noqa: F401  # an app has the runtime loaded

    before = None
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: imports had a higher one
        before = _read_peak()
    began = time.process_time()
    model = EdgeModel(tflite)
    model.predict(np.zeros((1, *model.input_shape), np.float32))
    cold_start = (time.process_time() - began) * 1e3
    after = _read_peak()
    peak = None if before is None or after is None else after - before
    print(encode((cold_start, peak)).decode())


def _read_peak() -> int | None:
    """Returns the highest resident memory of this process in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    main(sys.argv[1])
