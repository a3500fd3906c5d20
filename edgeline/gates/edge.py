"""The edge gate: it judges whether a measured file may ship."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edgeline.gates.answers import ROUNDING
from edgeline.gates.evidence import Evidence
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.paired import estimate_no_drop
from edgeline.gates.regressions import weigh_drop
from edgeline.gates.settings import FEWEST_OF_A_CLASS, RECOGNISED, EdgeLimits
from edgeline.records.edge import Measurement
from edgeline.records.verdict import Finding

# The fewest examples of a class or slice of which a drop that may be chance is told: one of 50 is two points.
_ENOUGH = 50
# Largest mean difference of `unlike`; measured: int8 0.03, other files under 0.01.
_UNLIKE_APART = 0.08
_SLOW_MS = 50.0  # half of what a person takes for at once
_BYTES_PER_MB = 1_000_000  # as app stores and the settings count; a mebibyte would be laxer


def judge_edge_file(measurement: Measurement, limits: EdgeLimits, evidence: Evidence) -> list[Finding]:
    """Returns a finding with the numbers for each limit that a file does not keep, and warnings.

    A file that is less often right, or agrees too rarely, falls where that is sure: where the resamples of
    the same examples that keep the limit are fewer than 1 - `evaluation.confidence`. Else it is a warning.

    Args:
        measurement: The size, time and differences of the file, as EdgeValidator measured them.
        limits: The settings `edge` with those of this variant.
        evidence: The answers of the file as the candidate, and those of the SavedModel as the baseline.
    """
    if not measurement.finite:
        # NaN wins every argmax at index 0, so the other numbers would say something about chance.
        text = f"{measurement.file} returns probabilities that are not finite numbers."
        return [Finding(text, code="not_finite")]
    return [
        *_judge_agreement(measurement, limits, evidence),
        *_judge_accuracy(measurement.file, limits, evidence),
        *(finding for check in LIMITS for finding in check(measurement, limits)),
    ]


def _judge_agreement(measurement: Measurement, limits: EdgeLimits, evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding if a file agrees with the SavedModel on too few examples."""
    answers, settings, most = evidence.answers, evidence.settings, 1 - limits.min_agreement
    assert answers.baseline is not None
    # The agreement is the accuracy where the SavedModel's answers are the labels.
    alike = replace(answers, labels=answers.choose_classes(answers.baseline))
    agrees = alike.find_right(answers.candidate)
    apart = 1 - float(agrees.mean())
    if apart <= most + ROUNDING:
        return

    agreement, required = format_with_bound(1 - apart, limits.min_agreement)
    text = (
        f"{measurement.file} agrees with the SavedModel on {agrees.sum()} of {len(agrees)} examples"
        f" ({agreement}), and probabilities differ by up to {measurement.max_difference:.3f};"
    )
    finding = Finding(text, "edge.min_agreement=0", code="agreement")
    shares = estimate_no_drop(alike, "overall", "all", "accuracy", settings.false_alarm_rate, most)
    is_large = apart > settings.large_drop * most + ROUNDING
    ends = f"at least {required} required.", f"at least {required}"
    yield weigh_drop(evidence, finding, shares, 1 - settings.confidence, is_large, *ends)


def _judge_accuracy(file: str, limits: EdgeLimits, evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding if a file is less often right than the SavedModel, or lost a class or a slice.

    Its overall accuracy may hide the latter. Each slice may show a drop by chance: together they may do so no
    more often than one.
    """
    answers, settings, most = evidence.answers, evidence.settings, limits.max_accuracy_drop
    assert answers.baseline is not None
    right, was_right = answers.find_right(answers.candidate), answers.find_right(answers.baseline)
    slices = [(kind, name) for kind, names in answers.list_slices().items() for name in names]
    for kind, name in slices:
        mask = answers.of(kind, name)
        support = int(mask.sum())
        accuracy = float(right[mask].mean())
        before = float(was_right[mask].mean())
        lost = before - accuracy
        if lost <= most + ROUNDING or (kind != "overall" and support < FEWEST_OF_A_CLASS):
            continue

        drop, allowed = format_with_bound(lost, most)
        slice_name = "" if kind == "overall" else f"{kind} {name}"
        which = slice_name and f" of {slice_name}"
        text = (
            f"{file} is right on {accuracy:.3f} of {support} examples{which} and the SavedModel on"
            f" {before:.3f}: a drop of {drop};"
        )
        short = f"{slice_name or 'overall'} ({drop})"
        finding = Finding(text, "edge.max_accuracy_drop=1", slice_name, short, code="accuracy_drop")
        required = f"at most {allowed} allowed."
        if kind == "class" and before >= RECOGNISED and accuracy < before / 2:
            # However few its examples are: a class that is lost is seen by whoever tries the file.
            yield replace(finding, sentence=f"{text} {required}")
            continue

        shares = estimate_no_drop(answers, kind, name, "accuracy", settings.false_alarm_rate, most)
        chance = (1 - settings.confidence) / len(slices)
        is_large = lost > settings.large_drop * most + ROUNDING
        shown = f"one of at most {allowed}"
        finding = weigh_drop(evidence, finding, shares, chance, is_large, required, shown)
        if finding.severity == "block" or kind == "overall" or support >= _ENOUGH:
            yield finding


def check_size(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file is too large."""
    if (size := measurement.size_bytes / _BYTES_PER_MB) > limits.max_size_mb:
        shown, allowed = format_with_bound(size, limits.max_size_mb, 2)
        text = f"{measurement.file} is {shown} MB; at most {allowed} MB allowed."
        yield Finding(text, "edge.max_size_mb=10000", code="size")


def check_latency(measurement: Measurement, limits: EdgeLimits) -> Iterator[Finding]:
    """Yields a finding if a file is too slow, a warning where nobody has set a limit."""
    latency, machine, limit = measurement.latency, measurement.machine, limits.max_latency_ms
    bound = _SLOW_MS if limit is None else limit
    if latency.p50_ms <= bound:
        return

    median, allowed = format_with_bound(latency.p50_ms, bound, 2)
    load = ", under load" if measurement.under_load else ""
    text = (
        f"{measurement.file} takes {median} ms per example (median of {latency.runs} runs, one thread of"
        f" {machine.cpu}, {machine.runtime}{load})"
    )
    if limit is not None:
        yield Finding(f"{text}; at most {allowed} ms allowed.", "edge.max_latency_ms=null", code="latency")
    else:
        text = f"{text}, which is more than {allowed} ms. edge.max_latency_ms sets a limit."
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


# In the order of their sentences.
LIMITS: list[Callable[[Measurement, EdgeLimits], Iterator[Finding]]] = [
    check_size,
    check_latency,
    check_unlike,
    check_optional_limits,
]
