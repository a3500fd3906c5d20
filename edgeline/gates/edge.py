"""The edge gate: it judges whether a measured file may ship."""

from collections.abc import Iterator

from edgeline.gates.answers import ROUNDING
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import FEWEST_OF_A_CLASS, RECOGNISED, EdgeLimits
from edgeline.records.edge import GroupAccuracy, Measurement

# The fewest examples of a class or slice by which a drop is judged: one of 50 is two points. A class that the
# SavedModel recognises and a file has lost shows on fewer.
_ENOUGH = 50
# Largest mean difference of `unlike`; measured: int8 0.03, other files under 0.01.
_UNLIKE_APART = 0.08
_BYTES_PER_MB = 1_000_000  # as app stores and the settings count; a mebibyte would be laxer


def judge(measurement: Measurement, limits: EdgeLimits) -> list[str]:
    """Returns a sentence with the numbers for each limit that a file does not keep; empty if it may ship."""
    name, examples = measurement.file, measurement.examples
    if not measurement.finite:
        # NaN wins every argmax at index 0, so the numbers below would say something about chance.
        return [f"{name} returns probabilities that are not finite numbers."]
    reasons = []
    if measurement.agreement < limits.min_agreement:
        agreeing = round(measurement.agreement * examples)
        agreement, required = format_with_bound(measurement.agreement, limits.min_agreement)
        reasons.append(
            f"{name} agrees with the SavedModel on {agreeing} of {examples} examples"
            f" ({agreement}); at least {required} required. Probabilities"
            f" differ by up to {measurement.max_difference:.3f}."
        )
    overall = GroupAccuracy(examples, measurement.accuracy, measurement.reference_accuracy)
    if _drop(overall) > limits.max_accuracy_drop + ROUNDING:
        reasons.append(_describe_drop(name, overall, "", limits))
    reasons += _find_lost_groups(measurement, limits)
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        shown, allowed = format_with_bound(size, limits.max_size_mb, 2)
        reasons.append(f"{name} is {shown} MB; at most {allowed} MB allowed.")
    if measurement.latency.p50_ms > limits.max_latency_ms:
        latency, machine = measurement.latency, measurement.machine
        median, allowed = format_with_bound(latency.p50_ms, limits.max_latency_ms, 2)
        reasons.append(
            f"{name} takes {median} ms per example (median of {latency.runs} runs, one thread of"
            f" {machine.cpu}, {machine.runtime}); at most {allowed} ms allowed."
        )
    if (apart := measurement.unlike_difference) is not None and not apart <= _UNLIKE_APART:
        shown, allowed = format_with_bound(apart, _UNLIKE_APART)
        reasons.append(
            f"{name} says how unlike an example is to those of training, 0 to 1, with a mean difference of"
            f" {shown} from the SavedModel; at most {allowed} allowed. Other variants are closer;"
            " model.unlike=false leaves it out."
        )
    reasons += _find_other_excesses(measurement, limits)
    return reasons


def _find_other_excesses(measurement: Measurement, limits: EdgeLimits) -> Iterator[str]:
    """Yields a sentence for each limit that is off unless it is set."""
    memory = measurement.peak_memory_bytes and measurement.peak_memory_bytes / _BYTES_PER_MB
    parts = (
        ("a largest difference of a probability of", measurement.max_difference, limits.max_difference, ""),
        ("a peak memory of", memory, limits.max_memory_mb, " MB"),
        ("a saturation of its input of", measurement.input_saturation, limits.max_input_saturation, ""),
        ("a saturation of its output of", measurement.output_saturation, limits.max_output_saturation, ""),
        *(
            (f"a time {name.replace('_', ' ')} of", measurement.timings.get(name), limit, " ms")
            for name, limit in limits.max_ms.items()
        ),
    )
    for what, value, limit, unit in parts:
        if limit is not None and value is not None and value > limit:
            shown, allowed = format_with_bound(value, limit)
            yield f"{measurement.file} has {what} {shown}{unit}; at most {allowed}{unit} allowed."


def _find_lost_groups(measurement: Measurement, limits: EdgeLimits) -> Iterator[str]:
    """Yields a sentence for each class and slice that the file lost, which its overall accuracy may hide."""
    for kind, groups in measurement.groups.items():
        for name, group in groups.items():
            is_lost = (
                kind == "class"
                and group.support >= FEWEST_OF_A_CLASS
                and group.reference_accuracy >= RECOGNISED
                and group.accuracy < group.reference_accuracy / 2
            )
            if _drop(group) > limits.max_accuracy_drop + ROUNDING and (is_lost or group.support >= _ENOUGH):
                yield _describe_drop(measurement.file, group, f" of {kind} {name}", limits)


def _drop(group: GroupAccuracy) -> float:
    return group.reference_accuracy - group.accuracy


def _describe_drop(file: str, group: GroupAccuracy, which: str, limits: EdgeLimits) -> str:
    drop, allowed = format_with_bound(_drop(group), limits.max_accuracy_drop)
    return (
        f"{file} is right on {group.accuracy:.3f} of {group.support} examples{which} and the SavedModel on"
        f" {group.reference_accuracy:.3f}: a drop of {drop}; at most {allowed} allowed."
    )
