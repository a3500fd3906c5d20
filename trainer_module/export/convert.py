"""Converts one signature of a SavedModel into edge files, in a process of its own.

TFLite's converter can abort the whole process instead of raising an exception, so it never runs in the
process of a pipeline step. The worker (`conversion_worker.py`) writes a line into a journal for each variant
that succeeds or fails. If the worker itself dies, only the variant in progress is lost, and another worker
converts the rest.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.variants import VARIANTS, Variant
from edgeline.records.edge import Conversion
from edgeline.records.json_file import decode

_log = logging.getLogger(__name__)

_LOG_LINES = 8


def convert(
    saved_model: Path,
    signature: str,
    variants: Sequence[str],
    calibration: NDArray[Any],
    output: Path,
    timeout: float = 600.0,
    oldest_runtime: str | None = None,
) -> list[Conversion]:
    """Makes one edge file per variant: batch 1, fixed shapes, TFLite's builtin operations only.

    A variant that fails does not stop the others.

    Args:
        saved_model: The folder of an exported model.
        signature: Has one input, float32 or int32 [None, ...].
        variants: Names of `VARIANTS`; the results have their order.
        calibration: Real inputs, [n, ...], for the ranges of int8's activations; if uint8, files take uint8.
        output: Gets the files; is created if it is missing. Older files of the variants are removed.
        timeout: Seconds of CPU time that each variant may take, with the loading of TensorFlow.
        oldest_runtime: If set, dense layers are quantised per tensor, since only newer runtimes read others.
    """
    wanted = [VARIANTS[name] for name in variants]
    output.mkdir(parents=True, exist_ok=True)
    for variant in wanted:
        _remove(variant, output)
    conversions: dict[str, Conversion] = {}
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as folder:
        np.save(Path(folder) / "calibration.npy", calibration)
        while remaining := [variant for variant in wanted if variant.name not in conversions]:
            journal = Path(folder) / f"journal-{len(conversions)}"
            arguments = (saved_model, signature, Path(folder) / "calibration.npy", output, journal, timeout)
            command = [sys.executable, "-m", "trainer_module.export.conversion_worker", *map(str, arguments)]
            command += [oldest_runtime or "", *(variant.name for variant in remaining)]
            conversions |= _run_worker(command, remaining, output, journal, timeout)
    return [conversions[variant.name] for variant in wanted]


def _run_worker(
    command: list[str], remaining: Sequence[Variant], output: Path, journal: Path, timeout: float
) -> dict[str, Conversion]:
    """Runs one worker to its end; records the first variant that it did not get done as failed."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    journal.touch()
    log = journal.with_suffix(".log")
    with log.open("wb") as stream:
        worker = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # The training process has the GPU's memory.
            env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"},
        )
    text = log.read_text(errors="replace")
    _log.info("Log of the edge conversion:\n%s", text)
    # A kill can leave half a line.
    lines = journal.read_bytes().rpartition(b"\n")[0].splitlines()
    entries: list[Conversion] = [decode(line, Conversion) for line in lines]
    result = {entry.variant: entry for entry in entries}
    failed = next((variant for variant in remaining if variant.name not in result), None)
    if failed is not None:
        tail = "\n".join(text.splitlines()[-_LOG_LINES:])
        end = _describe_exit(worker.returncode, timeout)
        error = f"The conversion process {end} while converting {failed.name}. Its log ends with:\n{tail}"
        result[failed.name] = Conversion(failed.name, None, error=error)
        _remove(failed, output)
    return result


def _remove(variant: Variant, output: Path) -> None:
    """Removes the files of a variant that an earlier run, or a killed worker, left behind."""
    for file in output.glob(variant.file_name + "*"):
        file.unlink()


def _describe_exit(returncode: int, timeout: float) -> str:
    if returncode == -signal.SIGPROF:  # the worker's own timer
        return f"took more than {timeout:g} s of CPU time"
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"
