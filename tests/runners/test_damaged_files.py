"""Damaged files of a run and of the workspace, read by every light command."""

import json
import os
import random
import time

import pytest
from msgspec.structs import replace

from data.photos.labels_file import LabelRow, write_span
from edgeline.records.edge import EDGE_FILES, MISTAKES, PREDICTIONS, EdgeFiles, Mistake, Prediction, Variant
from edgeline.records.evaluation import METRICS, Confusion, Metrics
from edgeline.records.events import EventWriter, Planned, StepChanged
from edgeline.records.ingest import INGEST, THUMBNAILS, Ingest, Quarantined, Span
from edgeline.records.run import Step
from edgeline.records.training import EPOCHS, SEARCH, TRAINING, Epoch, Search, TrainingSummary, Trial
from edgeline.records.verdict import DRIFT, PUSH, VERDICT, Drift, Push, Verdict
from edgeline.workspace.runs import RunFolder, discard_damaged
from runners.cli.main import main
from tests.edgeline.records.samples import MEASURED
from tests.fuzz import ROUNDS, SEED, damage_text, damage_value
from tests.outputs import record_output

pytestmark = pytest.mark.e2e

EARLIER, RUN = "20261005-091233", "20261012-091233"
METRICS_OF_RUN = Metrics(
    candidate={
        "overall": {"all": {"example_count": 40, "accuracy": 0.875, "loss": 0.4}},
        "class": {"ok": {"example_count": 20, "accuracy": 0.9}},
    },
    baseline={"overall": {"all": {"accuracy": 0.85}}},
    baseline_version=1,
    confusion=Confusion(("ok", "damaged"), ((18, 2), (3, 17))),
)
FP16 = replace(MEASURED, size_bytes=204_000, accuracy=0.9, reference_accuracy=0.9)
OUTPUTS = [
    (
        "ExampleGen/quarantine",
        INGEST,
        Ingest(
            {"train": 15, "eval": 4},
            {"ok": 11, "damaged": 8},
            (Span("span-00002", 2, 12, 9, {"ok": 9}, {"corrupt": 2, "duplicate": 1}),),
        ),
    ),
    (
        "ExampleGen/quarantine",
        THUMBNAILS,
        (Quarantined("span-00002", "a.jpg", "corrupt", "d", file="thumbnails/01.jpg"),),
    ),
    ("DataValidator/verdict", VERDICT, Verdict("data", "pass", ("all is well",))),
    ("DataValidator/verdict", DRIFT, (Drift("x", 0.1, 0.2),)),
    ("Tuner/tuner_results", SEARCH, Search("val_loss", 1, (Trial(1, {"seed": 1}, score=0.5),))),
    ("Trainer/model_run", TRAINING, TrainingSummary(devices=("CPU",), best_epoch=1, seconds=3.0)),
    ("Trainer/model_run", EPOCHS, [Epoch(1, loss=0.5, accuracy=0.7, val_loss=0.6)]),
    ("ModelValidator/evaluation", METRICS, METRICS_OF_RUN),
    ("ModelValidator/blessing", VERDICT, Verdict("evaluation", "fail", ("too weak",))),
    (
        "EdgeValidator/verdict",
        EDGE_FILES,
        EdgeFiles("fp16", 40, (Variant("fp16", "model_fp16.tflite", measured=FP16),)),
    ),
    ("EdgeValidator/verdict", PREDICTIONS, [Prediction("a", "ok", (0.9, 0.1), {"lane": "lane-01"}, 2)]),
    ("EdgeValidator/verdict", MISTAKES, (Mistake("mistakes/01.jpg", "a", "ok", "damaged", 0.9),)),
    ("Pusher/pushed_model", PUSH, Push("held", reasons=("held back",))),
]
FILES = [*(f"{output}/{file.name}" for output, file, _ in OUTPUTS), "run.json", "events.jsonl", "facts.json"]
# One file for each way to read a file; the others are read like one of these. Other kinds of damage are in
# tests/edgeline/records/test_json_file.py.
READERS = (
    "ModelValidator/evaluation/metrics.json",
    "DataValidator/verdict/drift.json",
    f"EdgeValidator/verdict/{PREDICTIONS.name}",
    "run.json",
    "events.jsonl",
    "facts.json",
)
# Damage that leaves JSON of the right outline, so that each type has to refuse it or to do without.
OUTLINES = ("no keys", "values of no sense", "values of null")
DAMAGE = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "no keys": b"{}",
    "values of no sense": lambda whole: json.dumps({key: [-1] for key in _keys(whole)}).encode(),
    "values of null": lambda whole: json.dumps(dict.fromkeys(_keys(whole))).encode(),
    "nested": b"[" * 100_000,
    "a folder": os.mkdir,
}


def _keys(whole):
    try:
        content = json.loads(whole)
    except ValueError:
        content = json.loads(whole.splitlines()[0])
    return content if isinstance(content, dict) else ["a"]


@pytest.fixture
def workspace(tmp_path, make_run):
    """A workspace with an earlier run, and a run with every file."""
    for name in (EARLIER, RUN):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.path.mkdir(parents=True)
        values = {"outcome": "held", "exit_code": 3, "ended_at": "2026-10-12T09:15:00Z", "seconds": 9.0}
        folder.write(
            make_run(id=name, push=str(tmp_path / "push"), steps=(Step("Trainer", "done", 5.0),), **values)
        )
    write = EventWriter(folder.events)
    write(Planned(("Trainer",)))
    write(StepChanged(Step("Trainer", "done", 5.0)))
    for output, file, content in OUTPUTS:
        place = folder.path / output
        if not place.is_dir():
            record_output(folder, *output.split("/"), place)
        file.write(place, content)
    (tmp_path / "window.json").write_text('{"pid": 1}')
    return tmp_path


@pytest.fixture
def edgeline(workspace, capsys):
    def call(*arguments):
        code = main([*map(str, arguments), "--workspace", str(workspace)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def damage(path, how):
    whole = path.read_bytes() if path.is_file() else b"{}"
    path.unlink(missing_ok=True)
    if how is os.mkdir:
        path.mkdir()
    else:
        path.write_bytes(how(whole) if callable(how) else how)


def test_a_whole_run_has_nothing_that_cannot_be_read(edgeline, workspace, caplog):
    text = ""
    for command in (["show", RUN], ["status"], ["runs"], ["report", RUN]):
        code, out, err = edgeline(*command)
        assert code == 0
        text += out + err
    text += (workspace / "runs" / RUN / "report.html").read_text()
    assert "be read" not in text + caplog.text


@pytest.mark.parametrize(
    ("file", "name"),
    [(file, name) for file in FILES for name in DAMAGE if file in READERS or name in OUTLINES],
)
def test_a_damaged_file_hides_nothing_else(edgeline, workspace, file, name):
    damage(workspace / "runs" / RUN / file, DAMAGE[name])
    gone = file == "run.json"
    for command in (["show", RUN], ["status"], ["runs"], ["show", EARLIER]):
        code, out, err = edgeline(*command)

        assert code == (2 if gone and RUN in command else 0), err
        assert "Traceback" not in err
        if command[0] == "show" and code == 0:
            assert f"Run {command[1]}: shelf" in out
        if command == ["show", RUN] and not gone and "metrics.json" not in file:
            assert "0.875" in out


@pytest.mark.drawn(8)
@pytest.mark.parametrize(
    ("file", "how"),
    [
        *((file, DAMAGE["cut"]) for file in FILES),
        *((file, DAMAGE[name]) for file in READERS for name in ("values of no sense", "a folder")),
    ],
)
def test_a_damaged_file_leaves_a_page_which_says_what_cannot_be_read(edgeline, workspace, file, how):
    damage(workspace / "runs" / RUN / file, how)
    text = "".join(edgeline("show", RUN)[1:])
    for command in (["report", RUN], ["report", "--index"]):
        code, out, err = edgeline(*command)
        text += err

        if file == "run.json" and RUN in command:
            assert code == 2
        elif file == "facts.json" and how is os.mkdir and RUN in command:
            assert code == 1 and "facts.json" in err
        else:
            assert code == 0 and out.endswith(".html\n"), err
        assert "Traceback" not in err
    page = workspace / "runs" / RUN / "report.html"
    text += page.read_text() if page.is_file() else ""
    if how is DAMAGE["cut"] and not file.endswith(("push.json", "events.jsonl")):
        assert "could not be read" in text or f"{file} cannot be read" in text


@pytest.mark.parametrize(
    ("files", "names"),
    [
        # These two are read independently; the events of a run without a record are not read.
        (("run.json", "../../window.json"), DAMAGE),
        (("events.jsonl",), ("cut", "a folder", *OUTLINES)),
    ],
    ids=["record and window", "events"],
)
def test_the_next_run_starts(edgeline, workspace, files, names):
    # The run is refused at its labels, after it has read everything of earlier runs.
    row = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")
    write_span(workspace / "data", [(row, b"")]).labels.write_text("no header\n")
    wholes = {path: path.read_bytes() for path in (workspace / "runs" / RUN / file for file in files)}
    for name in names:
        for path, whole in wholes.items():
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(whole)
            damage(path, DAMAGE[name])

        code, out, err = edgeline("run", "--data", workspace / "data")

        assert code == 4 and "Traceback" not in err
        assert "Data refused" in out and "report.html" in out
        assert isinstance(discard_damaged(workspace), list)


@pytest.mark.parametrize("page", [False, True])
def test_random_damage_of_the_files_of_a_run_breaks_no_command(edgeline, workspace, page):
    chance = random.Random(SEED)
    slowest = 0.0
    edgeline("report", RUN)
    wholes = {file: (workspace / "runs" / RUN / file).read_bytes() for file in FILES}
    for _ in range(ROUNDS // 30 if page else ROUNDS // 3):
        file, whole = chance.choice(list(wholes.items()))
        path = workspace / "runs" / RUN / file
        path.write_bytes(damage_content(chance, whole))
        commands = [["report", RUN], ["report", "--index"]] if page else [["show", RUN], ["status"], ["runs"]]
        for command in commands:
            started = time.process_time()
            code, out, err = edgeline(*command)
            slowest = max(slowest, time.process_time() - started)

            # The record has the place of releases, and there may be nothing to read at another place.
            lost = command == ["status"] and file == "run.json"
            assert code in ((0, 1) if lost else (0, 2)) and "Traceback" not in out + err, (command, file, err)
            assert "\x1b" not in out + err
        path.write_bytes(whole)
        if file != "facts.json" and page:
            (workspace / "runs" / RUN / "facts.json").unlink(missing_ok=True)

    assert slowest < (9 if page else 3)


def damage_content(chance, whole):
    if chance.random() < 0.3:
        return damage_text(
            chance, whole.decode(), ["\0", "{", "[", '"', ",", "9", "\ud800", "-", "e9"]
        ).encode(errors="surrogatepass")
    try:
        return json.dumps(damage_value(chance, json.loads(whole))).encode()
    except ValueError:  # The file has one value a line.
        lines = [json.loads(line) for line in whole.splitlines()]
        return "\n".join(json.dumps(line) for line in map_one(chance, lines)).encode() + b"\n"


def map_one(chance, lines):
    number = chance.randrange(len(lines))
    return [damage_value(chance, line) if n == number else line for n, line in enumerate(lines)]
