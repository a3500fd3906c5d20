"""The edge gate: it judges whether a measured file may ship."""

from collections.abc import Callable, Iterator, Sequence

from edgeline.gates.answers import ROUNDING
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import FEWEST_OF_A_CLASS, RECOGNISED, EdgeLimits
from edgeline.records.edge import GroupAccuracy, Measurement
from edgeline.records.verdict import Finding

# The fewest examples of a class or slice by which a drop is judged: one of 50 is two points. A class that the
# SavedModel recognises and a file has lost shows on fewer.
_ENOUGH = 50
# Largest mean difference of `unlike`; measured: int8 0.03, other files under 0.01.
_UNLIKE_APART = 0.08
_SLOW_MS = 50.0  # half of what a person takes for at once
_BYTES_PER_MB = 1_000_000  # as app stores and the settings count; a mebibyte would be laxer


def judge_measurement(measurement: Measurement, limits: EdgeLimits) -> list[Finding]:
    """Returns a finding with the numbers for each limit that a file does not keep, and warnings."""
    if not measurement.finite:
        # NaN wins every argmax at index 0, so the other numbers would say something about chance.
        text = f"{measurement.file} returns probabilities that are not finite numbers."
        return [Finding(text, code="not_finite")]
    return [finding for check in LIMITS for finding in check(measurement, limits)]


def check_agreement(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file agrees with the SavedModel on too few examples."""
    name, examples = measurement.file, measurement.examples
    if measurement.agreement < limits.min_agreement:
        agreeing = round(measurement.agreement * examples)
        agreement, required = format_with_bound(measurement.agreement, limits.min_agreement)
        text = (
            f"{name} agrees with the SavedModel on {agreeing} of {examples} examples"
            f" ({agreement}); at least {required} required. Probabilities"
            f" differ by up to {measurement.max_difference:.3f}."
        )
        yield Finding(text, "edge.min_agreement=0", code="agreement")


def check_size(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file is too large."""
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        shown, allowed = format_with_bound(size, limits.max_size_mb, 2)
        text = f"{measurement.file} is {shown} MB; at most {allowed} MB allowed."
        yield Finding(text, "edge.max_size_mb=10000", code="size")


def check_latency(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file is too slow, a warning where nobody has set a limit."""
    median = measurement.latency.p50_ms
    if limits.max_latency_ms is not None:
        if median > limits.max_latency_ms:
            latency, allowed = _describe_latency(measurement, limits.max_latency_ms)
            text = f"{latency}; at most {allowed} ms allowed."
            yield Finding(text, "edge.max_latency_ms=null", code="latency")
    elif median > _SLOW_MS:
        latency, usual = _describe_latency(measurement, _SLOW_MS)
        text = f"{latency}, which is more than {usual} ms. edge.max_latency_ms sets a limit."
        yield Finding(text, code="latency", severity="warn")


def check_unlike(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file says otherwise than the SavedModel how unlike an example is."""
    if (apart := measurement.unlike_difference) is not None and not apart <= _UNLIKE_APART:
        shown, allowed = format_with_bound(apart, _UNLIKE_APART)
        text = (
            f"{measurement.file} says how unlike an example is to those of training, 0 to 1, with a mean"
            f" difference of {shown} from the SavedModel; at most {allowed} allowed. Other variants are"
            " closer; model.unlike=false leaves it out."
        )
        yield Finding(text, "model.unlike=false", code="unlike")


def rest_on_time(findings: Sequence[Finding]) -> bool:
    """Tells whether a file fell by limits on times alone."""
    settings = {finding.setting for finding in findings}
    return bool(settings) and settings <= {"edge.max_latency_ms", "edge.max_ms"}


def _describe_latency(measurement: Measurement, bound: float) -> tuple[str, str]:
    """Returns the beginning of a sentence with the latency, and the bound with as many digits."""
    latency, machine = measurement.latency, measurement.machine
    median, shown_bound = format_with_bound(latency.p50_ms, bound, 2)
    load = ", under load" if measurement.under_load else ""
    text = (
        f"{measurement.file} takes {median} ms per example (median of {latency.runs} runs, one thread of"
        f" {machine.cpu}, {machine.runtime}{load})"
    )
    return text, shown_bound


def check_optional_limits(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding for each limit that is off unless it is set."""
    memory = measurement.peak_memory_bytes and measurement.peak_memory_bytes / _BYTES_PER_MB
    parts = (
        ("max_difference", "a largest difference of a probability of", measurement.max_difference, ""),
        ("max_memory_mb", "a peak memory of", memory, " MB"),
        ("max_input_saturation", "a saturation of its input of", measurement.input_saturation, ""),
        ("max_output_saturation", "a saturation of its output of", measurement.output_saturation, ""),
    )
    excesses = [(name, what, value, getattr(limits, name), unit) for name, what, value, unit in parts]
    for name, limit in limits.max_ms.items():
        load = ", under load," if measurement.under_load else ""
        what = f"a time {name.replace('_', ' ')}{load} of"
        excesses.append(("max_ms", what, measurement.timings.get(name), limit, " ms"))
    for setting, what, value, limit, unit in excesses:
        if limit is not None and value is not None and value > limit:
            shown, allowed = format_with_bound(value, limit)
            text = f"{measurement.file} has {what} {shown}{unit}; at most {allowed}{unit} allowed."
            none = "{}" if setting == "max_ms" else "null"
            yield Finding(text, f"edge.{setting}={none}", code=setting)


def check_drops(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file is less often right than the SavedModel, or lost a class or a slice.

    Its overall accuracy may hide the latter.
    """
    overall = GroupAccuracy(measurement.examples, measurement.accuracy, measurement.reference_accuracy)
    if _drop(overall) > limits.max_accuracy_drop + ROUNDING:
        yield _describe_drop(measurement.file, overall, "", limits)
    for kind, groups in measurement.groups.items():
        for name, group in groups.items():
            is_lost = (
                kind == "class"
                and group.support >= FEWEST_OF_A_CLASS
                and group.reference_accuracy >= RECOGNISED
                and group.accuracy < group.reference_accuracy / 2
            )
            if _drop(group) > limits.max_accuracy_drop + ROUNDING and (is_lost or group.support >= _ENOUGH):
                yield _describe_drop(measurement.file, group, f"{kind} {name}", limits)


def _drop(group: GroupAccuracy) -> float:
    return group.reference_accuracy - group.accuracy


def _describe_drop(file: str, group: GroupAccuracy, slice_name: str, limits: EdgeLimits) -> Finding:
    drop, allowed = format_with_bound(_drop(group), limits.max_accuracy_drop)
    which = f" of {slice_name}" if slice_name else ""
    text = (
        f"{file} is right on {group.accuracy:.3f} of {group.support} examples{which} and the SavedModel on"
        f" {group.reference_accuracy:.3f}: a drop of {drop}; at most {allowed} allowed."
    )
    short = f"{slice_name or 'overall'} ({drop})"
    return Finding(text, "edge.max_accuracy_drop=1", slice_name, short, code="accuracy_drop")


# In the order of their sentences.
LIMITS: list[Callable[[Measurement, EdgeLimits], Iterator[Finding]]] = [
    check_agreement,
    check_drops,
    check_size,
    check_latency,
    check_unlike,
    check_optional_limits,
]
