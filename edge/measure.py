"""Measures the file that would ship: parity with the SavedModel, accuracy, latency, size; and judges it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.inspect import FileReport, inspect, problems
from edge.runtime import EdgeModel
from errors import EdgelineError

_BYTES_PER_MB = 1_000_000  # as app stores and the settings count; a mebibyte would be laxer


@dataclass(frozen=True)
class EdgeLimits:
    """What is asked of an edge file.

    Attributes:
        min_agreement: Least share of photos with the SavedModel's top-1 label, 0..1.
        max_accuracy_drop: Most that accuracy may lie under the SavedModel's on the same photos, 0..1.
        max_size_mb: Largest file, in megabytes of 10^6 bytes.
        max_latency_ms: Longest median latency of one photo on the measuring machine, in milliseconds.
    """

    min_agreement: float
    max_accuracy_drop: float
    max_size_mb: float
    max_latency_ms: float


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy on the photos of one group, 0..1, with their number and the SavedModel's accuracy."""

    support: int
    accuracy: float
    reference_accuracy: float


@dataclass(frozen=True)
class Latency:
    """Time of one photo, input and output quantisation included, in milliseconds."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    runs: int
    threads: int


@dataclass(frozen=True)
class Machine:
    """Where the latency was measured."""

    cpu: str
    cores: int
    runtime: str


@dataclass(frozen=True)
class Measurement:
    """What one edge file does on real photos. `dataclasses.asdict` makes it JSON.

    Attributes:
        variant: Name of the variant that the file should be.
        file: Name of the file.
        size_bytes: Its size.
        photos: Number of photos.
        agreement: Share of photos with the SavedModel's top-1 label, 0..1.
        max_difference: Largest absolute difference of a probability.
        mean_difference: Mean absolute difference over all probabilities.
        accuracy: Share of photos with the right top-1 label, 0..1.
        reference_accuracy: The SavedModel's, on the same photos.
        groups: Accuracy by grouping and group, such as `groups["lane"]["lane-07"]`.
        finite: Whether every probability is a finite number. If not, the differences are NaN.
        latency: Of one photo.
        machine: Where that was measured.
    """

    variant: str
    file: str
    size_bytes: int
    photos: int
    agreement: float
    max_difference: float
    mean_difference: float
    accuracy: float
    reference_accuracy: float
    groups: Mapping[str, Mapping[str, GroupAccuracy]]
    finite: bool
    latency: Latency
    machine: Machine


def measure(
    tflite: Path,
    variant: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    reference: NDArray[np.float32],
    groups: Mapping[str, Sequence[str]],
    runs: int = 100,
    warm_up: int = 10,
) -> Measurement:
    """Runs an edge file on photos, one at a time in one thread, beside what the SavedModel said.

    Args:
        tflite: The file.
        variant: Name of the variant that it should be.
        images: uint8 [n, H, W, C], as the runtime's `preprocess` makes them.
        labels: Right class indices, [n].
        reference: The SavedModel's probabilities of the same photos, float32 [n, classes].
        groups: For each grouping ("lane", "label", ...) the name of each photo's group, length n.
        runs: Timed runs. Defaults to 100; 50 is the least.
        warm_up: Runs before these that are not timed. Defaults to 10.

    Raises:
        EdgelineError: No photo, arguments that do not fit together, or a file that cannot be run.
    """
    _check(images, labels, reference, groups)
    inspect(tflite)  # on a damaged file the interpreter ends the process, where this raises
    model = EdgeModel(tflite, num_threads=1)
    if model.classes != reference.shape[1]:
        raise EdgelineError(
            f"{tflite.name} gives {model.classes} probabilities, the SavedModel {reference.shape[1]}.",
            "They are not the same model.",
            "Convert the file again from this SavedModel.",
        )
    probabilities = model.predict(images)
    said, expected = probabilities.argmax(axis=1), reference.argmax(axis=1)
    difference = np.abs(probabilities.astype(np.float64) - reference)
    right, reference_right = said == labels, expected == labels
    return Measurement(
        variant=variant,
        file=tflite.name,
        size_bytes=tflite.stat().st_size,
        photos=len(images),
        agreement=float(np.mean(said == expected)),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        accuracy=float(right.mean()),
        reference_accuracy=float(reference_right.mean()),
        groups={name: dict(_by_group(of, right, reference_right)) for name, of in groups.items()},
        finite=bool(np.isfinite(probabilities).all()),
        latency=_latency(model, images, max(runs, 50), warm_up),
        machine=Machine(_cpu(), len(os.sched_getaffinity(0)), model.runtime),
    )


def judge(measurement: Measurement, report: FileReport, limits: EdgeLimits) -> list[str]:
    """Says in sentences, with the numbers, why a file may not ship; empty if it may.

    Args:
        measurement: What the file does.
        report: What the file holds.
        limits: What is asked of it.
    """
    name, photos = measurement.file, measurement.photos
    reasons = [f"{name}: {problem}" for problem in problems(report, measurement.variant)]
    if not measurement.finite:
        # NaN wins every argmax at index 0, so the numbers below would say something about chance.
        return [*reasons, f"{name} gives probabilities that are not finite numbers."]
    if measurement.agreement < limits.min_agreement:
        agreeing = round(measurement.agreement * photos)
        reasons.append(
            f"{name} gives the SavedModel's label on {agreeing} of {photos} photos"
            f" ({measurement.agreement:.3f}), and {limits.min_agreement:.3f} is asked; probabilities differ"
            f" by up to {measurement.max_difference:.3f}."
        )
    drop = measurement.reference_accuracy - measurement.accuracy
    if drop > limits.max_accuracy_drop:
        reasons.append(
            f"{name} is right on {measurement.accuracy:.3f} of {photos} photos and the SavedModel on"
            f" {measurement.reference_accuracy:.3f}: a drop of {drop:.3f}, and"
            f" {limits.max_accuracy_drop:.3f} is the most."
        )
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        reasons.append(f"{name} has {size:.2f} MB, and {limits.max_size_mb:.2f} MB is the most.")
    if measurement.latency.p50_ms > limits.max_latency_ms:
        latency, machine = measurement.latency, measurement.machine
        reasons.append(
            f"{name} takes {latency.p50_ms:.2f} ms for a photo (median of {latency.runs}, one thread of"
            f" {machine.cpu}, {machine.runtime}), and {limits.max_latency_ms:.2f} ms is the most."
        )
    return reasons


def _check(
    images: NDArray[Any], labels: NDArray[Any], reference: NDArray[Any], groups: Mapping[str, Sequence[str]]
) -> None:
    lengths = {"images": len(images), "labels": len(labels), "reference": len(reference)}
    lengths |= {f"groups[{name!r}]": len(of) for name, of in groups.items()}
    if len(images) == 0 or len(set(lengths.values())) != 1 or reference.ndim != 2:
        found = ", ".join(f"{name}: {size}" for name, size in lengths.items())
        raise EdgelineError(
            f"The photos to measure with are {found}.",
            "At least one is needed, each with its label, the SavedModel's probabilities and its groups.",
            "Pass the same photos to all.",
        )
    if not np.isfinite(reference).all():
        raise EdgelineError(
            "The SavedModel's own probabilities are not finite numbers.",
            "No edge file can be compared with them.",
            "Look at the training: its loss was NaN or infinite.",
        )


def _by_group(
    of: Sequence[str], right: NDArray[np.bool_], reference_right: NDArray[np.bool_]
) -> Iterator[tuple[str, GroupAccuracy]]:
    names = np.asarray(of)
    for name in sorted(set(of)):
        here = names == name
        yield (
            name,
            GroupAccuracy(int(here.sum()), float(right[here].mean()), float(reference_right[here].mean())),
        )


def _latency(model: EdgeModel, images: NDArray[np.uint8], runs: int, warm_up: int) -> Latency:
    milliseconds = []
    for run in range(-warm_up, runs):
        photo = run % len(images)
        began = time.perf_counter()
        model.predict(images[photo : photo + 1])
        if run >= 0:
            milliseconds.append((time.perf_counter() - began) * 1e3)
    p50, p90, p99 = (float(np.percentile(milliseconds, q)) for q in (50, 90, 99))
    return Latency(p50, p90, p99, runs, threads=1)


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
