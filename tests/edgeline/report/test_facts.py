import json
from dataclasses import replace

import pytest

from edgeline.records.ingest import Excluded, Span
from edgeline.records.json_file import decode, encode
from edgeline.records.run import Problem, Step
from edgeline.records.training import Epoch
from edgeline.records.verdict import Verdict
from edgeline.report.changes import find_changes
from edgeline.report.facts import Facts, by_dotted_name
from edgeline.report.page import render_run
from edgeline.report.rows import make_row
from tests.edgeline.report.runs import a_failed_run, a_hostile_run, a_run

# As the code before wrote it, with the names that it had.
BEFORE = {
    "about": {
        "run": "20260928-030000",
        "model": "shelf",
        "number": 1,
        "engine": "kubeflow",
        "outcome": "held",
        "version": 2,
        "started_at": "2026-09-28T03:00:00+00:00",
        "ended_at": "2026-09-28T03:04:10+00:00",
        "seconds": 250.4,
        "start_seconds": None,
        "resumes": None,
        "reasons": ["Worse."],
        "warnings": ["14 of 2828 photos were quarantined."],
        "notes": [],
        "problem": {"found": "It broke.", "why": "w", "do": "d"},
        "log": None,
        "data": "/data/photos",
        "inputs": {"window": "ab", "code": "cd"},
        "settings": {"trainer.epochs": "16", "trainer.class_weights": "{}"},
        "libraries": {"tensorflow": "2.16.2"},
        "steps": [
            {"name": "ExampleGen", "state": "cached", "seconds": 0.1, "started": None},
            {"name": "Trainer", "state": "failed", "seconds": None, "started": None},
        ],
        "artifacts": [
            {
                "step": "Trainer",
                "output": "model",
                "uri": "/a/25",
                "properties": {"name": "x", "n": 1, "s": 0.5},
            }
        ],
    },
    "data": {
        "window": "ab",
        "splits": {"train": 1500, "eval": 400},
        "classes": {"ok": 1900},
        "spans": [
            {
                "name": "span-00007",
                "number": 7,
                "rows": 9,
                "accepted": 7,
                "classes": {"ok": 7},
                "rejected": {"corrupt": 2},
            }
        ],
        "features": [
            {
                "name": "brightness",
                "now": {
                    "photos": 200,
                    "mean": 90.0,
                    "deviation": 20.0,
                    "bins": [[0.0, 10.0, 1.0]],
                    "values": [],
                },
                "before": {"photos": 9, "mean": None, "deviation": None, "bins": [], "values": [["a", 1.0]]},
                "measure": "jensen_shannon_divergence",
                "distance": 0.2,
                "threshold": 0.12,
            }
        ],
        "anomalies": ["lane_id: Unexpected values."],
        "quarantined": [
            {
                "file": "thumbnails/01.jpg",
                "span": "span-00007",
                "photo": "1.jpg",
                "reason": "corrupt",
                "detail": "d",
            }
        ],
        "excluded": [{"span": "span-00004", "who": "ada@host", "when": "2026-09-30", "reason": "Broken."}],
    },
    "training": {
        "epochs": [{"epoch": 1, "loss": 0.5, "accuracy": 0.9, "val_loss": None, "val_accuracy": 0.8}],
        "best_epoch": 1,
        "resumed_from_epoch": None,
        "seconds": 101.0,
        "devices": ["CPU:0"],
        "global_batch_size": 32,
        "train_examples": 1500,
        "eval_examples": 400,
        "parameters": 190803,
    },
    "evaluation": {
        "slices": [
            {
                "kind": "overall",
                "name": "all",
                "photos": 400,
                "accuracy": 0.925,
                "low": 0.89,
                "high": 0.95,
                "loss": 0.3,
                "before": None,
            }
        ],
        "baseline_version": None,
        "confusion": {"labels": ["ok", "damaged"], "rows": [[90, 5], [5, 90]]},
    },
    "reliability": {
        "photos": 400,
        "error": 0.1,
        "bins": [{"low": 0.5, "high": 0.6, "photos": 400, "confidence": 0.55, "accuracy": 0.6}],
    },
    "mistakes": [
        {
            "file": "mistakes/01.jpg",
            "photo_id": "span-00008/1.jpg",
            "label": "ok",
            "predicted": "damaged",
            "probability": 0.9,
            "probability_of_label": 0.005,
            "lane": "lane-04",
            "span": 8,
        }
    ],
    "edge": {
        "default": "fp16",
        "photos": 400,
        "variants": [
            {
                "name": "fp16",
                "file": "model_fp16.tflite",
                "reasons": [],
                "size_bytes": 390_000,
                "accuracy": 0.92,
                "reference_accuracy": 0.925,
                "agreement": 0.99,
                "max_difference": 1e-3,
                "p50_ms": 0.3,
                "p99_ms": 0.5,
                "worst_lane": "lane-03",
                "worst_lane_accuracy": 0.7,
                "machine": "A processor",
            }
        ],
    },
    "gates": [
        {
            "gate": "edge",
            "result": "no_baseline",
            "reasons": ["All is well."],
            "warnings": ["Mind this."],
        }
    ],
    "unreadable": [],
}


@pytest.mark.parametrize("facts", [a_run(), a_failed_run(), a_hostile_run()])
def test_facts_come_back_from_json_as_they_were(facts):
    assert decode(encode(facts), Facts) == facts


def test_facts_of_another_version_are_read_as_far_as_they_are_known():
    content = json.loads(encode(a_run()))
    content["weather"] = "rain"
    del content["edge"], content["about"]["resumes"]
    found = decode(json.dumps(content).encode(), Facts)
    assert found == replace(a_run(), edge=None)


def test_facts_of_before_the_files_had_types_are_read_and_compared_with():
    found = decode(json.dumps(BEFORE).encode(), Facts)
    assert (found.about.run, found.about.outcome, found.about.version) == ("20260928-030000", "held", 2)
    assert found.about.problem == Problem("It broke.", "w", "d")
    assert found.about.steps == (Step("ExampleGen", "cached", 0.1), Step("Trainer", "failed"))
    assert found.data is not None
    assert found.data.spans == (Span("span-00007", 7, 9, 7, {"ok": 7}, {"corrupt": 2}),)
    assert found.data.excluded == (Excluded("span-00004", "ada@host", "2026-09-30", "Broken."),)
    assert [feature.drifted for feature in found.data.features] == [True]
    assert found.training is not None and found.training.epochs == (Epoch(1, 0.5, 0.9, None, 0.8),)
    assert found.evaluation is not None and found.evaluation.overall is not None
    assert found.gates == (Verdict("edge", "no_baseline", ("All is well.",), ("Mind this.",)),)
    assert found.mistakes is not None and found.mistakes[0].example_id == "span-00008/1.jpg"

    row = make_row(found, None)
    assert (row.accuracy, row.examples, row.quarantined) == (0.925, 1900, 2)
    changed = {change.what for change in find_changes(a_run(), found)}
    assert "Photos quarantined" in changed and not any("edge" in what or "Size" in what for what in changed)
    assert "Since run 20260928-030000" in render_run(a_run(), {}, found)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"about": {"run": 1}}', b'{"data": {}}'])
def test_what_is_no_facts_is_refused(content):
    with pytest.raises(ValueError):
        decode(content, Facts)


def test_settings_get_dotted_names():
    nested = {"seed": 20, "trainer": {"epochs": 3, "class_weights": {}}, "a": {"b": {"c": None}}}
    assert by_dotted_name(nested) == {
        "seed": "20",
        "trainer.epochs": "3",
        "trainer.class_weights": "{}",
        "a.b.c": "None",
    }
