"""What one step put out, for a UI that shows each step: a small page, figures, a confusion matrix."""

from typing import Any

from report.collect import collect, pictures
from report.facts import About, Facts
from report.page import View, render_part
from report.records import PAGE
from report.sources import Sources, read_json

# The sections of a step's page, and what the step is there for.
_STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "PhotoIngest": (("data", "quarantine"), "Reads the newest spans and sets aside what cannot be used."),
    "StatisticsGen": (("features",), "Counts what the photos of the window are like."),
    "SchemaGen": ((), "Infers a schema from the statistics, to compare the curated one with."),
    "CuratedSchema": ((), "Puts out the schema that people review; the window is held against it."),
    "ExampleValidator": ((), "Holds the statistics against the curated schema."),
    "DataGate": (("gates", "features"), "Judges the window of data."),
    "DataAdmission": (("gates",), "Lets the run go on to training, or stops it."),
    "Transform": ((), "Makes the graph of decoding and resizing that ships inside the model."),
    "Trainer": (("training",), "Trains the model."),
    "ProductionModel": ((), "Fetches the model in production, to compare with."),
    "ModelEvaluator": (("gates", "metrics", "confusion"), "Measures the model by slice, and judges it."),
    "EdgeConverter": ((), "Converts the model to files for phones."),
    "EdgeValidator": (("gates", "edge", "mistakes", "reliability"), "Measures the files that would ship."),
    "ReleasePusher": ((), "Pushes model and files as one version, or neither."),
    "RunReport": ((), "Makes the page of the run."),
    "ReleaseAdmission": ((), "Ends a run whose model was held back, and looks whether a push arrived."),
}


def step_page(step: str, sources: Sources) -> str:
    """A self-contained HTML page of what a step put out; a sentence at least.

    Args:
        step: The node's id.
        sources: The folders that it read and wrote.
    """
    if step == "RunReport" and sources.report is not None and (sources.report / PAGE).is_file():
        return (sources.report / PAGE).read_text(encoding="utf-8")
    sections, purpose = _STEPS.get(step, ((), ""))
    facts = collect(sources, About(run="", model=""))
    said = _said(step, sources, facts)
    view = View(facts, pictures(sources)) if sections else None
    return render_part(step, " ".join(text for text in (purpose, said) if text), sections, view)


def _said(step: str, sources: Sources, facts: Facts) -> str:
    """What a step without a section of its own came to."""
    if step == "ExampleValidator" and sources.anomalies is not None:
        return " ".join(facts.data.anomalies if facts.data else ()) or "It found nothing that breaks it."
    if step == "EdgeConverter":
        variants = read_json(sources.edge_models, "conversion.json") or ()
        return " ".join(
            f"{item['variant']} could not be made: {item['error']}"
            if item["error"]
            else f"Made {item['file']}."
            for item in variants
        )
    if step in ("ReleasePusher", "ReleaseAdmission"):
        pushed = read_json(sources.pushed_model, "push.json") or {}
        return " ".join([f"Outcome: {pushed['outcome']}.", *pushed["reasons"]]) if pushed else ""
    return ""


def step_metrics(step: str, sources: Sources) -> dict[str, float]:
    """The figures of a step that a list of runs can be sorted by; none for steps without.

    Args:
        step: The node's id.
        sources: The folders that it wrote.
    """
    facts = collect(sources, About(run="", model=""))
    found: dict[str, Any] = {}
    if step == "Trainer" and facts.training and facts.training.epochs:
        training = facts.training
        kept = next((e for e in training.epochs if e.epoch == training.best_epoch), training.epochs[-1])
        found = {
            "eval_accuracy": kept.val_accuracy,
            "eval_loss": kept.val_loss,
            "epochs": len(training.epochs),
            "seconds": training.seconds,
        }
    elif step == "ModelEvaluator" and facts.evaluation:
        evaluation = facts.evaluation
        overall = evaluation.overall
        found = {
            "accuracy": overall and overall.accuracy,
            "production_accuracy": overall and overall.before,
            "eval_photos": overall and overall.photos,
            **{
                f"worst_{kind}_accuracy": worst.accuracy
                for kind in ("class", "lane")
                if (worst := evaluation.worst(kind))
            },
        }
    elif step == "EdgeValidator" and facts.edge:
        for variant in facts.edge.variants:
            found |= {
                f"{variant.name}_accuracy": variant.accuracy,
                f"{variant.name}_size_mb": variant.size_bytes and variant.size_bytes / 1e6,
                f"{variant.name}_median_ms": variant.p50_ms,
            }
    return {name: float(value) for name, value in found.items() if value is not None}


def step_confusion(sources: Sources) -> dict[str, Any] | None:
    """The evaluator's confusion matrix, `labels` and `rows` (true by predicted); None where there is none."""
    evaluation = collect(sources, About(run="", model="")).evaluation
    if evaluation is None or evaluation.confusion is None:
        return None
    confusion = evaluation.confusion
    return {"labels": list(confusion.labels), "rows": [list(row) for row in confusion.rows]}
