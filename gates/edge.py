"""Whether a file that was measured may ship."""

from collections.abc import Iterator

from gates.numbers import beside
from gates.settings import FEWEST_OF_A_CLASS, RECOGNISED, EdgeLimits
from records.edge import GroupAccuracy, Measurement

# The fewest examples of a class or slice by which a drop is judged: of 50, one is two points. A class that
# was recognised, and that a file has lost, shows on fewer.
_ENOUGH = 50
_BYTES_PER_MB = 1_000_000  # as app stores and the settings count; a mebibyte would be laxer


def judge(measurement: Measurement, limits: EdgeLimits) -> list[str]:
    """Says in sentences, with the numbers, what a file does not reach; empty if it may ship."""
    name, examples = measurement.file, measurement.examples
    if not measurement.finite:
        # NaN wins every argmax at index 0, so the numbers below would say something about chance.
        return [f"{name} gives probabilities that are not finite numbers."]
    reasons = []
    if measurement.agreement < limits.min_agreement:
        agreeing = round(measurement.agreement * examples)
        agreement, required = beside(measurement.agreement, limits.min_agreement)
        reasons.append(
            f"{name} gives the SavedModel's label on {agreeing} of {examples} examples"
            f" ({agreement}); at least {required} required. Probabilities"
            f" differ by up to {measurement.max_difference:.3f}."
        )
    overall = GroupAccuracy(examples, measurement.accuracy, measurement.reference_accuracy)
    if _drop(overall) > limits.max_accuracy_drop:
        reasons.append(_dropped(name, overall, "", limits))
    reasons += _lost_groups(measurement, limits)
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        found, allowed = beside(size, limits.max_size_mb, 2)
        reasons.append(f"{name} has {found} MB; at most {allowed} MB allowed.")
    if measurement.latency.p50_ms > limits.max_latency_ms:
        latency, machine = measurement.latency, measurement.machine
        median, allowed = beside(latency.p50_ms, limits.max_latency_ms, 2)
        reasons.append(
            f"{name} takes {median} ms for an example (median of {latency.runs}, one thread of"
            f" {machine.cpu}, {machine.runtime}); at most {allowed} ms allowed."
        )
    return reasons


def _lost_groups(measurement: Measurement, limits: EdgeLimits) -> Iterator[str]:
    """Classes and slices that the file lost, which its accuracy overall may not show."""
    for kind, groups in measurement.groups.items():
        for name, found in groups.items():
            lost = (
                kind == "class"
                and found.support >= FEWEST_OF_A_CLASS
                and found.reference_accuracy >= RECOGNISED
                and found.accuracy < found.reference_accuracy / 2
            )
            if _drop(found) > limits.max_accuracy_drop and (lost or found.support >= _ENOUGH):
                yield _dropped(measurement.file, found, f" of {kind} {name}", limits)


def _drop(found: GroupAccuracy) -> float:
    return found.reference_accuracy - found.accuracy


def _dropped(file: str, found: GroupAccuracy, of: str, limits: EdgeLimits) -> str:
    drop, allowed = beside(_drop(found), limits.max_accuracy_drop)
    return (
        f"{file} is right on {found.accuracy:.3f} of {found.support} examples{of} and the SavedModel on"
        f" {found.reference_accuracy:.3f}: a drop of {drop}; at most {allowed} allowed."
    )
