"""Measures the file that would ship: parity with the SavedModel, accuracy, latency, size."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.records.edge import GroupAccuracy, Latency, Machine, Measurement

_RUNS, _WARM_UP = 100, 10


def measure(
    tflite: Path,
    inputs: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    reference: NDArray[np.float32],
    groups: Mapping[str, Sequence[str]],
) -> Measurement:
    """Runs an edge file on examples, one at a time in one thread, and compares it with the SavedModel.

    Args:
        tflite: The edge file.
        inputs: [n, ...], as the runtime's `preprocess` makes them.
        labels: Right class indices, [n].
        reference: The SavedModel's probabilities for the same examples, float32 [n, classes].
        groups: For each grouping ("lane", "label", ...) the name of each example's group, length n.

    Raises:
        EdgelineError: The file cannot be run.
    """
    inspect(tflite)  # raises on a damaged file, where the interpreter would end the process
    model = EdgeModel(tflite)
    probabilities = model.predict(inputs)
    predicted, expected = probabilities.argmax(axis=1), reference.argmax(axis=1)
    difference = np.abs(probabilities.astype(np.float64) - reference)
    right, reference_right = predicted == labels, expected == labels
    return Measurement(
        file=tflite.name,
        size_bytes=tflite.stat().st_size,
        examples=len(inputs),
        agreement=float(np.mean(predicted == expected)),
        max_difference=_drop_infinite(difference.max()),
        accuracy=float(right.mean()),
        reference_accuracy=float(reference_right.mean()),
        groups={key: dict(_measure_groups(names, right, reference_right)) for key, names in groups.items()},
        finite=bool(np.isfinite(probabilities).all()),
        latency=_measure_latency(model, inputs),
        machine=Machine(_find_cpu_name(), model.runtime),
    )


def _drop_infinite(value: np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None


def _measure_groups(
    groups: Sequence[str], right: NDArray[np.bool_], reference_right: NDArray[np.bool_]
) -> Iterator[tuple[str, GroupAccuracy]]:
    names = np.asarray(groups)
    for name in sorted(set(groups)):
        members = names == name
        accuracy, reference = float(right[members].mean()), float(reference_right[members].mean())
        yield name, GroupAccuracy(int(members.sum()), accuracy, reference)


def _measure_latency(model: EdgeModel, inputs: NDArray[Any]) -> Latency:
    milliseconds = []
    for run in range(-_WARM_UP, _RUNS):
        example = run % len(inputs)
        began = time.perf_counter()
        model.predict(inputs[example : example + 1])
        if run >= 0:
            milliseconds.append((time.perf_counter() - began) * 1e3)
    p50, p99 = (float(np.percentile(milliseconds, q)) for q in (50, 99))
    return Latency(p50, p99, _RUNS)


def _find_cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
