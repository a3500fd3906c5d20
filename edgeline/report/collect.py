"""Collects the facts of a run from its artifacts. Unreadable files are named, and the rest is shown."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from edgeline.errors import EdgelineError
from edgeline.intervals import compute_wilson_interval
from edgeline.labels import parse_labels
from edgeline.records.edge import EDGE_FILES, LABELS_FILE_NAME, MISTAKES, PREDICTIONS, Prediction
from edgeline.records.evaluation import EARLIER, LABEL_ISSUES, METRICS, PHOTO_DRIFT, Metrics
from edgeline.records.ingest import INGEST, THUMBNAILS, TWINS, Ingest
from edgeline.records.json_file import UNREADABLE
from edgeline.records.run import Run
from edgeline.records.served import PUSHED, SERVED, SKEW
from edgeline.records.training import CROSS_VALIDATION, EPOCHS, SEARCH, TRAINING, TrainingSummary
from edgeline.records.verdict import DRIFT, PUSH, VERDICT, Difference, Verdict, read_anomalies
from edgeline.report import facts
from edgeline.report.measures import measure_reliability
from edgeline.report.sources import Sources
from edgeline.report.statistics import find_differences, read_features

_Part = TypeVar("_Part")
# Raised for a file whose values have the right type but make no sense.
_SENSELESS = (LookupError, ArithmeticError)
# Protobuf's errors are named, since they have no base class that is known without importing protobuf.
_PROTOBUF = ("DecodeError", "ParseError")
# A thumbnail has 2 to 20 kB; larger files are left out, since a page has to stay small.
_LARGEST_PICTURE = 100_000
_ALARMS = ("auc", "recall_at_false_alarms", "false_alarms", "missed_alarms", "alarm_f1")
_MEASURES = ("recall", "precision", "f1", *_ALARMS)


class _Reader:
    """A reader that goes on after unreadable parts, and keeps a sentence on each of them."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []

    def __call__(self, name: str, read: Callable[[], _Part], default: _Part) -> _Part:
        """Returns what `read` returns, or the default where the part cannot be read."""
        try:
            return read()
        except Exception as error:
            if not isinstance(error, (*UNREADABLE, *_SENSELESS)) and type(error).__name__ not in _PROTOBUF:
                raise
            self.unreadable.append(f"{name} could not be read: {type(error).__name__}: {error}")
            return default


def collect_facts(sources: Sources, run: Run) -> facts.Facts:
    """Reads the outputs of a run's steps, and joins them with its record."""
    read = _Reader()
    at = sources
    search = read("The trials", lambda: SEARCH.find(at.search), None)
    data = read("The data of the window", lambda: _read_data(at, read), None)
    if data is not None and run.spans:
        # A cached ingest lists the spans that were excluded when it ran, so the run's own list replaces them.
        data = replace(data, excluded=run.excluded_spans)
    push = read("The push", lambda: PUSH.find(at.pushed_model), None)

    return facts.Facts(
        run=replace(run, tuned=search.found.values) if search is not None else run,
        data=data,
        search=search,
        training=read("The training", lambda: _read_training(at), None),
        evaluation=read("The evaluation", lambda: _read_evaluation(at), None),
        twins=read("The near twins", lambda: _read_twins(at), None),
        reliability=read(
            "The predictions", lambda: measure_reliability(answer[1:] for answer in read_answers(at)), None
        ),
        mistakes=read("The worst mistakes", lambda: MISTAKES.find(at.edge_verdict), None),
        served=read("What phones answered", lambda: SERVED.find(at.quarantine), None),
        pushed=read("The served versions", lambda: PUSHED.find(at.evaluation) or {}, {}),
        skews=read("The differences of served scores", lambda: SKEW.find(at.evaluation) or (), ()),
        earlier=read("The scores of earlier releases", lambda: EARLIER.find(at.evaluation) or (), ()),
        photo_drift=read("The drift of photos", lambda: PHOTO_DRIFT.find(at.evaluation), None),
        label_issues=read("The suspect labels", lambda: LABEL_ISSUES.find(at.evaluation), None),
        edge=read("The edge files", lambda: EDGE_FILES.find(at.edge_verdict), None),
        gates=read("The verdicts", lambda: _read_gates(at), ()),
        ended_canary=push.ended_canary if push else None,
        unreadable=tuple(read.unreadable),
    )


def read_pictures(sources: Sources) -> dict[str, bytes]:
    """Reads the thumbnails, by name in the artifact: `thumbnails/01.jpg`, `mistakes/01.jpg`."""
    thumbnails = {}
    kinds = (
        (sources.quarantine, "thumbnails"),
        (sources.edge_verdict, "mistakes"),
        (sources.evaluation, "label_issues"),
        (sources.evaluation, "photo_drift"),
    )
    for folder, kind in kinds:
        if folder is None:
            continue
        for path in sorted((folder / kind).glob("*")):
            is_picture = path.suffix in (".jpg", ".png") and path.is_file()
            if is_picture and path.stat().st_size <= _LARGEST_PICTURE:
                thumbnails[f"{kind}/{path.name}"] = path.read_bytes()
    return thumbnails


def _read_data(sources: Sources, reader: _Reader) -> facts.Data | None:
    ingest = INGEST.find(sources.quarantine)
    if (ingest, sources.statistics, sources.anomalies) == (None, None, None):
        return None

    def features() -> tuple[facts.Feature, ...]:
        newest = ingest.spans[-1].name if ingest and ingest.spans else ""
        measured = DRIFT.find(sources.data_verdict) or ()
        drift = {item.feature: item for item in measured if item.span == newest}
        return read_features(sources.statistics, drift) if sources.statistics else ()

    def anomalies() -> tuple[str, ...]:
        if sources.anomalies is None:
            return ()
        splits = sorted(path.name.removeprefix("Split-") for path in sources.anomalies.glob("Split-*"))
        return tuple(item.sentence for item in read_anomalies(sources.anomalies, splits))

    def schema() -> tuple[Difference, ...]:
        if sources.schema is None or sources.inferred is None or sources.statistics is None:
            return ()
        return find_differences(sources.schema, sources.inferred, sources.statistics)

    return facts.Data(
        **vars(ingest or Ingest()),
        features=reader("The statistics", features, ()),
        anomalies=reader("The anomalies", anomalies, ()),
        schema=reader("The schema of the window", schema, ()),
        thumbnails=reader("The thumbnails", lambda: THUMBNAILS.find(sources.quarantine) or (), ()),
    )


def _read_training(sources: Sources) -> facts.Training | None:
    summary = TRAINING.find(sources.model_run)
    epochs = tuple(EPOCHS.read(sources.model_run))
    if not (summary or epochs):
        return None
    cross_validation = CROSS_VALIDATION.find(sources.model_run)
    return facts.Training(epochs, summary or TrainingSummary(), cross_validation)


def _read_evaluation(sources: Sources) -> facts.Evaluation | None:
    metrics = METRICS.find(sources.evaluation)
    if metrics is None:
        return None
    return facts.Evaluation(
        slices=_make_slices(metrics),
        baseline_version=(metrics.baseline_version or None) if metrics.baseline else None,
        confusion=metrics.confusion,
        group=metrics.group,
        out_of_fold=_make_slices(metrics.out_of_fold) if metrics.out_of_fold else (),
        simple_models=metrics.simple_models,
        importance=metrics.importance,
    )


def _make_slices(metrics: Metrics) -> tuple[facts.Slice, ...]:
    baseline, result = metrics.baseline or {}, []
    for kind, named in metrics.candidate.items():
        for name, values in named.items():
            examples = round(values.get("example_count") or 0)
            accuracy = values.get("accuracy")
            interval, groups = (0.0, 1.0), None
            if (estimate := metrics.estimates.get(kind, {}).get(name)) is not None:
                interval = estimate.low, estimate.high
                groups = estimate.sessions if estimate.sessions < examples else None
            elif accuracy is not None:
                interval = compute_wilson_interval(round(accuracy * examples), examples)
            before = baseline.get(kind, {}).get(name, {}).get("accuracy")
            measures = {key: value for key in _MEASURES if (value := values.get(key)) is not None}
            result.append(facts.Slice(kind, name, examples, accuracy, *interval, before, measures, groups))

    # Groups that are slices already are not shown twice.
    if metrics.group not in metrics.candidate:
        for group in metrics.worst_groups:
            interval = compute_wilson_interval(round(group.accuracy * group.examples), group.examples)
            share = group.accuracy, *interval, group.before
            result.append(facts.Slice(metrics.group, group.name, group.examples, *share))
    return tuple(result)


def _read_twins(sources: Sources) -> facts.TwinAccuracy | None:
    twins = TWINS.find(sources.quarantine)
    if twins is None or not twins.found:
        return None
    ids = {twin.example_id for twin in twins.found}
    answers = list(read_answers(sources))
    everyone = [is_right for _, _, is_right in answers]
    without = [is_right for line, _, is_right in answers if line.example_id not in ids]
    return facts.TwinAccuracy(
        twins=len(twins.found),
        compared=twins.compared,
        sample=twins.sample,
        examples=twins.examples,
        accuracy=sum(everyone) / len(everyone) if everyone else None,
        without=sum(without) / len(without) if without else None,
        others=len(without),
    )


def read_answers(sources: Sources) -> Iterator[tuple[Prediction, float, bool]]:
    """Yields the answer to each eval example, its highest probability 0..1, and whether it is right."""
    labels = read_labels(sources)
    for line in PREDICTIONS.read(sources.edge_verdict):
        numbers = [p for p in line.probabilities if p is not None]
        if labels and len(numbers) == len(line.probabilities):
            confidence = max(numbers)
            yield line, confidence, labels[numbers.index(confidence)] == line.label


def read_labels(sources: Sources) -> list[str]:
    """Returns the class names by id, from the edge models or, without these, from ingest."""
    if sources.edge_models is not None:
        with suppress(OSError, EdgelineError):
            return list(parse_labels((sources.edge_models / LABELS_FILE_NAME).read_bytes(), LABELS_FILE_NAME))
    ingest = INGEST.find(sources.quarantine)
    return list(ingest.classes) if ingest else []


def _read_gates(sources: Sources) -> tuple[Verdict, ...]:
    folders = (sources.data_verdict, sources.blessing, sources.edge_verdict)
    return tuple(verdict for folder in folders if (verdict := VERDICT.find(folder)) is not None)
