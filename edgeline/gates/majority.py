"""The comparison of a model with always predicting the most frequent class."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgeline.gates.answers import ROUNDING
from edgeline.gates.evidence import Evidence, Measured, read_value
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.paired import RESAMPLES, estimate_no_drop
from edgeline.records.verdict import Finding

_LIFTED_BY = "evaluation.beat_majority=false"


def judge_majority(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding if the model is no better than the most frequent class, or chance may be why it is.

    What may be chance is a warning where the model is compared with one in production too.
    """
    if not evidence.settings.beat_majority:
        return
    judged = evidence.judged
    label, accuracy, share = _measure_majority(judged)
    numbers = {"value": accuracy, "majority": share}
    if not accuracy > share + ROUNDING:
        shown, required = format_with_bound(accuracy, share)
        text = (
            f"Overall accuracy {shown} does not beat the majority class: always predicting {label} is right"
            f" for {required} of the {judged.examples}."
        )
        yield Finding(text, _LIFTED_BY, "overall", code="majority", numbers=numbers)
        return

    as_good = _estimate_as_good(judged, label)
    if as_good >= 1 - evidence.settings.confidence:
        text = (
            f"Overall accuracy {accuracy:.3f} on {judged.describe()} beats the majority class by no more than"
            f" noise: always predicting {label} is right for {share:.3f}, and as good as the model in"
            f" {100 * as_good:.1f} % of {RESAMPLES:,} resamples. The model may have learned nothing: add"
            " examples."
        )
        finding = Finding(text, _LIFTED_BY, "overall", code="majority_by_chance", numbers=numbers)
        yield finding if evidence.metrics.baseline is None else replace(finding, severity="warn")


def _estimate_as_good(judged: Measured, label: str) -> float:
    """Returns the share of resamples in which always predicting a class is as good as the model."""
    answers = judged.answers
    always = np.zeros_like(answers.candidate)
    always[:, answers.classes.index(label)] = 1
    both = replace(answers, candidate=always, baseline=answers.candidate)
    return max(estimate_no_drop(both, "overall", "all", "accuracy", judged.false_alarm_rate))


def _measure_majority(judged: Measured) -> tuple[str, float, float]:
    """Returns the most frequent class, the model's accuracy, and that of always predicting the class."""
    candidate = judged.metrics.candidate
    counts = {label: read_value(values, "example_count") for label, values in candidate["class"].items()}
    label = max(counts, key=counts.__getitem__)
    overall = candidate["overall"]["all"]
    return label, read_value(overall, "accuracy"), counts[label] / read_value(overall, "example_count")
