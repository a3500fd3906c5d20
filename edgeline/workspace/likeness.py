"""Compares a release with a run that was to make it again: files, accuracy and single predictions."""

from collections.abc import Iterator
from pathlib import Path

from edgeline.records.evaluation import METRICS, SliceMetrics
from edgeline.records.json_file import UNREADABLE
from edgeline.records.run import Run
from edgeline.release.manifest import identify_model, select_entries
from edgeline.release.releases import Release
from edgeline.report import words
from edgeline.report.collect import read_answers
from edgeline.report.sources import Sources
from edgeline.store.objects import measure_file

# The folder of the SavedModel in an artifact of TFX's Trainer.
_SERVING = "Format-Serving"


def describe_likeness(release: Release, then: Run | None, now: Run) -> Iterator[str]:
    """Yields sentences on how like a release the outputs of a run are, without any if it has none.

    Args:
        release: The release that was to be made again.
        then: The run that made it; None where it is not known here.
        now: The run that is compared.
    """
    sources = Sources.of(now)
    if sources.edge_models is None or sources.edge_verdict is None:
        return
    yield from _compare_files(release, now, sources.edge_models)
    metrics = METRICS.find_readable(sources.evaluation) if sources.evaluation else None
    before = _find_accuracy(release.manifest.metrics)
    after = _find_accuracy(metrics.candidate if metrics else {})
    yield f"Accuracy: {before} then, {after} now."
    old, new = _read_answers(Sources.of(then) if then else Sources()), _read_answers(sources)
    shared = [name for name in old if name in new]
    if shared:
        equal = sum(old[name] == new[name] for name in shared)
        share = words.percent(equal / len(shared))
        yield f"Equal predictions: {equal:,} of {len(shared):,} eval examples ({share})."
    else:
        yield f"The predictions of run {release.manifest.run} are not here, so single ones were not compared."


def _compare_files(release: Release, now: Run, folder: Path) -> Iterator[str]:
    models = (Path(it.uri, _SERVING) for it in now.artifacts if (it.step, it.output) == ("Trainer", "model"))
    if (model := next(models, None)) and model.is_dir():
        same = "the same" if identify_model(model) == release.identity else "other"
        yield f"SavedModel: {same} weights and graph."
    for entry in select_entries(release.manifest.files, f"edge/{release.model}/{release.version}"):
        path = folder / entry.path
        if path.suffix == ".tflite":
            is_equal = path.is_file() and measure_file(path)[1] == entry.sha256
            yield f"{entry.path}: {'equal' if is_equal else 'other'} bytes."


def _find_accuracy(metrics: SliceMetrics) -> str:
    accuracy = metrics.get("overall", {}).get("all", {}).get("accuracy")
    return words.UNKNOWN if accuracy is None else f"{accuracy:.4f}"


def _read_answers(sources: Sources) -> dict[str, int]:
    """Returns the number of the predicted label by the id of the example; nothing if they are missing."""
    try:
        return {line.example_id: line.probabilities.index(top) for line, top, _ in read_answers(sources)}
    except UNREADABLE:
        return {}
