"""The data of a run in MLflow, taken from its facts: metrics, curves, datasets and tags."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from edgeline.report.facts import Facts, Slice
from edgeline.report.verdict import describe_outcome

_MOST_CHARACTERS = 250  # of the name of a metric or a param


def collect_metrics(facts: Facts) -> Iterator[tuple[str, float | None]]:
    """Yields the final figures of a run by name; None for one that was not measured."""
    yield "seconds", facts.run.seconds
    for step in facts.run.steps:
        yield f"seconds/{step.name}", step.seconds

    if facts.data is not None:
        for split, count in facts.data.splits.items():
            yield f"data/{split}", count
        yield "data/quarantined", sum(span.quarantined for span in facts.data.spans)
    if facts.training is not None:
        yield "epochs", len(facts.training.epochs)
        if (best := facts.training.kept) is not None:
            yield "loss", best.loss
            yield "eval_loss", best.val_loss

    for prefix, item in _select_slices(facts).items():
        yield f"{prefix}examples", item.examples
        yield f"{prefix}groups", item.groups
        yield f"{prefix}accuracy", item.accuracy
        yield f"{prefix}accuracy_low", item.low
        yield f"{prefix}accuracy_high", item.high
        yield f"{prefix}accuracy_of_production", item.before
        for name, value in item.measures.items():
            yield f"{prefix}{name}", value

    if facts.evaluation is not None:
        for model in facts.evaluation.simple_models:
            yield f"simple/{model.name}/accuracy", model.accuracy

    if facts.edge is None:
        return
    for variant in facts.edge.variants:
        if (measured := variant.measured) is not None:
            yield f"edge/{variant.name}/accuracy", measured.accuracy
            yield f"edge/{variant.name}/size_mb", measured.size_bytes / 1e6
            load = "_under_load" if measured.under_load else ""
            yield f"edge/{variant.name}/latency_p50_ms{load}", measured.latency.p50_ms


def collect_curves(facts: Facts) -> Iterator[tuple[str, float | None, int]]:
    """Yields the losses and accuracies of each epoch, with its number as the step."""
    if facts.training is None:
        return
    for epoch in facts.training.epochs:
        yield "train/loss", epoch.loss, epoch.epoch
        yield "train/accuracy", epoch.accuracy, epoch.epoch
        yield "eval/loss", epoch.val_loss, epoch.epoch
        yield "eval/accuracy", epoch.val_accuracy, epoch.epoch


def _select_slices(facts: Facts) -> dict[str, Slice]:
    """Returns by prefix of metrics: overall, each class, and the worst slice of each other kind."""
    if (evaluation := facts.evaluation) is None:
        return {}
    kinds = [kind for kind in evaluation.kinds if kind not in ("overall", "class")]
    worst = {f"worst/{kind}/": evaluation.worst(kind) for kind in kinds}
    classes = {f"class/{item.name}/": item for item in evaluation.of("class")}
    out_of_fold = evaluation.judged if evaluation.out_of_fold else None
    slices = {"": evaluation.overall, "out_of_fold/": out_of_fold, **classes, **worst}
    return {name: item for name, item in slices.items() if item is not None}


def collect_datasets(facts: Facts) -> Iterator[tuple[str, Any]]:
    """Yields each split of the window with its dataset of MLflow: its place, digest and size."""
    from mlflow.entities import Dataset

    if facts.data is None:
        return
    source = json.dumps({"uri": facts.run.data})
    kind = "s3" if facts.run.data.startswith("s3://") else "local"
    for split, count in facts.data.splits.items():
        profile = json.dumps({"num_rows": count, "spans": facts.data.span_ranges})
        # MLflow takes digests of up to 36 characters.
        name, digest = f"{facts.run.workload}-{split}", facts.data.window[:36]
        yield split, Dataset(name, digest, kind, source, profile=profile)


def collect_tags(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields what is text of a run by name; empty for what it lacks."""
    ours = facts.run
    notes = [*ours.reasons, *(f"Warning: {warning}" for warning in ours.warnings)]
    points = (f"- {note}" for note in notes)
    yield "mlflow.note.content", "\n".join((f"**{describe_outcome(facts)}**", "", *points))
    yield "reasons", "\n".join(ours.reasons)
    yield "version", str(ours.version or "")

    yield "mlflow.source.name", f"edgeline ({ours.engine})"
    yield "mlflow.source.type", "LOCAL" if ours.engine == "local" else "JOB"
    if ours.source.commit:
        yield "mlflow.source.git.commit", ours.source.commit
        yield "mlflow.source.git.branch", ours.source.branch
        yield "mlflow.source.git.dirty", str(ours.source.is_dirty).lower()
        yield "digest.difference", ours.source.difference

    if facts.data is not None:
        yield "window", facts.data.window
        yield "spans", ", ".join(span.name for span in facts.data.spans)
    for verdict in facts.gates:
        yield f"gate.{verdict.gate}", verdict.result
        if codes := dict.fromkeys(finding.code for finding in verdict.findings if finding.code):
            yield f"findings.{verdict.gate}", ", ".join(codes)
    for prefix, item in _select_slices(facts).items():
        if prefix.startswith("worst/"):
            yield prefix.removesuffix("/"), item.name
    for name, value in ours.inputs.items():
        yield f"digest.{name}", value
    for name, value in ours.libraries.items():
        yield f"library.{name}", value


def clean_name(text: str) -> str:
    """Makes a text a name that MLflow accepts, another one for each: labels may have any characters."""
    name = re.sub(r"[^\w\-. /]|(?<=[./])[./]", lambda refused: f"_{ord(refused[0]):x}", text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return name if len(name) <= _MOST_CHARACTERS else f"{name[: _MOST_CHARACTERS - 9]}_{digest}"
