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
from edgeline.gates.paired import RESAMPLES, NoDrop, estimate_no_drop, find_lost_groups
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
        finding = Finding(
            f"{subject} is {value:.3f} on {basis}, {drop} {side} {production};",
            name_limit(number, "max_drop"),
            slice_name,
            f"{name} ({value:.3f}, {old:.3f} in production)",
            code="drop",
            numbers={"value": value, "in_production": old},
        )

        required = f"at most {limit} allowed."
        if math.isnan(worse):
            yield replace(finding, sentence=f"{finding.sentence} {required}")
            continue

        shares = estimate_no_drop(on_eval.answers, kind, name, metric, settings.false_alarm_rate)
        is_large = worse > settings.large_drop * most + ROUNDING
        yield weigh_drop(evidence, finding, shares, chance, is_large, required)


def weigh_drop(
    evidence: Evidence,
    finding: Finding,
    shares: NoDrop,
    chance: float,
    is_large: bool,
    required: str,
    shown: str = "no drop",
) -> Finding:
    """Completes the finding of a drop: it holds back where the drop is sure, and warns where it may be noise.

    Args:
        evidence: The answers with the drop.
        finding: The drop; its sentence ends with a semicolon.
        shares: The shares of resamples that do not show it.
        chance: A drop is sure if these are smaller.
        is_large: Whether it is so large that a few groups are no excuse.
        required: The limit in words.
        shown: The opposite of the drop, in words.
    """
    group = evidence.metrics.group
    share = max(shares)
    if share < chance:
        why = f"The drop is real: only {100 * share:.1f} % of {RESAMPLES:,} resamples show {shown}."
    elif is_large and shares.examples < chance:
        why = (
            f"{100 * shares.groups:.1f} % of {RESAMPLES:,} resamples of {group}s show {shown}, and"
            f" {100 * shares.examples:.1f} % of those of examples: a drop of more than"
            f" {evidence.settings.large_drop:g} times the limit fails even if only a few {group}s cause it."
        )
    else:
        why = f"within noise: {100 * share:.1f} % of {RESAMPLES:,} resamples show {shown}."
        code = f"{finding.code}_within_noise"
        return replace(finding, sentence=f"{finding.sentence} {why}", code=code, severity="warn")

    return replace(finding, sentence=f"{finding.sentence} {required} {why}")


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
