"""Files of a run and of the workspace that a crash tore or somebody damaged, through every light command."""

import json
import os
import random
import time

import pytest

from data.spans.layout import LabelRow, write_span
from runners.cli.main import main
from runners.local import artifact_records
from runners.local.artifact_records import ArtifactRecord
from runners.shared.events import EventWriter
from runners.shared.runs import RunFolder, Step
from tests.fuzz import ROUNDS, SEED, damaged_text, damaged_value

EARLIER, RUN = "20261005-091233", "20261012-091233"
OF_ARTIFACTS = {
    "PhotoIngest/quarantine/ingest.json": {
        "splits": {"train": 15, "eval": 4},
        "classes": {"ok": 11, "damaged": 8},
        "spans": [
            {
                "name": "span-00002",
                "number": 2,
                "rows": 12,
                "accepted": 9,
                "rejected": {"corrupt": 2, "duplicate": 1},
            }
        ],
    },
    "PhotoIngest/quarantine/thumbnails.json": [
        {
            "file": "thumbnails/01.jpg",
            "span": "span-00002",
            "photo": "a.jpg",
            "reason": "corrupt",
            "detail": "d",
        }
    ],
    "DataGate/verdict/verdict.json": {
        "gate": "data",
        "result": "pass",
        "reasons": ["all is well"],
        "warnings": [],
    },
    "DataGate/verdict/drift.json": [{"feature": "x", "measure": "JSD", "distance": 0.1, "threshold": 0.2}],
    "Trainer/model_run/training.json": {"best_epoch": 1, "devices": ["CPU"], "seconds": 3.0},
    "Trainer/model_run/history.jsonl": {"epoch": 1, "loss": 0.5, "accuracy": 0.7, "val_loss": 0.6},
    "ModelEvaluator/evaluation/metrics.json": {
        "candidate": {
            "overall": {"all": {"example_count": 40, "accuracy": 0.875, "loss": 0.4}},
            "class": {"ok": {"example_count": 20, "accuracy": 0.9}},
        },
        "baseline": {"overall": {"all": {"accuracy": 0.85}}},
        "baseline_version": 1,
        "confusion": {"labels": ["ok", "damaged"], "rows": [[18, 2], [3, 17]]},
    },
    "ModelEvaluator/blessing/verdict.json": {"gate": "evaluation", "result": "fail", "reasons": ["too weak"]},
    "EdgeValidator/verdict/edge.json": {
        "default_variant": "fp16",
        "eval_photos": 40,
        "variants": [
            {
                "name": "fp16",
                "file": "model_fp16.tflite",
                "reasons": [],
                "measured": {
                    "size_bytes": 204_000,
                    "accuracy": 0.9,
                    "agreement": 1.0,
                    "max_difference": 1e-3,
                    "latency": {"p50_ms": 0.2, "p99_ms": 0.4},
                    "groups": {"lane": {"lane-01": {"accuracy": 0.8}}},
                    "machine": {"cpu": "x", "runtime": "y"},
                },
            }
        ],
    },
    "EdgeValidator/verdict/predictions.jsonl": {"probabilities": [0.9, 0.1], "label": "ok"},
    "EdgeValidator/verdict/mistakes.json": [
        {
            "file": "mistakes/01.jpg",
            "photo_id": "a",
            "label": "ok",
            "predicted": "damaged",
            "probability": 0.9,
        }
    ],
    "ReleasePusher/pushed_model/push.json": {"outcome": "held", "version": 0, "reasons": ["held back"]},
}
FILES = [
    *OF_ARTIFACTS,
    "run.json",
    "events.jsonl",
    "artifacts.jsonl",
    "facts.json",
    "../../window.json",
    "../../lock",
]
DAMAGE = {
    "empty": b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "a list": b"[1]",
    "a number": b"7",
    "null": b"null",
    "no keys": b"{}",
    "values of no sense": lambda whole: json.dumps({key: [-1] for key in _keys(whole)}).encode(),
    "values of null": lambda whole: json.dumps(dict.fromkeys(_keys(whole))).encode(),
    "not UTF-8": b"\xff\xfe\xfd{",
    "nested": b"[" * 100_000,
    "values nested as deep as JSON can be": lambda whole: (
        json.dumps(dict.fromkeys(_keys(whole), "X")).replace('"X"', "[" * 700 + "]" * 700).encode()
    ),
    "a huge number": lambda whole: json.dumps(dict.fromkeys(_keys(whole), 10**400)).encode(),
    "no number": lambda whole: json.dumps(dict.fromkeys(_keys(whole), float("nan"))).encode(),
    "a folder": os.mkdir,
    "a pipe": os.mkfifo,
}


def _keys(whole):
    try:
        content = json.loads(whole)
    except ValueError:
        content = json.loads(whole.splitlines()[0])
    return content if isinstance(content, dict) else ["a"]


@pytest.fixture
def workspace(tmp_path, make_run):
    """A workspace with an earlier run, and one of which every file is there."""
    for name in (EARLIER, RUN):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.path.mkdir(parents=True)
        ended = {"outcome": "held", "exit_code": 3, "ended_at": "2026-10-12T09:15:00Z", "seconds": 9.0}
        folder.write(
            make_run(id=name, push=str(tmp_path / "push"), steps=(Step("Trainer", "done", 5.0),), **ended)
        )
    tell = EventWriter(folder.events)
    tell({"event": "plan", "steps": ["Trainer"]})
    tell({"event": "step", "step": "Trainer", "state": "done", "seconds": 5.0})
    for file, content in OF_ARTIFACTS.items():
        path = folder.path / file
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            step, output, _ = file.split("/")
            artifact_records.append(folder.artifacts, ArtifactRecord(step, output, str(path.parent), {}, {}))
        path.write_text(json.dumps(content) + "\n")
    for name in ("window.json", "lock"):
        (tmp_path / name).write_text('{"pid": 1}')
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
    if callable(how) and how in (os.mkdir, os.mkfifo):
        how(path)
    else:
        path.write_bytes(how(whole) if callable(how) else how)


@pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_hides_nothing_else(edgeline, workspace, file, how):
    damage(workspace / "runs" / RUN / file, how)
    gone = file == "run.json"
    for command in (["show", RUN], ["status"], ["runs"], ["show", EARLIER]):
        code, out, err = edgeline(*command)

        assert code == (2 if gone and RUN in command else 0), err
        assert "Traceback" not in err
        if command[0] == "show" and code == 0:
            assert f"Run {command[1]}: shelf" in out
        if command == ["show", RUN] and not gone and "metrics.json" not in file:
            assert "0.875" in out or file == "artifacts.jsonl"


@pytest.mark.parametrize("how", [DAMAGE[name] for name in ("cut", "values of no sense", "a folder")])
@pytest.mark.parametrize("file", FILES[:-2])
def test_a_damaged_file_leaves_a_page(edgeline, workspace, file, how):
    damage(workspace / "runs" / RUN / file, how)
    for command in (["report", RUN], ["report", "--index"]):
        code, out, err = edgeline(*command)

        if file == "run.json" and RUN in command:
            assert code == 2
        elif file == "facts.json" and how is os.mkdir and RUN in command:
            assert code == 1 and "facts.json" in err
        else:
            assert code == 0 and out.endswith(".html\n"), err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    "file", [file for file in FILES[:-2] if "push.json" not in file and "events.jsonl" not in file]
)
def test_what_cannot_be_read_is_said(edgeline, workspace, file):
    damage(workspace / "runs" / RUN / file, b"{")

    said = "".join("".join(edgeline(*command)[1:]) for command in (["show", RUN], ["report", RUN]))
    page = workspace / "runs" / RUN / "report.html"
    said += page.read_text() if page.is_file() else ""

    assert "could not be read" in said or f"{file} cannot be read" in said or f"{file} line 1" in said


@pytest.mark.parametrize("file", ["run.json", "events.jsonl", "artifacts.jsonl", "../../window.json"])
def test_the_next_run_starts(edgeline, workspace, file):
    # Refused at its labels: that is after all that a run reads of those before it.
    row = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")
    write_span(workspace / "data", [(row, b"")]).labels.write_text("no header\n")
    path = workspace / "runs" / RUN / file
    whole = path.read_bytes()
    for how in DAMAGE.values():
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(whole)
        damage(path, how)

        code, out, err = edgeline("run", "--data", workspace / "data")

        assert code == 4 and "Traceback" not in err
        assert "Data refused" in out and "report.html" in out
        assert isinstance(artifact_records.discard_damaged(workspace), list)


@pytest.mark.parametrize("page", [False, True])
def test_whatever_chance_writes_into_the_files_of_a_run_breaks_no_command(edgeline, workspace, page):
    chance = random.Random(SEED)
    slowest = 0.0
    wholes = {file: (workspace / "runs" / RUN / file).read_bytes() for file in FILES[:-3]}
    facts = edgeline("report", RUN, "--json")[1]
    wholes["facts.json"] = json.dumps(json.loads(facts)["facts"]).encode()
    for _ in range(ROUNDS // 5 if page else ROUNDS):
        file, whole = chance.choice(list(wholes.items()))
        path = workspace / "runs" / RUN / file
        path.write_bytes(damaged_content(chance, whole))
        commands = [["report", RUN], ["report", "--index"]] if page else [["show", RUN], ["status"], ["runs"]]
        for command in commands:
            started = time.process_time()
            code, out, err = edgeline(*command)
            slowest = max(slowest, time.process_time() - started)

            # The record says where releases lie, and nothing may be there that could be read.
            lost = command == ["status"] and file == "run.json"
            assert code in ((0, 1) if lost else (0, 2)) and "Traceback" not in out + err, (command, file, err)
            assert "\x1b" not in out + err
        path.write_bytes(whole)
        if file != "facts.json" and page:
            (workspace / "runs" / RUN / "facts.json").unlink(missing_ok=True)

    assert slowest < (9 if page else 3)


def damaged_content(chance, whole):
    if chance.random() < 0.3:
        return damaged_text(
            chance, whole.decode(), ["\0", "{", "[", '"', ",", "9", "\ud800", "-", "e9"]
        ).encode(errors="surrogatepass")
    try:
        return json.dumps(damaged_value(chance, json.loads(whole))).encode()
    except ValueError:  # One value a line.
        lines = [json.loads(line) for line in whole.splitlines()]
        return "\n".join(json.dumps(line) for line in map_one(chance, lines)).encode() + b"\n"


def map_one(chance, lines):
    number = chance.randrange(len(lines))
    return [damaged_value(chance, line) if n == number else line for n, line in enumerate(lines)]
