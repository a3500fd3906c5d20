"""Checks that a model recognises each class: a good overall accuracy may hide a class that it never finds."""

from collections.abc import Iterator, Mapping

from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import EvaluationSettings
from edgeline.labels import join_names
from edgeline.records.evaluation import Metrics
from edgeline.records.verdict import Finding

_MOST_SHOWN = 3


def find_unrecognised(
    metrics: Metrics, settings: EvaluationSettings, examples: str, in_folds: bool = False
) -> Iterator[Finding]:
    """Yields a finding for each class that the model does not recognise; none if that is not required.

    The recall of guessing is the share of all examples that the model takes for the class: a recall that is
    not above it is no better than guessing. `examples` is what the message calls them. Where each
    was answered out of fold, `in_folds`, a class of one group was learned by no model that answered for it.
    """
    confusion, counts = metrics.confusion, _count_examples(metrics)
    if confusion is None or not settings.min_class_recall:
        return
    total = sum(counts.values())
    for number, (label, row) in enumerate(zip(confusion.labels, confusion.rows, strict=True)):
        count = counts[label]
        if count < settings.min_class_examples:
            continue
        recall, guessed = row[number] / count, sum(other[number] for other in confusion.rows) / total
        if recall > guessed and recall >= settings.min_class_recall:
            continue
        shown, required = format_with_bound(recall, settings.min_class_recall)
        why = f"at least {required} required"
        if recall >= settings.min_class_recall:
            shown = f"{recall:.3f}"
            why = f"no better than guessing, since it is predicted for {guessed:.3f} of all examples"
        confused = _describe_confusions(dict(zip(confusion.labels, row, strict=True)), label)
        advice = "Add examples of it, or set trainer.balanced=true and, for photos, model.weights=imagenet."
        if in_folds and metrics.estimates["class"][label].sessions == 1:
            group = metrics.group
            advice = (
                f"They are all of one {group}, so no fold learned from any: add examples of other {group}s."
            )
        text = f"Recall of class {label} is {shown} on {count:,.0f} {examples}; {why}.{confused}"
        lifted_by = "evaluation.min_class_recall=0"
        yield Finding(f"{text} {advice}", lifted_by, f"class {label}", f"{label} ({recall:.3f})")


def warn_of_small_classes(metrics: Metrics, settings: EvaluationSettings) -> tuple[str, ...]:
    """Returns a warning that names the classes with too few eval examples; empty if there are none."""
    counts = _count_examples(metrics)
    few = [f"{label} ({n:.0f})" for label, n in counts.items() if n < settings.min_class_examples]
    if not few:
        return ()
    required = f"at least {settings.min_class_examples} required"
    return (f"Not judged for lack of eval examples: {join_names(few)}; {required}.",)


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
