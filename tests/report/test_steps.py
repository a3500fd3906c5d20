"""What a UI shows of each step; here of steps with hand-written outputs."""

import re
from math import nan

import pytest
from msgspec.structs import replace

from records.edge import (
    CONVERSIONS,
    EDGE_FILES,
    Conversion,
    EdgeFiles,
    Variant,
)
from records.evaluation import METRICS, Confusion, Metrics
from records.ingest import INGEST, Ingest, Span
from records.push import PUSH, Push
from records.training import EPOCHS, SEARCH, TRAINING, Epoch, Search, TrainingSummary, Trial
from records.verdict import VERDICT, Verdict
from report.records import PAGE
from report.sources import OUTPUTS, Sources
from report.steps import step_confusion, step_metrics, step_page
from tests.records import samples

STEPS = (
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ImportSchemaGen", "ExampleValidator", "DataValidator"),
    *("DataGate", "Transform", "Tuner", "Trainer", "ProductionModel", "Evaluator", "EdgeConverter"),
    *("EdgeValidator", "Pusher", "RunReport", "ReleaseGate"),
)


MEASURED = replace(samples.MEASURED, examples=4, groups={})


@pytest.fixture
def sources(tmp_path):
    """What the steps of a small run put out."""
    sources = Sources(
        **{
            name: tmp_path / name
            for name in (
                *(
                    "quarantine",
                    "data_verdict",
                    "search",
                    "model_run",
                    "evaluation",
                    "edge_models",
                    "edge_verdict",
                ),
                *("pushed_model", "report"),
            )
        }
    )
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
    CONVERSIONS.write(sources.edge_models, (Conversion("int8", None, error="SIGABRT."),))
    fp16 = Variant("fp16", "model_fp16.tflite", measured=MEASURED)
    EDGE_FILES.write(sources.edge_verdict, EdgeFiles("fp16", 4, (fp16,)))
    PUSH.write(sources.pushed_model, Push("held", reasons=("Bad.",)))
    sources.report.mkdir()
    (sources.report / PAGE).write_text("<p>The page of the run")
    return sources


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_a_page_with_a_sentence_even_without_an_output(step):
    page = step_page(step, Sources())
    assert page.startswith("<!DOCTYPE html>") and f"<h1>{step}</h1>" in page
    (sentence,) = re.findall(r"</h1>\s*<p>([^<]+)</p>", page)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("ExampleGen", "corrupt"),
        ("DataValidator", "Far too dark."),
        ("Tuner", "best"),
        ("Trainer", "Accuracy"),
        ("Evaluator", "75.0"),
        ("EdgeConverter", "int8 could not be made: SIGABRT."),
        ("EdgeValidator", "0.40"),
        ("Pusher", "Outcome: held. Bad."),
        ("RunReport", "The page of the run"),
    ],
)
def test_the_page_of_a_step_shows_what_it_put_out(sources, step, shown):
    assert shown in step_page(step, sources)


def test_figures_are_those_that_a_list_of_runs_is_sorted_by(sources):
    assert step_metrics("Trainer", sources) == {"eval_accuracy": 0.75, "epochs": 2.0, "seconds": 3.5}
    assert step_metrics("Evaluator", sources) == {
        "accuracy": 0.75,
        "eval_examples": 4.0,
        "worst_class_accuracy": 0.5,
    }
    assert step_metrics("EdgeValidator", sources) == {
        "fp16_accuracy": 0.75,
        "fp16_size_mb": 0.4,
        "fp16_median_ms": 0.5,
    }
    assert step_metrics("Transform", sources) == {}


def test_an_edge_file_that_could_not_be_made_has_no_figures(sources):
    files = EdgeFiles(None, 4, (Variant("int8", None, ("It could not be converted: SIGABRT.",)),))
    EDGE_FILES.write(sources.edge_verdict, files)
    assert step_metrics("EdgeValidator", sources) == {}
    page = step_page("EdgeValidator", sources)
    assert "None may ship" in page and "could not be made" in page


def test_the_confusion_matrix_is_the_evaluators(sources):
    assert step_confusion(sources) == Confusion(("ok", "bad"), ((1, 1), (0, 2)))
    assert step_confusion(Sources()) is None


def test_every_output_has_a_field_to_be_found_under():
    assert set(OUTPUTS.values()) == set(Sources.__dataclass_fields__)
