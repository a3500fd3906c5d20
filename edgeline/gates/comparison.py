"""The comparison with a model in production that cannot read these examples, or answers with old labels.

Where it cannot read them, a model is judged by the absolute bounds, the majority and the simple models, as a
first one is, and by what production was worth when it was pushed: a column that is gone must let no model
through that is surely worse.
"""

from collections.abc import Iterator

import numpy as np

from edgeline.gates.bounds import name_limit
from edgeline.gates.evidence import Evidence
from edgeline.intervals import compute_group_interval
from edgeline.labels import format_count
from edgeline.records.verdict import Finding


def judge_comparison(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning if production cannot be compared, and a finding if the model is surely worse."""
    if evidence.relabelled:
        text = f"The labels of the model in production are others: {evidence.relabelled}"
        yield Finding(text, code="relabelled", severity="warn")
    if evidence.mismatch:
        text = (
            f"The model in production cannot answer these examples: {evidence.mismatch} What decides instead"
            " are the absolute bounds, the most frequent class, the simple models, and the accuracy that"
            " production had when it was pushed."
        )
        yield Finding(text, code="not_comparable", severity="warn")
        yield from _find_drop_since_push(evidence)


def _find_drop_since_push(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding if the whole interval of the accuracy is below that of production when it was pushed.

    Both are of the spans that both were judged on; where there are none, of all of each.
    """
    version = evidence.metrics.baseline_version
    pushed = evidence.pushed.get(version)
    answers = evidence.answers
    if pushed is None or (before := pushed.accuracy.get("overall", {}).get("all")) is None:
        return

    shares = pushed.accuracy.get("span", {})
    common = [name for kind, name in answers.slices if kind == "span" and name in shares]
    mask = answers.of("overall", "all")
    which = "its own eval examples"
    if common:
        masks = {name: answers.of("span", name) for name in common}
        mask = np.logical_or.reduce([*masks.values()])
        before = sum(shares[name] * masks[name].sum() for name in common) / mask.sum()
        which = "those of the same spans"

    right = answers.find_right(answers.candidate)[mask]
    low, high = compute_group_interval(right, answers.groups[mask])
    for number, bound in enumerate(evidence.settings.bounds):
        is_of_accuracy = (bound.slice, bound.metric) == ("overall", "accuracy")
        if is_of_accuracy and bound.max_drop is not None and high < before - bound.max_drop:
            text = (
                f"Accuracy is {right.mean():.3f} on {format_count(len(right), 'eval example')} (95 % CI"
                f" {low:.3f} to {high:.3f}), and version {version} in production, which cannot answer them,"
                f" had {before:.3f} on {which} when it was pushed; at most {bound.max_drop:g} below is"
                " allowed."
            )
            numbers = {"value": float(right.mean()), "in_production": float(before)}
            yield Finding(text, name_limit(number, "max_drop"), "overall", code="drop", numbers=numbers)
