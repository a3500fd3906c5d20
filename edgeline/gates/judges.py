"""The judges of a model: each looks at the evidence for one thing, and the verdict is the sum of findings.

A new rule is a function that yields findings, in a file of its own, and a line in `JUDGES`.
"""

from collections.abc import Callable, Iterable, Iterator

from edgeline.gates.answers import Answers
from edgeline.gates.basis import (
    judge_columns,
    judge_few_groups,
    judge_photo_drift,
    judge_places,
    judge_twins,
)
from edgeline.gates.bounds import judge_bounds
from edgeline.gates.classes import judge_classes
from edgeline.gates.comparison import judge_comparison
from edgeline.gates.evidence import Evidence, read_value
from edgeline.gates.figures import compute_metrics
from edgeline.gates.label_issues import judge_label_issues
from edgeline.gates.majority import judge_majority
from edgeline.gates.regressions import judge_drops, judge_lost_groups
from edgeline.gates.served import judge_production, judge_served_versions, judge_skew
from edgeline.gates.settings import EvaluationSettings
from edgeline.gates.simple import judge_simple_models
from edgeline.records.verdict import Finding, Verdict

Judge = Callable[[Evidence], Iterable[Finding]]

# In the order of their sentences.
JUDGES: list[Judge] = [
    judge_twins,
    judge_bounds,
    judge_drops,
    judge_lost_groups,
    judge_majority,
    judge_classes,
    judge_simple_models,
    judge_columns,
    judge_few_groups,
    judge_places,
    judge_label_issues,
    judge_comparison,
    judge_photo_drift,
    judge_served_versions,
    judge_production,
    judge_skew,
]


def judge_model(evidence: Evidence) -> Verdict:
    """Returns the verdict on a model; without a model in production to compare with, `no_baseline` passes."""
    return Verdict.of(
        "evaluation",
        [finding for judge in JUDGES for finding in judge(evidence)],
        lambda: tuple(_list_grounds(evidence)),
        "no_baseline" if evidence.metrics.baseline is None else "pass",
    )


def judge_file(answers: Answers, settings: EvaluationSettings, group: str) -> list[Finding]:
    """Compares the answers of an edge file with those of the file in production, which are the baseline.

    The drops and lost groups are those of a model.

    Args:
        answers: The answers of the new file as the candidate, on the examples that both answered.
        settings: The limits of drops and of lost groups, and the confidence.
        group: The noun for a group in messages, such as `session`.
    """
    metrics = compute_metrics(answers, group, settings.false_alarm_rate)
    evidence = Evidence(metrics, settings, answers, subject="file")
    return [*judge_drops(evidence), *judge_lost_groups(evidence)]


def _list_grounds(evidence: Evidence) -> Iterator[str]:
    """Yields the sentences of a model that passes: its accuracy, and what it was compared with."""
    metrics, judged, on_eval = evidence.metrics, evidence.judged, evidence.on_eval
    accuracy = read_value(judged.metrics.candidate["overall"]["all"], "accuracy")
    yield f"Accuracy {accuracy:.3f} on {judged.describe()}; every bound holds."
    if judged.examples != on_eval.examples:
        whole = read_value(metrics.candidate["overall"]["all"], "accuracy")
        yield f"The model itself has an accuracy of {whole:.3f} on {on_eval.describe()}."
    if metrics.baseline is not None:
        before = read_value(metrics.baseline["overall"]["all"], "accuracy")
        yield f"The model in production had an accuracy of {before:.3f} on the same eval examples."
    elif version := metrics.baseline_version:
        yield f"Version {version} in production cannot answer these examples, so there was no comparison."
    else:
        yield "Nothing was in production before this model, so there was no baseline to compare it with."
