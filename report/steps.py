"""What one step put out, for a UI that shows each step: a small page, figures, a confusion matrix."""

import math
from typing import Any

from records.edge import CONVERSIONS
from records.evaluation import Confusion
from records.push import PUSH
from records.steps import STEPS
from report.collect import collect, pictures
from report.facts import About, Facts
from report.page import View, render_part
from report.records import PAGE
from report.sources import Sources


def step_page(step: str, sources: Sources) -> str:
    """A self-contained HTML page of what a step put out; a sentence at least."""
    if step == "RunReport" and sources.report is not None and (sources.report / PAGE).is_file():
        return (sources.report / PAGE).read_text(encoding="utf-8")
    info = STEPS[step]
    facts = collect(sources, About(run="", model=""))
    said = _said(step, sources, facts)
    view = View(facts, pictures(sources)) if info.sections else None
    return render_part(step, " ".join(text for text in (info.purpose, said) if text), info.sections, view)


def _said(step: str, sources: Sources, facts: Facts) -> str:
    """What a step without a section of its own came to."""
    if step == "ExampleValidator" and sources.anomalies is not None:
        return " ".join(facts.data.anomalies if facts.data else ()) or "It found nothing that breaks it."
    if step == "EdgeConverter":
        return " ".join(
            f"{item.variant} could not be made: {item.error}" if item.error else f"Made {item.file}."
            for item in CONVERSIONS.find(sources.edge_models) or ()
        )
    if step in ("Pusher", "ReleaseGate"):
        push = PUSH.find(sources.pushed_model)
        return " ".join([f"Outcome: {push.outcome}.", *push.reasons]) if push else ""
    return ""


def step_metrics(step: str, sources: Sources) -> dict[str, float]:
    """The figures of a step that a list of runs can be sorted by; none for steps without."""
    facts = collect(sources, About(run="", model=""))
    found: dict[str, Any] = {}
    if step == "Trainer" and facts.training and facts.training.epochs:
        training = facts.training
        best = training.summary.best_epoch
        kept = next((e for e in training.epochs if e.epoch == best), training.epochs[-1])
        found = {
            "eval_accuracy": kept.val_accuracy,
            "eval_loss": kept.val_loss,
            "epochs": len(training.epochs),
            "seconds": training.summary.seconds,
        }
    elif step == "Evaluator" and facts.evaluation:
        evaluation = facts.evaluation
        overall = evaluation.overall
        found = {
            "accuracy": overall and overall.accuracy,
            "production_accuracy": overall and overall.before,
            "eval_examples": overall and overall.examples,
            **{
                f"worst_{kind}_accuracy": worst.accuracy
                for kind in evaluation.kinds
                if kind not in ("overall", "span") and (worst := evaluation.worst(kind))
            },
        }
    elif step == "EdgeValidator" and facts.edge:
        for variant in facts.edge.variants:
            if (measured := variant.measured) is not None:
                found |= {
                    f"{variant.name}_accuracy": measured.accuracy,
                    f"{variant.name}_size_mb": measured.size_bytes / 1e6,
                    f"{variant.name}_median_ms": measured.latency.p50_ms,
                }
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def step_confusion(sources: Sources) -> Confusion | None:
    """The evaluator's confusion matrix; None where there is none."""
    evaluation = collect(sources, About(run="", model="")).evaluation
    return evaluation.confusion if evaluation else None
