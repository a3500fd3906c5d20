"""The page of each step in a UI, of outputs that are written by hand."""

import re
from dataclasses import fields
from math import nan

import pytest
from msgspec.structs import replace

from edgeline.records.edge import EDGE_FILES, PREDICTIONS, EdgeFiles, Prediction, Variant
from edgeline.records.evaluation import METRICS, Confusion, Metrics
from edgeline.records.ingest import INGEST, Ingest, Span
from edgeline.records.run import Run
from edgeline.records.steps import STEPS
from edgeline.records.training import EPOCHS, SEARCH, TRAINING, Epoch, Search, TrainingSummary, Trial
from edgeline.records.verdict import DRIFT, PUSH, VERDICT, Drift, Push, Verdict
from edgeline.report import archive
from edgeline.report.collect import collect_facts
from edgeline.report.page import render_run
from edgeline.report.sources import Sources
from edgeline.report.step_pages import collect_metrics, find_worst_roc, read_confusion, render_page
from tests.edgeline.records import samples

MEASURED = replace(samples.MEASURED, examples=4, groups={})


@pytest.fixture
def sources(tmp_path):
    """Writes the outputs of the steps of a small run."""
    names = {field.name for field in fields(Sources)} - {"statistics", "anomalies", "schema", "inferred"}
    sources = Sources(**{name: tmp_path / name for name in names})
    span = Span("span-00001", 1, rows=9, accepted=8, rejected={"corrupt": 1})
    INGEST.write(sources.quarantine, Ingest({"train": 6, "eval": 2}, {"ok": 8}, (span,)))
    VERDICT.write(sources.data_verdict, Verdict("data", "fail", ("Far too dark.",)))
    SEARCH.write(sources.search, Search("val_loss", 1, (Trial(1, {"model.hidden": 32}, score=0.2),)))
    TRAINING.write(sources.model_run, TrainingSummary(best_epoch=2, seconds=3.5))
    # A loss that is no number is left out.
    EPOCHS.write(sources.model_run, [Epoch(1, val_accuracy=0.5, val_loss=nan), Epoch(2, val_accuracy=0.75)])
    candidate = {
        "overall": {"all": {"accuracy": 0.75, "example_count": 4.0}},
        "class": {"ok": {"accuracy": 0.5, "example_count": 2.0}},
        "lane": {},
    }
    METRICS.write(
        sources.evaluation, Metrics(candidate, confusion=Confusion(("ok", "bad"), ((1, 1), (0, 2))))
    )
    fp16 = Variant("fp16", "model_fp16.tflite", measured=MEASURED)
    EDGE_FILES.write(sources.edge_verdict, EdgeFiles("fp16", 4, (fp16,)))
    PUSH.write(sources.pushed_model, Push("held", reasons=("Bad.",)))
    facts = collect_facts(
        sources, Run(id="run-1", workload="shelf", outcome="held", reasons=("Far < too > dark.",))
    )
    archive.write(sources.report, facts, "<!DOCTYPE html><head></head><h1>run run-1</h1>")
    return sources


@pytest.mark.parametrize("step", [step for step, info in STEPS.items() if info.page])
def test_every_page_has_a_sentence_even_without_an_output(step):
    page = render_page(step, Sources())
    first, second, *_ = page.splitlines()
    assert first.startswith("<!-- ") and first.endswith(" -->") and second == "<!DOCTYPE html>"
    (sentence,) = re.findall(r"</h1>\s*<p>([^<]+)</p>", page)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("step", "result", "text"),
    [
        ("DataValidator", "fail: Far too dark.", "corrupt"),
        ("Tuner", "fail: Far too dark.", "best"),
        ("Trainer", "fail: Far too dark.", "Accuracy"),
        (
            "RunReport",
            "A model was trained and held back; production was unchanged. Far < too dark.",
            "run run-1",
        ),
    ],
)
def test_the_page_of_a_step_shows_its_output_and_its_first_line_the_result(sources, step, result, text):
    first, page = render_page(step, sources).split("\n", 1)
    assert text in page and first == f"<!-- {result} -->"


def test_the_figures_of_a_run_have_full_names_and_are_of_one_step(sources):
    """Each step with figures is a column of its own where runs are compared."""
    assert collect_metrics("RunReport", sources) == {
        **{"pushed": 0.0, "held_back": 1.0},
        **{"model_accuracy": 0.75, "model_worst_class_accuracy": 0.5, "eval_examples": 4.0},
        **{"training_epochs": 2.0, "training_seconds": 3.5},
        **{"phone_file_accuracy": 0.75, "phone_file_mb": 0.4, "phone_file_median_ms": 0.5},
    }


def test_the_figures_of_the_data_have_its_verdict_and_the_drift_nearest_to_what_is_allowed(sources):
    figures = collect_metrics("DataValidator", sources)
    assert figures == {"passed": 0.0, "newest_examples": 8.0, "quarantined_share": 0.1111}
    far, near = Drift("far", 0.4, 0.8), Drift("near", 0.09, 0.1)
    DRIFT.write(sources.data_verdict, (far, near, Drift("free", 0.9, 0.0)))
    with_drift = collect_metrics("DataValidator", sources)
    assert with_drift == {**figures, "worst_drift": 0.09, "worst_drift_allowed": 0.1}


def test_the_confusion_matrix_is_the_models_and_the_roc_that_of_the_class_that_is_recognised_worst(sources):
    answers = [("ok", 0.9), ("bad", 0.6), ("ok", 0.4), ("bad", 0.1)]
    lines = [
        Prediction(str(number), label, (score, 1 - score)) for number, (label, score) in enumerate(answers)
    ]
    PREDICTIONS.write(sources.edge_verdict, [*lines, Prediction("5", "ok", (None, None))])
    label, points = find_worst_roc(sources)
    assert label == "ok"
    assert points == [(1.0, 0.0, 0.0), (0.9, 0.0, 0.5), (0.6, 0.5, 0.5), (0.4, 0.5, 1.0), (0.1, 1.0, 1.0)]
    assert find_worst_roc(Sources()) == ("", []) and read_confusion(Sources()) is None
    assert read_confusion(sources) == Confusion(("ok", "bad"), ((1, 1), (0, 2)))


def test_an_edge_file_that_could_not_be_made_has_no_figures(sources):
    files = EdgeFiles(None, 4, (Variant("int8", None, ("It could not be converted: SIGABRT.",)),))
    EDGE_FILES.write(sources.edge_verdict, files)
    facts = collect_facts(sources, Run(id="run-1", workload="shelf"))
    archive.write(sources.report, facts, render_run(facts, {}, None))
    assert not {name for name in collect_metrics("RunReport", sources) if name.startswith("phone_file")}
    page = render_page("RunReport", sources)
    assert "No file may ship" in page and "could not be converted" in page
