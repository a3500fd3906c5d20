"""Whether a file that was measured may ship."""

from collections.abc import Iterator

from gates.settings import EdgeLimits
from records.edge import Measurement

# The fewest examples of a class or slice by which a drop is judged: of 50, one is two points.
_ENOUGH = 50
# A class that was recognised, and that a file has lost, shows on fewer.
_ENOUGH_OF_A_LOST_CLASS, _RECOGNISED = 5, 0.3
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
        reasons.append(
            f"{name} gives the SavedModel's label on {agreeing} of {examples} examples"
            f" ({measurement.agreement:.3f}); at least {limits.min_agreement:.3f} required. Probabilities"
            f" differ by up to {measurement.max_difference:.3f}."
        )
    drop = measurement.reference_accuracy - measurement.accuracy
    if drop > limits.max_accuracy_drop:
        reasons.append(
            f"{name} is right on {measurement.accuracy:.3f} of {examples} examples and the SavedModel on"
            f" {measurement.reference_accuracy:.3f}: a drop of {drop:.3f}; at most"
            f" {limits.max_accuracy_drop:.3f} allowed."
        )
    reasons += _lost_groups(measurement, limits)
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        reasons.append(f"{name} has {size:.2f} MB; at most {limits.max_size_mb:.2f} MB allowed.")
    if measurement.latency.p50_ms > limits.max_latency_ms:
        latency, machine = measurement.latency, measurement.machine
        reasons.append(
            f"{name} takes {latency.p50_ms:.2f} ms for an example (median of {latency.runs}, one thread of"
            f" {machine.cpu}, {machine.runtime}); at most {limits.max_latency_ms:.2f} ms allowed."
        )
    return reasons


def _lost_groups(measurement: Measurement, limits: EdgeLimits) -> Iterator[str]:
    """Classes and slices that the file lost, which its accuracy overall may not show."""
    for kind, groups in measurement.groups.items():
        for name, found in groups.items():
            drop = found.reference_accuracy - found.accuracy
            lost = (
                kind == "class"
                and found.support >= _ENOUGH_OF_A_LOST_CLASS
                and found.reference_accuracy >= _RECOGNISED
                and found.accuracy < found.reference_accuracy / 2
            )
            if drop > limits.max_accuracy_drop and (lost or found.support >= _ENOUGH):
                yield (
                    f"{measurement.file} is right on {found.accuracy:.3f} of {found.support} examples of"
                    f" {kind} {name} and the SavedModel on {found.reference_accuracy:.3f}: a drop of"
                    f" {drop:.3f}; at most {limits.max_accuracy_drop:.3f} allowed."
                )
