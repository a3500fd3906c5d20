"""Runs to make pages of, with every section and with texts that people may write."""

from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any

from msgspec import structs
from PIL import Image

from edgeline.errors import Problem
from edgeline.intervals import compute_wilson_interval
from edgeline.records.edge import EdgeFiles, GroupAccuracy, Latency, Machine, Mistake, Variant
from edgeline.records.evaluation import (
    Confusion,
    Importance,
    LabelIssue,
    LabelIssues,
    PhotoDrift,
    SimpleModel,
    UnlikePhoto,
)
from edgeline.records.ingest import Excluded, Quarantined, Span
from edgeline.records.run import Artifact, Run, Step
from edgeline.records.served import Answer, PushedVersion, Served, Skew, Truth, count_served
from edgeline.records.source import Source
from edgeline.records.training import CrossValidation, Epoch, Estimate, Search, TrainingSummary, Trial
from edgeline.records.verdict import Difference, Verdict
from edgeline.report.facts import (
    Data,
    Distribution,
    Evaluation,
    Facts,
    Feature,
    Slice,
    Training,
    TwinAccuracy,
)
from edgeline.report.measures import measure_reliability
from tests.edgeline.records.samples import MEASURED

HOSTILE = "<script>alert(1)</script>"


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (96, 72), (40, 120, 90)).save(file, "JPEG")
    return file.getvalue()


def a_slice(kind: str, name: str, right: int, photos: int, before: float | None = 0.9) -> Slice:
    low, high = compute_wilson_interval(right, photos)
    return Slice(kind, name, photos, right / photos, low, high, before)


def spans(number: int, labels: tuple[str, ...]) -> tuple[Span, ...]:
    classes = {label: 200 // (place + 1) for place, label in enumerate(labels)}
    accepted = sum(classes.values())
    return tuple(
        Span(f"span-{n:05d}", n, accepted + 7, accepted, classes, {"corrupt": 5, "duplicate": 2})
        for n in range(1, number + 1)
    )


def trial(number: int, rate: float, hidden: int, **fields: Any) -> Trial:
    values = {"trainer.learning_rate": rate, "model.hidden": hidden}
    return Trial(number, values, epochs=16, seconds=30.5, **fields)


@cache
def count_answers(labels: tuple[str, ...]) -> Served:
    photos = [f"span-00008/{n}.jpg" for n in range(200)]
    truths = {
        photo: Truth(labels[n % 7 == 0], f"s{n % 9}", {"lane": f"lane-0{1 + n % 2}"})
        for n, photo in enumerate(photos)
    }
    answers = [
        Answer(photo, 2 + n % 2, "fp16", labels[0], 0.9, 1.8e9 + n, f"{HOSTILE}{n % 3}", how)
        for n, (photo, how) in enumerate(zip(photos, ("random", "random", "person", "") * 50, strict=True))
    ]
    return count_served(answers, truths, "photo")


def a_run(
    labels: tuple[str, ...] = ("ok", "misplaced", "damaged"),
    lanes: int = 40,
    weeks: int = 8,
    **values: object,
) -> Facts:
    """Makes a pushed run with every section."""
    window = spans(weeks, labels)
    lane_names = [f"lane-{n:02d}" for n in range(1, lanes + 1)]
    shares = tuple((name, 1 / lanes) for name in lane_names)
    bins = tuple((float(low), low + 10.0, 0.1) for low in range(0, 100, 10))
    now, before = Distribution(90.0, bins), Distribution(110.0, bins)
    lanes_now, lanes_before = Distribution(values=shares), Distribution(values=shares[::-1])
    counts = [[90 if row == column else 5 for column in labels] for row in labels]
    photo, wrong = "span-00008/9.jpg", (labels[0], labels[-1], 0.9, 0.005)
    copy = ("duplicate", "It is a copy of 1.jpg.")
    fp16 = structs.replace(
        MEASURED,
        size_bytes=390_000,
        examples=400,
        agreement=0.99,
        accuracy=0.92,
        reference_accuracy=0.925,
        groups={"lane": {"lane-02": GroupAccuracy(10, 0.9, 0.9), "lane-03": GroupAccuracy(10, 0.7, 0.7)}},
        latency=Latency(p50_ms=0.3, p99_ms=0.5, runs=100),
        machine=Machine("A processor", "tensorflow 2.16.2"),
    )
    files = (
        Variant("fp16", "model_fp16.tflite", measured=fp16),
        Variant("int8", None, ("It could not be converted: SIGABRT.",)),
    )
    return Facts(
        run=Run(
            **{
                "id": "20261005-030000",
                "workload": "shelf",
                "outcome": "pushed",
                "version": 3,
                "started_at": "2026-10-05T03:00:00Z",
                "ended_at": "2026-10-05T03:04:10Z",
                "seconds": 250.4,
                "start_seconds": 9.1,
                "reasons": ("Version 3 of shelf went into production.",),
                "warnings": ("14 of 2828 photos were quarantined.",),
                "spans": tuple(span.name for span in window),
                "new_since": "20260928-030000",
                "new_spans": ("span-00008",),
                "data": "/data/photos",
                "inputs": {"window": "ab" * 32, "code": "cd" * 32},
                "settings": {"trainer": {"epochs": 16}, "seed": 20},
                "libraries": {"tensorflow": "2.16.2"},
                "source": Source("1a" * 20, "main", True, "2b" * 32),
                "steps": (Step("ExampleGen", "cached", 0.1), Step("Trainer", "done", 101.2)),
                "artifacts": (Artifact("Trainer", "model", "/workspace/artifacts/Trainer/model/25"),),
                **values,
            }
        ),
        data=Data(
            window="ab" * 32,
            splits={"train": 1500, "eval": 400},
            classes={label: 8 * 200 // (place + 1) for place, label in enumerate(labels)},
            spans=window,
            features=(
                Feature("brightness", now, before, 0.2, 0.12, "jensen_shannon_divergence"),
                Feature("lane_id", lanes_now, lanes_before, 0.02, 0.1, "infinity_norm"),
                Feature("width", Distribution(640.0, ((640.0, 640.0, 1.0),))),
            ),
            schema=(Difference("lane_id", "values", "40 values", "also lane-77", True, values=("lane-77",)),),
            anomalies=("lane_id: Unexpected string values: lane-77 (in train and eval).",),
            thumbnails=tuple(
                Quarantined("span-00008", f"{n}.jpg", *copy, file=f"thumbnails/{n:02d}.jpg")
                for n in range(1, 25)
            ),
            excluded=(Excluded("span-00004", "ada@host", "2026-09-30T08:00:00Z", "A phone was broken."),),
        ),
        search=Search(
            "val_loss",
            2,
            (
                trial(1, 0.001, 64, score=0.41, best_epoch=9),
                trial(2, 0.0031234, 32, score=0.305, best_epoch=12),
                trial(3, 0.1, 64, state="failed", reason=f"loss became nan, {HOSTILE}"),
            ),
        ),
        training=Training(
            tuple(Epoch(n, 1 / n, 1 - 0.5 / n, 1.1 / n, 0.95 - 0.5 / n, 0.9) for n in range(1, 17)),
            TrainingSummary(
                devices=("CPU:0",),
                global_batch_size=32,
                examples_per_second=14_400.4,
                best_epoch=12,
                seconds=101.0,
                input_wait=0.012,
                parameters=190803,
                layers="Model: dense (Dense) <b>190,803</b>",
                held_out=214,
                temperature=0.87,
                temperature_examples=214,
                unlike_examples=210,
            ),
            CrossValidation(
                5, Estimate(410, 90, 0.951, 0.93, 0.97), {"damaged": Estimate(51, 12, 0.8, 0.62, 0.94)}, 300.0
            ),
        ),
        evaluation=Evaluation(
            (
                a_slice("overall", "all", 370, 400, 0.93),
                *(a_slice("class", label, 90, 100) for label in labels),
                *(a_slice("lane", lane, 9, 10, None) for lane in lane_names),
                *(a_slice("span", str(span.number), 45, 50) for span in window),
            ),
            2,
            Confusion(labels, tuple(map(tuple, counts))),
            importance=(Importance("temperature", 0.12, 0.3, 0.9), Importance("colour", -0.004, 0.0, 0.1)),
            simple_models=(
                SimpleModel("the most frequent class", 0.6, 0.55, 0.65, None, 2_000, 0.0),
                SimpleModel("logistic regression", 0.931, 0.9, 0.95, 0.2, 2_000, 1.2, 0.925, 400),
            ),
        ),
        twins=TwinAccuracy(12, 400, "", f"span-00001/a.jpg (like {HOSTILE})", 0.92, 0.9),
        served=count_answers(labels),
        skews=(Skew(2, "fp16", HOSTILE, (0.0, 0.31)),),
        pushed={2: PushedVersion("2026-09-28T03:00:00Z", {"overall": {"all": 0.93}})},
        reliability=measure_reliability([(0.55, True), (0.65, False), (0.95, True), (0.99, True)] * 100),
        photo_drift=PhotoDrift("span-00008", 300, 0.21, 0.166, 0.262, (UnlikePhoto(photo, "drift/01.jpg"),)),
        label_issues=LabelIssues(
            2_000,
            ("the network", "logistic regression"),
            1_200,
            (LabelIssue(photo, "eval", labels[0], labels[-1], 0.97, 0.01, "label_issues/eval/01.jpg"),),
        ),
        mistakes=tuple(
            Mistake(f"mistakes/{n:02d}.jpg", f"span-00008/{n}.jpg", *wrong, {"lane": "lane-04"})
            for n in range(1, 13)
        ),
        edge=EdgeFiles("fp16", 400, files),
        gates=(
            Verdict("data", "pass", ("200 photos were accepted.",), ("brightness has drifted.",)),
            Verdict("evaluation", "pass", ("Accuracy 0.925 on 400 eval examples; every bound holds.",)),
            Verdict("edge", "pass", ("fp16 is the default variant.",), ("int8: It could not be converted.",)),
        ),
    )


def end(outcome: str, **values: object) -> Facts:
    """Makes a run with every section that ended in another way."""
    facts = a_run()
    return replace(facts, run=replace(facts.run, outcome=outcome, **values))


def pictures() -> dict[str, bytes]:
    return {f"{kind}/{n:02d}.jpg": picture() for kind in ("thumbnails", "mistakes") for n in range(1, 25)}


def a_failed_run() -> Facts:
    """Makes a run that ended before its first step."""
    problem = Problem(f"The disk of {HOSTILE} is full.", "The run could not write.", "Free some space.")
    return Facts(run=replace(a_run().run, outcome="failed", error=problem, steps=(), artifacts=()))


def a_hostile_run() -> Facts:
    """Makes a run in which every text of people is markup."""
    facts = a_run((HOSTILE, "a & b $x_1$", "損傷 «é»"), lanes=3, weeks=2)
    run = replace(facts.run, id=HOSTILE, reasons=(HOSTILE,), warnings=(HOSTILE,), data=HOSTILE)
    thumbnails = (Quarantined("span-00002", f"{HOSTILE}.jpg", "corrupt", HOSTILE, file="thumbnails/01.jpg"),)
    feature = Feature(HOSTILE, Distribution(values=((HOSTILE, 0.5), ("</svg><img src=x>", 0.5))))
    return replace(
        facts,
        run=run,
        data=replace(facts.data, thumbnails=thumbnails, anomalies=(HOSTILE,), features=(feature,)),
        mistakes=(structs.replace(facts.mistakes[0], example_id='"><img src="https://example.org/x.png">'),),
    )
