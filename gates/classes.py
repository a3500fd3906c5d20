"""Whether a model recognises each class: a good accuracy overall may hide one that it never finds."""

from collections.abc import Iterator, Mapping

from gates.numbers import beside
from gates.settings import EvaluationSettings
from labels import first_few
from records.evaluation import Metrics

_MOST_SHOWN = 3


def find_blind(metrics: Metrics, settings: EvaluationSettings, examples: str) -> Iterator[tuple[str, str]]:
    """Each class that the model does not recognise, with the reason.

    Guessing finds of a class the share that it says the class in all: a recall not above that is guessed.
    `examples` is what they are called.
    """
    confusion, counts = metrics.confusion, _counts(metrics)
    if confusion is None:
        return
    every = sum(counts.values())
    for number, (label, row) in enumerate(zip(confusion.labels, confusion.rows, strict=True)):
        there = counts[label]
        if there < settings.min_class_examples:
            continue
        recall, guessed = row[number] / there, sum(other[number] for other in confusion.rows) / every
        if recall > guessed and recall >= settings.min_class_recall:
            continue
        told, required = beside(recall, settings.min_class_recall)
        why = f"at least {required} required"
        if recall >= settings.min_class_recall:
            told = f"{recall:.3f}"
            why = f"no better than guessing, as {guessed:.3f} of all examples are taken for it"
        taken = _taken_for(dict(zip(confusion.labels, row, strict=True)), label)
        yield (
            label,
            f"Recall of class {label} is {told} on {there:,.0f} {examples}; {why}.{taken}"
            " More examples of it help, or trainer.balanced=true, of photos model.weights=imagenet.",
        )


def unjudged(metrics: Metrics, settings: EvaluationSettings) -> tuple[str, ...]:
    """A warning that names the classes of which there are too few eval examples."""
    counts = _counts(metrics)
    few = [f"{label} ({n:.0f})" for label, n in counts.items() if n < settings.min_class_examples]
    if not few:
        return ()
    least = f"a class is judged by {settings.min_class_examples} eval examples or more"
    return (f"Not judged: {first_few(few)}; {least}.",)


def _counts(metrics: Metrics) -> dict[str, float]:
    """How many eval examples each class has, also where a model says none of them in numbers."""
    labels = metrics.confusion.labels if metrics.confusion else ()
    found = metrics.candidate["class"]
    return {label: found.get(label, {}).get("example_count") or 0 for label in labels}


def _taken_for(said: Mapping[str, int], label: str) -> str:
    wrong = {other: n for other, n in said.items() if n and other != label}
    commonest = sorted(wrong, key=wrong.__getitem__, reverse=True)[:_MOST_SHOWN]
    shown = ", ".join(f"{wrong[other]} are taken for {other}" for other in commonest)
    return f" Of them {shown}." if shown else ""
