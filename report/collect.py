"""From the folders of a run's artifacts to its facts. What cannot be read is named, and the rest is shown."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from errors import EdgelineError
from labels import parse_labels
from report import facts
from report.measures import Reliability, reliability, wilson
from report.reading import fit
from report.sources import Sources, read_json, read_lines
from report.statistics import read_anomalies, read_features

_Part = TypeVar("_Part")
# What reading a file that was torn, cut or written by another version ends in.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
# A thumbnail is 2 to 20 kB; what is larger is none, and a page has to stay small.
_LARGEST_PICTURE = 100_000
PARTS = ("data", "training", "evaluation", "reliability", "mistakes", "edge", "gates")


class _Reader:
    """Reads part by part; remembers, a sentence each, which could not be read."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []

    def __call__(self, name: str, kind: Any, read: Callable[[], _Part], default: _Part) -> _Part:
        """What `read` returns, checked to be of the type `kind`; the default where it cannot be read."""
        try:
            found: _Part = fit(read(), kind)
            return found
        except Exception as error:
            # protobuf's DecodeError has no base of its own that could be named without importing protobuf.
            if not isinstance(error, _UNREADABLE) and type(error).__name__ != "DecodeError":
                raise
            self.unreadable.append(fit(f"{name} could not be read: {type(error).__name__}: {error}", str))
            return default


def collect(sources: Sources, about: facts.About, parts: Collection[str] = PARTS) -> facts.Facts:
    """Reads what the steps of a run put out.

    Args:
        sources: Their folders.
        about: What the engine knows of the run.
        parts: Fields of `Facts`; the others are left empty. All of them where none is named.
    """
    reader = _Reader()

    def part(field: str, name: str, kind: Any, read: Callable[[Sources], Any], default: Any = None) -> Any:
        return reader(name, kind, lambda: read(sources), default) if field in parts else default

    return facts.Facts(
        about=about,
        data=part("data", "The data of the window", facts.Data | None, lambda s: _data(s, reader)),
        training=part("training", "The training", facts.Training | None, _training),
        evaluation=part("evaluation", "The evaluation", facts.Evaluation | None, _evaluation),
        reliability=part("reliability", "The predictions", Reliability | None, _reliability),
        mistakes=part("mistakes", "The worst mistakes", tuple[facts.Mistake, ...] | None, _mistakes),
        edge=part("edge", "The edge files", facts.Edge | None, _edge),
        gates=part("gates", "The verdicts", tuple[facts.Gate, ...], _gates, ()),
        unreadable=tuple(reader.unreadable),
    )


def pictures(sources: Sources) -> dict[str, bytes]:
    """The thumbnails by their name in the artifact, `thumbnails/01.jpg` and `mistakes/01.jpg`."""
    found = {}
    for folder, kind in ((sources.quarantine, "thumbnails"), (sources.edge_verdict, "mistakes")):
        for path in sorted((folder / kind).glob("*")) if folder is not None else ():
            if path.suffix not in (".jpg", ".png") or not path.is_file():
                continue
            if path.stat().st_size <= _LARGEST_PICTURE:
                found[f"{kind}/{path.name}"] = path.read_bytes()
    return found


def _number(value: Any) -> float | None:
    """A finite number, or None: JSON as Python writes it may say NaN."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else round(number)


def _data(sources: Sources, reader: _Reader) -> facts.Data | None:
    ingest = read_json(sources.quarantine, "ingest.json")
    if (ingest, sources.statistics, sources.anomalies) == (None, None, None):
        return None
    ingest = ingest or {"splits": {}, "classes": {}, "spans": ()}

    def features() -> tuple[facts.Feature, ...]:
        drift = {item["feature"]: item for item in read_json(sources.data_verdict, "drift.json") or ()}
        return read_features(sources.statistics, drift) if sources.statistics else ()

    def anomalies() -> tuple[str, ...]:
        return read_anomalies(sources.anomalies) if sources.anomalies else ()

    def set_aside() -> Any:
        return read_json(sources.quarantine, "thumbnails.json") or ()

    return facts.Data(
        window=ingest.get("window", ""),
        splits=ingest["splits"],
        classes=ingest["classes"],
        spans=ingest["spans"],
        features=reader("The statistics", tuple[facts.Feature, ...], features, ()),
        anomalies=reader("The anomalies", tuple[str, ...], anomalies, ()),
        set_aside=reader("The thumbnails", tuple[facts.SetAside, ...], set_aside, ()),
        excluded=ingest.get("excluded", ()),
    )


def _training(sources: Sources) -> facts.Training | None:
    training = read_json(sources.model_run, "training.json")
    epochs = tuple(
        facts.Epoch(
            epoch=int(line["epoch"]),
            loss=_number(line.get("loss")),
            accuracy=_number(line.get("accuracy")),
            val_loss=_number(line.get("val_loss")),
            val_accuracy=_number(line.get("val_accuracy")),
        )
        for line in read_lines(sources.model_run, "history.jsonl")
    )
    if training is None and not epochs:
        return None
    training = training or {}
    return facts.Training(
        epochs=epochs,
        best_epoch=_whole(training.get("best_epoch")),
        resumed_from_epoch=_whole(training.get("resumed_from_epoch")),
        seconds=_number(training.get("seconds")),
        devices=tuple(training.get("devices", ())),
        global_batch_size=_whole(training.get("global_batch_size")),
        train_examples=_whole(training.get("train_examples")),
        eval_examples=_whole(training.get("eval_examples")),
        parameters=_whole(training.get("parameters")),
    )


def _evaluation(sources: Sources) -> facts.Evaluation | None:
    metrics = read_json(sources.evaluation, "metrics.json")
    if metrics is None:
        return None
    baseline = metrics.get("baseline") or {}
    confusion = metrics.get("confusion")
    return facts.Evaluation(
        slices=tuple(
            _slice(kind, name, values, baseline.get(kind, {}).get(name, {}))
            for kind, slices in metrics["candidate"].items()
            for name, values in slices.items()
        ),
        baseline_version=(_whole(metrics.get("baseline_version")) or None) if baseline else None,
        confusion=facts.Confusion(tuple(confusion["labels"]), tuple(tuple(row) for row in confusion["rows"]))
        if confusion
        else None,
    )


def _slice(kind: str, name: str, values: Mapping[str, Any], before: Mapping[str, Any]) -> facts.Slice:
    photos, accuracy = _whole(values.get("example_count")) or 0, _number(values.get("accuracy"))
    low, high = wilson(round(accuracy * photos), photos) if accuracy is not None else (0.0, 1.0)
    return facts.Slice(
        kind=kind,
        name=name,
        photos=photos,
        accuracy=accuracy,
        low=low,
        high=high,
        loss=_number(values.get("loss")),
        before=_number(before.get("accuracy")),
    )


def _reliability(sources: Sources) -> Reliability | None:
    answers, labels = [], _labels(sources)
    for line in read_lines(sources.edge_verdict, "predictions.jsonl"):
        probabilities = line["probabilities"]
        if labels and None not in probabilities:
            confidence = max(probabilities)
            answers.append((confidence, labels[probabilities.index(confidence)] == line["label"]))
    return reliability(answers)


def _labels(sources: Sources) -> list[str]:
    """Class names by id, from whichever step before the EdgeValidator says them."""
    if sources.edge_models is not None:
        with suppress(OSError, EdgelineError):
            return list(parse_labels((sources.edge_models / "labels.txt").read_bytes(), "labels.txt"))
    ingest = read_json(sources.quarantine, "ingest.json") or {}
    return list(ingest.get("classes", ()))


def _mistakes(sources: Sources) -> Any:
    return read_json(sources.edge_verdict, "mistakes.json")


def _edge(sources: Sources) -> facts.Edge | None:
    edge = read_json(sources.edge_verdict, "edge.json")
    if edge is None:
        return None
    return facts.Edge(edge["default_variant"], edge["eval_photos"], tuple(map(_variant, edge["variants"])))


def _variant(variant: Mapping[str, Any]) -> facts.Variant:
    measured = variant.get("measured") or {}
    latency, machine = measured.get("latency", {}), measured.get("machine", {})
    lanes = measured.get("groups", {}).get("lane", {})
    worst = min(lanes, key=lambda lane: (lanes[lane]["accuracy"], lane), default=None)
    return facts.Variant(
        name=variant["name"],
        file=variant.get("file"),
        reasons=tuple(variant["reasons"]),
        size_bytes=_whole(measured.get("size_bytes")),
        accuracy=_number(measured.get("accuracy")),
        reference_accuracy=_number(measured.get("reference_accuracy")),
        agreement=_number(measured.get("agreement")),
        max_difference=_number(measured.get("max_difference")),
        p50_ms=_number(latency.get("p50_ms")),
        p99_ms=_number(latency.get("p99_ms")),
        worst_lane=worst,
        worst_lane_accuracy=_number(lanes[worst]["accuracy"]) if worst is not None else None,
        machine=", ".join(str(machine[key]) for key in ("cpu", "runtime") if machine.get(key)),
    )


def _gates(sources: Sources) -> Any:
    folders = (sources.data_verdict, sources.blessing, sources.edge_verdict)
    return [verdict for folder in folders if (verdict := read_json(folder, "verdict.json")) is not None]
