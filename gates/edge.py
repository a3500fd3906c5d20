"""Whether a file that was measured may ship."""

from gates.settings import EdgeLimits
from records.edge import Measurement

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
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        reasons.append(f"{name} has {size:.2f} MB; at most {limits.max_size_mb:.2f} MB allowed.")
    if measurement.latency.p50_ms > limits.max_latency_ms:
        latency, machine = measurement.latency, measurement.machine
        reasons.append(
            f"{name} takes {latency.p50_ms:.2f} ms for an example (median of {latency.runs}, one thread of"
            f" {machine.cpu}, {machine.runtime}); at most {limits.max_latency_ms:.2f} ms allowed."
        )
    return reasons
