"""What a UI shows of each step; here of steps with hand-written outputs."""

import json
import re

import pytest

from report.sources import OUTPUTS, Sources
from report.steps import step_confusion, step_metrics, step_page

STEPS = (
    *("PhotoIngest", "StatisticsGen", "SchemaGen", "CuratedSchema", "ExampleValidator", "DataGate"),
    *("DataAdmission", "Transform", "Trainer", "ProductionModel", "ModelEvaluator", "EdgeConverter"),
    *("EdgeValidator", "ReleasePusher", "RunReport", "ReleaseAdmission"),
)


def put(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("_json", ".json").replace("_html", ".html")).write_text(text)
    return folder


@pytest.fixture
def sources(tmp_path):
    """What the steps of a small run put out."""
    span = {"name": "span-00001", "number": 1, "rows": 9, "accepted": 8, "rejected": {"corrupt": 1}}
    ingest = {"splits": {"train": 6, "eval": 2}, "classes": {"ok": 8}, "spans": [span]}
    overall = {"all": {"accuracy": 0.75, "example_count": 4.0}}
    candidate = {"overall": overall, "class": {"ok": {"accuracy": 0.5, "example_count": 2.0}}, "lane": {}}
    confusion = {"labels": ["ok", "bad"], "rows": [[1, 1], [0, 2]]}
    metrics = {"candidate": candidate, "baseline": None, "baseline_version": 0, "confusion": confusion}
    measured = {"size_bytes": 400_000, "accuracy": 0.75, "latency": {"p50_ms": 0.5}, "groups": {}}
    edge = {
        "default_variant": "fp16",
        "eval_photos": 4,
        "variants": [{"name": "fp16", "file": "m", "reasons": [], "measured": measured}],
    }
    verdict = {"gate": "data", "result": "fail", "reasons": ["Far too dark."]}
    history = '{"epoch": 1, "val_accuracy": 0.5, "val_loss": NaN}\n{"epoch": 2, "val_accuracy": 0.75}\n'
    model_run = put(tmp_path / "model_run", training_json={"best_epoch": 2, "seconds": 3.5})
    (model_run / "history.jsonl").write_text(history)
    push = {"outcome": "held", "version": 0, "reasons": ["Bad."]}
    conversions = [{"variant": "int8", "file": None, "error": "SIGABRT."}]
    return Sources(
        quarantine=put(tmp_path / "quarantine", ingest_json=ingest),
        data_verdict=put(tmp_path / "data_verdict", verdict_json=verdict),
        model_run=model_run,
        evaluation=put(tmp_path / "evaluation", metrics_json=metrics),
        edge_models=put(tmp_path / "edge_models", conversion_json=conversions),
        edge_verdict=put(tmp_path / "edge_verdict", edge_json=edge),
        pushed_model=put(tmp_path / "pushed", push_json=push),
        report=put(tmp_path / "report", report_html="<p>The page of the run"),
    )


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_a_page_with_a_sentence_even_without_an_output(step):
    page = step_page(step, Sources())
    assert page.startswith("<!DOCTYPE html>") and f"<h1>{step}</h1>" in page
    (sentence,) = re.findall(r"</h1>\s*<p>([^<]+)</p>", page)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("PhotoIngest", "corrupt"),
        ("DataGate", "Far too dark."),
        ("Trainer", "Accuracy"),
        ("ModelEvaluator", "75.0"),
        ("EdgeConverter", "int8 could not be made: SIGABRT."),
        ("EdgeValidator", "0.40"),
        ("ReleasePusher", "Outcome: held. Bad."),
        ("RunReport", "The page of the run"),
    ],
)
def test_the_page_of_a_step_shows_what_it_put_out(sources, step, shown):
    assert shown in step_page(step, sources)


def test_figures_are_those_that_a_list_of_runs_is_sorted_by(sources):
    assert step_metrics("Trainer", sources) == {"eval_accuracy": 0.75, "epochs": 2.0, "seconds": 3.5}
    assert step_metrics("ModelEvaluator", sources) == {
        "accuracy": 0.75,
        "eval_photos": 4.0,
        "worst_class_accuracy": 0.5,
    }
    assert step_metrics("EdgeValidator", sources) == {
        "fp16_accuracy": 0.75,
        "fp16_size_mb": 0.4,
        "fp16_median_ms": 0.5,
    }
    assert step_metrics("Transform", sources) == {}


def test_the_confusion_matrix_is_the_evaluators(sources):
    assert step_confusion(sources) == {"labels": ["ok", "bad"], "rows": [[1, 1], [0, 2]]}
    assert step_confusion(Sources()) is None


def test_every_output_has_a_field_to_be_found_under():
    assert set(OUTPUTS.values()) == set(Sources.__dataclass_fields__)
