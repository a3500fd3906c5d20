"""Checks that a model recognises each class: a good overall accuracy may hide a class that it never finds."""

from collections.abc import Iterator, Mapping

from edgeline.gates.evidence import OUT_OF_FOLD, Evidence, Measured
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import EvaluationSettings
from edgeline.labels import join_names
from edgeline.records.evaluation import Metrics
from edgeline.records.verdict import Finding

_MOST_SHOWN = 3


def judge_classes(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding for each class that the model does not recognise, and for those with few examples.

    The recall of guessing is the share of all examples that the model takes for the class: a recall that is
    not above it is no better than guessing. Where each example was answered out of fold, a class of one group
    was learned by no model that answered for it.
    """
    judged, settings = evidence.judged, evidence.settings
    counts = _count_examples(judged.metrics)
    yield from _find_unrecognised(judged, settings, counts)
    few = [f"{label} ({n:.0f})" for label, n in counts.items() if n < settings.min_class_examples]
    if few:
        required = f"at least {settings.min_class_examples} required"
        text = f"Not judged for lack of eval examples: {join_names(few)}; {required}."
        yield Finding(text, code="small_classes", severity="warn")


def _find_unrecognised(
    judged: Measured, settings: EvaluationSettings, counts: Mapping[str, float]
) -> Iterator[Finding]:
    metrics, confusion = judged.metrics, judged.metrics.confusion
    if confusion is None or not settings.min_class_recall:
        return
    total = sum(counts.values())
    for number, (label, row) in enumerate(zip(confusion.labels, confusion.rows, strict=True)):
        count = counts[label]
        if count < settings.min_class_examples:
            continue
        recall = row[number] / count
        guessed = sum(other[number] for other in confusion.rows) / total
        if recall > guessed and recall >= settings.min_class_recall:
            continue

        shown, required = format_with_bound(recall, settings.min_class_recall)
        why = f"at least {required} required"
        if recall >= settings.min_class_recall:
            shown = f"{recall:.3f}"
            why = f"no better than guessing, since it is predicted for {guessed:.3f} of all examples"

        confused = _describe_confusions(dict(zip(confusion.labels, row, strict=True)), label)
        advice = "Add examples of it, or set trainer.balanced=true and, for photos, model.weights=imagenet."
        if judged.examples == OUT_OF_FOLD and metrics.estimates["class"][label].sessions == 1:
            group = metrics.group
            advice = (
                f"They are all of one {group}, so no fold learned from any: add examples of other {group}s."
            )

        text = f"Recall of class {label} is {shown} on {count:,.0f} {judged.examples}; {why}.{confused}"
        yield Finding(
            f"{text} {advice}",
            "evaluation.min_class_recall=0",
            f"class {label}",
            f"{label} ({recall:.3f})",
            code="unrecognised_class",
            numbers={"value": recall, "guessing": guessed},
        )


def _count_examples(metrics: Metrics) -> dict[str, float]:
    """Counts the eval examples of each class, also those for which a model gives no finite probabilities."""
    labels = metrics.confusion.labels if metrics.confusion else ()
    by_class = metrics.candidate["class"]
    return {label: by_class.get(label, {}).get("example_count") or 0 for label in labels}


def _describe_confusions(answers: Mapping[str, int], label: str) -> str:
    wrong = {other: n for other, n in answers.items() if n and other != label}
    commonest = sorted(wrong, key=wrong.__getitem__, reverse=True)[:_MOST_SHOWN]
    shown = ", ".join(f"{other} for {wrong[other]:,}" for other in commonest)
    return f" The model predicts {shown} of them." if shown else ""
