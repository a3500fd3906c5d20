"""Reports on single steps for a UI that shows each step: a page, figures, a confusion matrix and a ROC."""

import math
from functools import lru_cache
from typing import Any

from edgeline.records.edge import PREDICTIONS
from edgeline.records.evaluation import Confusion
from edgeline.records.run import Run
from edgeline.records.steps import STEPS
from edgeline.records.verdict import DRIFT
from edgeline.report import archive
from edgeline.report.collect import collect_facts, read_pictures
from edgeline.report.facts import Evaluation, Facts
from edgeline.report.measures import compute_roc
from edgeline.report.page import View, render
from edgeline.report.sources import Sources
from edgeline.report.verdict import describe_outcome


def render_page(step: str, sources: Sources) -> str:
    """Renders the output of a step that has a page as self-contained HTML.

    The first line is a comment with the step's result, since a UI previews the first 255 bytes as text.
    """
    info = STEPS[step]
    facts = _read_facts(step, sources)
    summary = " ".join(f"{gate.result}: {' '.join(gate.reasons)}" for gate in facts.gates) or info.purpose
    if step == "RunReport" and sources.report is not None:
        summary = " ".join((describe_outcome(facts), *facts.run.reasons))
        page = (sources.report / archive.PAGE).read_text(encoding="utf-8")
        # Without it, a link within the page would lead to the UI's page where the frame has no address.
        page = page.replace("<head>", '<head>\n<base href="about:srcdoc">', 1)
    else:
        view = View(facts, read_pictures(sources))
        shown = [name for name in info.sections if view.has(name)]
        page = render("part.html", title=info.page, text=info.purpose, sections=shown, view=view)
    return f"<!-- {' '.join(summary.replace('>', '').split())} -->\n{page}"


@lru_cache(maxsize=1)
def _read_facts(step: str, sources: Sources) -> Facts:
    """Returns the facts at a step, for RunReport those of its report; cached for the functions below."""
    facts = archive.read(sources.report) if step == "RunReport" and sources.report is not None else None
    return facts or collect_facts(sources, Run(id=step, workload="model"))


def collect_metrics(step: str, sources: Sources) -> dict[str, float]:
    """Returns the named figures of DataValidator or RunReport by which runs are compared.

    Shares, accuracies and distances are 0..1, `passed`, `pushed` and `held_back` 1 or 0; four decimals each.
    """
    facts = _read_facts(step, sources)
    metrics = _measure_data(facts, sources) if step == "DataValidator" else _measure_run(facts)
    return {
        name: round(float(value), 4)
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    }


def _measure_data(facts: Facts, sources: Sources) -> dict[str, Any]:
    newest = facts.data.spans[-1] if facts.data and facts.data.spans else None
    drifts = [drift for drift in DRIFT.find(sources.data_verdict) or () if drift.threshold]
    worst = max(drifts, key=lambda drift: drift.distance / drift.threshold, default=None)
    return {
        "passed": all(gate.passed for gate in facts.gates),
        "newest_examples": newest and newest.accepted,
        "quarantined_share": newest and newest.quarantined_share,
        "worst_drift": worst and worst.distance,
        "worst_drift_allowed": worst and worst.threshold,
    }


def _measure_run(facts: Facts) -> dict[str, Any]:
    evaluation = facts.evaluation or Evaluation()
    training = facts.training
    overall = evaluation.overall
    file = facts.edge.default_measured if facts.edge else None
    worst = [(kind, evaluation.worst(kind)) for kind in evaluation.kinds if kind not in ("overall", "span")]
    return {
        "pushed": facts.run.outcome == "pushed",
        "held_back": facts.run.outcome == "held",
        "model_accuracy": overall and overall.accuracy,
        "production_accuracy": overall and overall.before,
        "eval_examples": overall and overall.examples,
        "training_epochs": training and len(training.epochs),
        "training_seconds": training and training.summary.seconds,
        "phone_file_accuracy": file and file.accuracy,
        "phone_file_mb": file and file.size_bytes / 1e6,
        "phone_file_median_ms": file.latency.p50_ms if file and not file.under_load else None,
        **{f"model_worst_{kind}_accuracy": item.accuracy for kind, item in worst if item},
    }


def read_confusion(sources: Sources) -> Confusion | None:
    """Returns the confusion matrix of the model; None where there is none."""
    evaluation = _read_facts("RunReport", sources).evaluation
    return evaluation.confusion if evaluation else None


def find_worst_roc(sources: Sources) -> tuple[str, list[tuple[float, float, float]]]:
    """Returns the class with the lowest recall, and its ROC against the rest; empty where there is none."""
    evaluation = _read_facts("RunReport", sources).evaluation
    worst = evaluation.worst("class") if evaluation else None
    if evaluation is None or evaluation.confusion is None or worst is None:
        return "", []
    number = evaluation.confusion.labels.index(worst.name)
    answers = [(line.probabilities[number], line.label) for line in PREDICTIONS.read(sources.edge_verdict)]
    scored = [(score, label == worst.name) for score, label in answers if score is not None]
    return worst.name, compute_roc(scored)
