"""Measures the file that would ship: parity with the SavedModel, accuracy, size, time, memory."""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from edgeline.edge.contracts import image
from edgeline.edge.first_run import measure_first
from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import EdgeModel, name_runtime, preprocess
from edgeline.records.edge import GroupAccuracy, Latency, Machine, Measurement, Speed

RUNS, WARM_UP = 100, 10
# Elapsed time by CPU time of a thread: 1.00 to 1.02 on an idle machine.
_LOADED = 1.2


def measure(
    tflite: Path,
    inputs: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    reference: NDArray[np.float32],
    groups: Mapping[str, Sequence[str]],
    contents: Sequence[Any] = (),
    contract: Mapping[str, Any] | None = None,
    unlike: NDArray[np.float32] | None = None,
) -> tuple[Measurement, NDArray[np.float32]]:
    """Runs an edge file on examples, one at a time, and compares it with the SavedModel.

    Args:
        tflite: The edge file.
        inputs: [n, ...], as the runtime's `preprocess` makes them.
        labels: Right class indices, [n].
        reference: The SavedModel's probabilities for the same examples, float32 [n, classes].
        groups: For each grouping ("lane", "label", ...) the name of each example's group, length n.
        contents: Raw inputs, as `preprocess` takes them, to measure what comes before inference.
        contract: The content of preprocessing.json, if there are contents.
        unlike: The SavedModel's values of `unlike`, float32 [n], if it has this output.

    Returns:
        The measurement, and the file's probabilities, float32 [n, classes].

    Raises:
        EdgelineError: The file cannot be run.
    """
    inspect(tflite)  # raises on a damaged file, where the interpreter would end the process
    speed = measure_speed(tflite, inputs, contents, contract or {})
    model = EdgeModel(tflite)
    probabilities, unlike_here = model.answer(inputs)
    predicted, expected = probabilities.argmax(axis=1), reference.argmax(axis=1)
    difference = float(np.abs(probabilities.astype(np.float64) - reference).max())
    right, reference_right = predicted == labels, expected == labels
    input_saturation, output_saturation = model.measure_saturation(inputs, probabilities)
    measurement = Measurement(
        file=tflite.name,
        size_bytes=tflite.stat().st_size,
        examples=len(inputs),
        agreement=float(np.mean(predicted == expected)),
        max_difference=difference if np.isfinite(difference) else None,
        accuracy=float(right.mean()),
        reference_accuracy=float(reference_right.mean()),
        groups={key: dict(_measure_groups(names, right, reference_right)) for key, names in groups.items()},
        finite=bool(np.isfinite(probabilities).all()),
        **asdict(speed),
        input_saturation=input_saturation,
        output_saturation=output_saturation,
        unlike_difference=None
        if unlike is None or unlike_here is None
        else float(np.abs(unlike_here - unlike).mean()),
        machine=describe_machine(),
    )
    return measurement, probabilities


def measure_speed(
    tflite: Path, inputs: NDArray[Any], contents: Sequence[Any], contract: Mapping[str, Any]
) -> Speed:
    """Times an edge file that can be run.

    Times are CPU time, which other processes of the machine hardly change: of the thread that infers; with
    two, half of that of both, which is the elapsed time where each has a core and waits for the other at
    work. Where the elapsed time in one thread is far above its CPU time, the machine was under load.

    Args:
        tflite: The edge file, which is loaded anew for each measurement.
        inputs: As for `measure`; they take turns.
        contents: As for `measure`; without any, the time before inference is not measured.
        contract: The content of preprocessing.json; empty without contents.

    Raises:
        EdgelineError: The file cannot be run.
    """
    cold_start, peak = measure_first(tflite)  # in processes of their own, which a file may end
    began = time.perf_counter(), time.thread_time()
    latency = _measure_latency(EdgeModel(tflite), inputs, time.thread_time)
    elapsed, busy = time.perf_counter() - began[0], time.thread_time() - began[1]
    return Speed(
        latency=latency,
        two_threads=_measure_latency(EdgeModel(tflite, threads=2), inputs, lambda: time.process_time() / 2),
        cold_start_ms=cold_start,
        peak_memory_bytes=peak,
        preparation_ms=_measure_preparation(contents, contract),
        under_load=elapsed > _LOADED * busy,
    )


def describe_machine() -> Machine:
    """Returns this machine's processor, and its version of LiteRT."""
    return Machine(_find_cpu_name(), name_runtime())


def _measure_groups(
    groups: Sequence[str], right: NDArray[np.bool_], reference_right: NDArray[np.bool_]
) -> Iterator[tuple[str, GroupAccuracy]]:
    names = np.asarray(groups)
    for name in sorted(set(groups)):
        members = names == name
        accuracy, reference = float(right[members].mean()), float(reference_right[members].mean())
        yield name, GroupAccuracy(int(members.sum()), accuracy, reference)


def _measure_latency(model: EdgeModel, inputs: NDArray[Any], clock: Callable[[], float]) -> Latency:
    order = [run % len(inputs) for run in range(-WARM_UP, RUNS)]
    milliseconds = _time(lambda run: model.predict(inputs[run : run + 1]), order, clock)[WARM_UP:]
    p50, p90, p99 = (float(np.percentile(milliseconds, q)) for q in (50, 90, 99))
    return Latency(p50, p99, RUNS, p90)


def _measure_preparation(contents: Sequence[Any], contract: Mapping[str, Any]) -> dict[str, float]:
    """Returns the median milliseconds of decoding and resizing a photo, or of preprocessing other inputs."""
    if not contents:
        return {}
    if contract.get("kind", "image") != "image":
        return {"preprocess": float(np.median(_time(lambda item: preprocess(item, contract), contents)))}
    photos = [image.decode(item, contract) for item in contents]
    return {
        "decode": float(np.median(_time(lambda item: image.decode(item, contract), contents))),
        "resize": float(np.median(_time(lambda item: image.resize(item, contract), photos))),
    }


def _time(
    call: Callable[[Any], object], items: Sequence[Any], clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Returns the milliseconds that a call takes for each item, by a clock of CPU time in seconds."""
    milliseconds = []
    for item in items:
        began = clock()
        call(item)
        milliseconds.append((clock() - began) * 1e3)
    return milliseconds


def _find_cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
