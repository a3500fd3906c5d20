"""The comparison of a model with the one in production, slice by slice and group by group.

`EvaluationSettings` says what a drop and a lost group are, and `edgeline/gates/paired.py` how they are told
from noise.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from edgeline.gates.answers import ROUNDING
from edgeline.gates.bounds import list_slices, name_limit
from edgeline.gates.evidence import Evidence, read_value
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.paired import RESAMPLES, estimate_no_drop, find_lost_groups
from edgeline.gates.settings import Bound
from edgeline.records.verdict import Finding


def judge_drops(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding for each slice on which the model is worse than production by more than allowed.

    Those that may be noise are warnings.
    """
    for number, bound in enumerate(evidence.settings.bounds):
        yield from _find_drops(number, bound, evidence)


def _find_drops(number: int, bound: Bound, evidence: Evidence) -> Iterator[Finding]:
    kind, metric, most = bound.slice, bound.metric, bound.max_drop
    on_eval, settings = evidence.on_eval, evidence.settings
    before = (on_eval.metrics.baseline or {}).get(kind, {})
    if most is None:
        return

    slices = [item for item in list_slices(bound, on_eval.metrics) if metric in before.get(item[0], {})]
    # Each slice of each bound may find a drop by chance: together they may do so no more often than one.
    bounds = sum(other.max_drop is not None for other in settings.bounds)
    chance = (1 - settings.confidence) / bounds / max(len(slices), 1)
    for name, slice_name, subject, values in slices:
        value, old = read_value(values, metric), read_value(before[name], metric)
        worse, side = (value - old, "above") if metric == "loss" else (old - value, "below")
        # Any number is better than the NaN of a broken production model.
        if worse <= most + ROUNDING or (math.isnan(old) and not math.isnan(value)):
            continue

        drop, limit = format_with_bound(worse, most)
        basis = on_eval.describe(kind, name, metric)
        production = f"the {evidence.subject} in production ({old:.3f})"
        text = f"{subject} is {value:.3f} on {basis}, {drop} {side} {production};"
        finding = Finding(
            f"{text} at most {limit} allowed.",
            name_limit(number, "max_drop"),
            slice_name,
            f"{name} ({value:.3f}, {old:.3f} in production)",
            code="drop",
            numbers={"value": value, "in_production": old},
        )

        if math.isnan(worse):
            yield finding
            continue

        shares = estimate_no_drop(on_eval.answers, kind, name, metric, settings.false_alarm_rate)
        share = max(shares)  # of the resamples without a drop
        if share < chance:
            why = f"The drop is real: only {100 * share:.1f} % of {RESAMPLES:,} resamples show no drop."
        elif shares.examples < chance and worse > settings.large_drop * most + ROUNDING:
            why = (
                f"{100 * shares.groups:.1f} % of {RESAMPLES:,} resamples of {on_eval.metrics.group}s show no"
                f" drop, and {100 * shares.examples:.1f} % of those of examples: a drop of more than"
                f" {settings.large_drop:g} times the limit fails even if only a few"
                f" {on_eval.metrics.group}s cause it."
            )
        else:
            why = f"within noise: {100 * share:.1f} % of {RESAMPLES:,} resamples show no drop."
            yield replace(finding, sentence=f"{text} {why}", code="drop_within_noise", severity="warn")
            continue

        yield replace(finding, sentence=f"{finding.sentence} {why}")


def judge_lost_groups(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding for each group that the model in production answers right and this one does not."""
    answers, settings, subject = evidence.answers, evidence.settings, evidence.subject
    right_after = settings.group_right_after
    if answers.baseline is None or right_after is None:
        return
    limits = settings.group_right_before, right_after, 1 - settings.confidence
    for number, size, right_before, right_now in find_lost_groups(answers, *limits):
        name = f"{evidence.metrics.group} {answers.group_names[number]}"
        yield Finding(
            f"{name[0].upper()}{name[1:]} is lost: the {subject} in production was right on"
            f" {right_before:,} of its {size:,} eval examples, and this {subject} on {right_now:,}.",
            "evaluation.group_right_after=null",
            name,
            f"{answers.group_names[number]} ({right_now:,} of {size:,}, {right_before:,} in production)",
            code="lost_group",
            numbers={"examples": size, "right_before": right_before, "right_now": right_now},
        )
