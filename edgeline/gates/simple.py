"""The comparison of the network with simple models that learned from the same examples."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from edgeline.gates.answers import Answers, Floats
from edgeline.gates.evidence import Evidence
from edgeline.gates.paired import RESAMPLES, estimate_no_drop
from edgeline.intervals import compute_group_interval
from edgeline.records.evaluation import SimpleModel
from edgeline.records.verdict import Finding


@dataclass(frozen=True)
class SimpleAnswers:
    """The answers of one simple model to the n examples that the network answered too."""

    name: str
    probabilities: Floats  # [n, classes]
    trained_on: int  # number of examples
    seconds: float  # for training and answers


def compare(answers: Answers, models: Iterable[SimpleAnswers], examples: str) -> tuple[SimpleModel, ...]:
    """Measures simple models on the examples that the network answered; the worst comes first.

    Args:
        answers: The network's answers are the candidate's; a baseline is not looked at.
        models: The simple models with their answers to the same examples, in the same order.
        examples: The noun for these examples in messages, such as `eval examples`.
    """
    compared = []
    network = float(answers.find_right(answers.candidate).mean())
    for model in models:
        right = answers.find_right(model.probabilities)
        low, high = compute_group_interval(right, answers.groups)
        no_better = None
        if right.mean() > network:
            both = replace(answers, baseline=model.probabilities)
            no_better = max(estimate_no_drop(both, "overall", "all", "accuracy", 0.0))
        compared.append(
            SimpleModel(
                model.name,
                float(right.mean()),
                low,
                high,
                no_better,
                model.trained_on,
                model.seconds,
                network,
                len(right),
                examples,
            )
        )
    return tuple(sorted(compared, key=lambda model: model.accuracy))


def judge_simple_models(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning if a simple model is better than the network beyond noise."""
    metrics, settings = evidence.metrics, evidence.settings
    if not metrics.simple_models:
        return
    best = metrics.simple_models[-1]
    chance = (1 - settings.confidence) / len(metrics.simple_models)
    if best.no_better is None or best.no_better >= chance:
        return
    text = (
        f"A simple model is better: {best.name} has an accuracy of {best.accuracy:.3f} on the same"
        f" {best.answered:,} {best.examples}, and the network {best.network or 0.0:.3f}."
        f" This is not by chance: the network is as good in {100 * best.no_better:.1f} % of {RESAMPLES:,}"
        " resamples. Train it longer, or search for its settings (tune.max_trials)."
    )
    yield Finding(text, code="simple_model", severity="warn", numbers={"value": best.accuracy})
