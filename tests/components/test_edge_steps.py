"""EdgeConverter and EdgeValidator on a small real model."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tfx.types.standard_artifacts import Model

from components.artifacts import EdgeModels, Verdict
from components.edge_converter import EdgeConverter
from components.edge_validator import EdgeValidator
from components.predictions import write_mistakes
from components.transformed_examples import _choose_of_each_label, read_examples
from edgeline.edge import first_run
from edgeline.edge.golden import find_golden_problems, read_vectors
from edgeline.edge.interpreter import EdgeModel
from edgeline.errors import EdgelineError
from edgeline.gates.settings import Bound, EvaluationSettings
from edgeline.records.edge import EDGE_FILES, GOLDEN, PREPROCESSING
from edgeline.records.verdict import VERDICT
from pipeline.settings import EdgeSettings, Settings
from tests.components.conftest import MODEL
from tests.components.steps import LABELS, SHELF, artifact, execute
from tests.examples import serialize
from tests.warm import fork_conversions
from trainer_module.export import convert

pytestmark = pytest.mark.e2e

LIMITS = {"min_agreement": 0.95, "max_accuracy_drop": 0.02, "max_size_mb": 5.0, "max_latency_ms": 1000.0}


@pytest.fixture(scope="module", autouse=True)
def few_processes():
    """Measures each file in one process, not in three, and forks the conversions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_run, "_PROCESSES", 1)
        patch.setattr(convert, "subprocess", fork_conversions())
        yield


@pytest.fixture(scope="module")
def edge_models(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    edge = EdgeSettings(variants=("fp32", "fp16"), calibration_examples=20)
    models = artifact(EdgeModels, folder / "edge")
    execute(
        EdgeConverter,
        vars(trained),
        {"edge_models": models},
        folder,
        workload=SHELF.to_json(),
        settings=Settings(model=MODEL, edge=edge).of("EdgeConverter"),
        code="",
    )
    return models


def copy_models(models, folder):
    """Copies the files for phones, so that a test may change some."""
    shutil.copytree(models.uri, folder)
    return artifact(EdgeModels, folder)


def validate(trained, models, folder, production=None, evaluation=None, **limits):
    verdict = artifact(Verdict, folder / "verdict")
    edge = EdgeSettings(**{**LIMITS, **limits})
    settings = Settings(edge=edge, evaluation=evaluation or EvaluationSettings())
    execute(
        EdgeValidator,
        {
            **vars(trained),
            "edge_models": models,
            "production_model": production or artifact(Model, folder / "nothing", has_model=0, version=0),
        },
        {"verdict": verdict},
        folder,
        workload=SHELF.to_json(),
        settings=settings.of("EdgeValidator"),
        slow="",
        code="",
    )
    record = VERDICT.read(Path(verdict.uri))
    assert verdict.get_int_custom_property("passed") == int(record.passed)
    return record, json.loads(Path(verdict.uri, "edge.json").read_text())


@pytest.fixture(scope="module")
def validation(trained, edge_models, tmp_path_factory):
    """Runs a validation that every file passes; returns its folder, verdict and measurements."""
    folder = tmp_path_factory.mktemp("validation")
    return folder / "verdict", *validate(trained, edge_models, folder)


def read_split(trained, split="eval", limit=5_000):
    return read_examples(trained.examples, trained.transform_graph.uri, split, limit, SHELF)


def test_examples_are_read_as_the_model_sees_them_with_their_slices(trained):
    examples = read_split(trained)
    assert examples.inputs.dtype == "uint8" and examples.inputs.shape[1:] == (32, 32, 1)
    assert set(examples.groups) == {"class", "lane"}
    assert [LABELS[number] for number in examples.labels] == examples.groups["class"]
    assert len(set(examples.ids)) == len(examples.inputs)
    assert [f"span-{span:05d}" for span in examples.spans] == [name.split("/")[0] for name in examples.ids]
    first = read_split(trained, limit=3)
    assert first.ids == examples.ids[:3]
    assert (first.inputs == examples.inputs[:3]).all()


@pytest.mark.parametrize(
    ("limit", "counts"),
    # There are 90 `ok`, 9 `misplaced` and one `damaged`, which comes last.
    [(3, [1, 1, 1]), (30, [20, 9, 1]), (500, [90, 9, 1])],
)
def test_files_are_calibrated_on_each_label_however_rare_it_is(limit, counts):
    from tensorflow.core.example.example_pb2 import Example

    labels = ["misplaced" if number % 10 == 5 and number < 90 else "ok" for number in range(99)]
    labels.append("damaged")
    records = [serialize({"label": label, "number": number}) for number, label in enumerate(labels)]
    chosen = [
        Example.FromString(record).features.feature
        for record in _choose_of_each_label(records, limit, LABELS)
    ]
    labels = [features["label"].bytes_list.value[0].decode() for features in chosen]
    assert [labels.count(label) for label in LABELS] == counts
    numbers = [features["number"].int64_list.value[0] for features in chosen]
    assert numbers == sorted(numbers)


def test_the_first_variant_in_the_preferred_order_is_the_default(validation):
    _, verdict, report = validation
    # Nothing is in production, which the evaluation says.
    assert verdict.reasons == ("fp32 is the default variant.",)
    assert report["production"].startswith("Nothing was in production before")
    assert (verdict.gate, verdict.result, verdict.warnings) == ("edge", "pass", ())
    assert report["default_variant"] == "fp32"
    assert [variant["name"] for variant in report["variants"]] == ["fp32", "fp16"]
    for variant in report["variants"]:
        assert variant["reasons"] == []
        assert variant["measured"]["photos"] == report["eval_examples"]
        assert set(variant["measured"]["groups"]) == {"class", "lane"}
    # The converter may fuse operations of float32, not change them.
    assert report["variants"][0]["measured"]["max_difference"] < 1e-4


def test_the_predictions_of_the_saved_model_for_each_example_are_kept(trained, validation):
    folder, _, report = validation
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    predictions = [json.loads(line) for line in lines]
    examples = read_split(trained)
    assert [p["example_id"] for p in predictions] == examples.ids
    assert [p["label"] for p in predictions] == examples.groups["class"]
    assert [p["slices"] for p in predictions] == [{"lane": lane} for lane in examples.groups["lane"]]
    assert [p["span"] for p in predictions] == examples.spans
    right = [LABELS[p["probabilities"].index(max(p["probabilities"]))] == p["label"] for p in predictions]
    reference = report["variants"][0]["measured"]["reference_accuracy"]
    assert sum(right) / len(right) == pytest.approx(reference)
    # Each is written with six digits.
    assert all(sum(p["probabilities"]) == pytest.approx(1, abs=1e-5) for p in predictions)


def test_the_mistakes_of_highest_probability_are_kept_with_their_photos(trained, tmp_path):
    examples = read_split(trained)
    n = len(examples.labels)
    probabilities = np.full((n, 3), 0.0, np.float32)
    # All are wrong, later ones with a higher probability; one is not a number.
    sure = np.linspace(0.6, 0.9, n).astype(np.float32)
    probabilities[np.arange(n), (examples.labels + 1) % 3] = sure
    probabilities[np.arange(n), examples.labels] = 1 - sure
    probabilities[-1] = np.nan
    write_mistakes(tmp_path, trained.examples, examples, probabilities, SHELF)
    mistakes = json.loads((tmp_path / "mistakes.json").read_text())
    assert n > 13 and len(mistakes) == 12
    assert [m["example_id"] for m in mistakes] == examples.ids[-2:-14:-1]
    for mistake in mistakes:
        assert LABELS[(LABELS.index(mistake["label"]) + 1) % 3] == mistake["predicted"]
        assert mistake["probability"] + mistake["probability_of_label"] == pytest.approx(1, abs=1e-5)
        with Image.open(tmp_path / mistake["file"]) as image:
            assert image.format == "JPEG" and max(image.size) in (64, 128)


def test_a_variant_that_fails_is_named_and_the_next_is_the_default(trained, edge_models, tmp_path):
    sizes = [Path(edge_models.uri, f"model_{name}.tflite").stat().st_size for name in ("fp32", "fp16")]
    limits = {"max_size_mb": sum(sizes) / 2e6, "golden_examples": 0}
    verdict, report = validate(trained, edge_models, tmp_path, **limits)
    assert verdict.passed and report["default_variant"] == "fp16"
    assert any("fp16 is the default" in reason for reason in verdict.reasons)
    (warning,) = verdict.warnings
    assert warning.startswith("fp32: ")
    assert report["variants"][0]["reasons"] and not report["variants"][1]["reasons"]
    # With golden_examples=0 no golden vectors are written, but the contract is checked.
    contract = EDGE_FILES.read(tmp_path / "verdict").contract
    assert contract.compared == 18 and contract.shipped == 0
    assert not (tmp_path / "verdict" / "golden").exists()


def test_labels_that_are_not_those_of_the_schema_are_an_error(trained, edge_models, tmp_path):
    models = copy_models(edge_models, tmp_path / "edge")
    (tmp_path / "edge" / "labels.txt").write_text("ok\ndamaged\nmisplaced\n", encoding="utf-8")
    with pytest.raises(EdgelineError, match="but the schema has"):
        validate(trained, models, tmp_path)


def test_a_variant_that_could_not_be_made_is_named_with_the_error(trained, edge_models, tmp_path):
    partial = artifact(EdgeModels, tmp_path / "edge")
    Path(partial.uri).mkdir()
    for file in ("model_fp16.tflite", "labels.txt", "preprocessing.json"):
        (tmp_path / "edge" / file).symlink_to(Path(edge_models.uri, file))
    records = json.loads(Path(edge_models.uri, "conversion.json").read_text())
    records[0] |= {"file": None, "error": "The conversion process was ended by SIGABRT."}
    (tmp_path / "edge" / "conversion.json").write_text(json.dumps(records))
    verdict, report = validate(trained, partial, tmp_path)
    assert verdict.passed and report["default_variant"] == "fp16" and not verdict.fell_by_time
    assert "fp32" in verdict.warnings[0] and "SIGABRT" in verdict.warnings[0]
    # A verdict by time alone is marked, since another run may have another one.
    for limits, fell_by_time in (({}, True), ({"max_size_mb": 1e-6}, False)):
        verdict, _ = validate(trained, partial, tmp_path, max_latency_ms=1e-6, **limits)
        assert verdict.result == "fail" and verdict.fell_by_time == fell_by_time


def test_raw_photos_give_the_tensors_of_the_training_and_become_golden_vectors(
    trained, edge_models, validation, tmp_path
):
    folder, _, _ = validation
    contract = EDGE_FILES.read(folder).contract
    assert contract.compared == contract.shipped == len(read_split(trained).ids) == 18
    assert contract.problems == () and contract.largest_difference <= 8 and contract.answer_difference < 0.05
    bundle = shutil.copytree(edge_models.uri, tmp_path / "bundle")
    shutil.copytree(folder / "golden", bundle / "golden")
    golden, vectors = GOLDEN.read(bundle / "golden"), read_vectors(bundle)
    assert {example.label for example in golden.examples} == set(LABELS)
    assert {example.slices["lane"] for example in golden.examples} == set(read_split(trained).groups["lane"])
    inputs = {tensor.tobytes() for tensor in read_split(trained).inputs}
    assert {tensor.tobytes() for tensor in vectors.tensors} <= inputs
    photos = [Image.open(bundle / "golden" / example.file) for example in golden.examples]
    assert {photo.size for photo in photos} == {(64, 64), (720, 720)}
    assert next(dict(photo.getexif()) for photo in photos if photo.size == (720, 720)) == {0x0112: 3}
    models = {name: EdgeModel(bundle / f"model_{name}.tflite") for name in ("fp32", "fp16")}
    assert find_golden_problems(vectors, PREPROCESSING.read(bundle), models) == []


def test_no_file_passes_with_a_contract_that_differs_from_the_training(trained, edge_models, tmp_path):
    models = copy_models(edge_models, tmp_path / "edge")
    PREPROCESSING.write(tmp_path / "edge", {**PREPROCESSING.read(tmp_path / "edge"), "max_side": 40})
    verdict, report = validate(trained, models, tmp_path)
    (reason,) = verdict.reasons
    assert verdict.result == "fail" and report["default_variant"] is None
    assert reason.startswith("preprocessing.json does not give the tensors ") and " span-000" in reason
    assert "values differ by more than 1" in reason and not (tmp_path / "verdict" / "golden").exists()


def test_a_contract_of_a_custom_kind_is_passed_on_with_a_warning(trained, edge_models, tmp_path):
    models = copy_models(edge_models, tmp_path / "edge")
    PREPROCESSING.write(tmp_path / "edge", {"kind": "gesture", "deviation": 2.0})
    verdict, _ = validate(trained, models, tmp_path)
    assert verdict.passed and "custom kind" in verdict.warnings[0]
    assert not (tmp_path / "verdict" / "golden").exists()


def write_production_model(trained, folder, edge_models, labels=LABELS, edge_file="model_fp32.tflite"):
    """Writes the output of ProductionModel: the trained SavedModel, and a file."""
    shutil.copytree(trained.model.uri, folder)
    (folder / "edge").mkdir()
    shutil.copy(Path(edge_models.uri, "model_fp32.tflite"), folder / "edge")
    (folder / "edge" / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    return artifact(Model, folder, has_model=1, version=7, edge_file=edge_file)


EVERY_DROP = EvaluationSettings(
    bounds=[Bound(slice=kind, metric="loss", max_drop=0.02) for kind in ("overall", "class", "span", "lane")]
)


def test_a_file_as_good_as_that_in_production_is_the_default_and_both_figures_are_named(
    trained, edge_models, tmp_path
):
    production = write_production_model(trained, tmp_path / "production", edge_models)
    verdict, report = validate(trained, edge_models, tmp_path, production, EVERY_DROP)
    accuracy = f"{report['variants'][0]['measured']['accuracy']:.3f}"
    sentence = (
        f"On the same 18 eval examples fp32 was right on {accuracy}, and model_fp32.tflite of version 7 on"
        f" {accuracy}."
    )
    assert verdict.passed and verdict.reasons == ("fp32 is the default variant.", sentence)
    assert verdict.warnings == () and report["production"] == sentence


def test_files_worse_than_that_in_production_are_held_with_slice_figures_and_interval(
    trained, edge_models, always_rarest, tmp_path
):
    production = write_production_model(trained, tmp_path / "production", edge_models)
    candidate = copy_models(edge_models, tmp_path / "edge")
    inputs = read_split(trained).inputs
    convert.convert(always_rarest / "Format-Serving", "serve_image", ["fp32"], inputs, tmp_path / "rarest")
    worse_file = tmp_path / "rarest" / "model_fp32.tflite"
    shutil.copy(worse_file, tmp_path / "edge" / "model_fp32.tflite")
    limits = {"min_agreement": 0.0, "max_accuracy_drop": 1.0}
    # The next variant in the preferred order is as good as production.
    verdict, report = validate(trained, candidate, tmp_path, production, EVERY_DROP, **limits)
    assert verdict.passed and report["default_variant"] == "fp16"
    assert verdict.warnings[0].startswith("fp32: Loss is ")
    shutil.copy(worse_file, tmp_path / "edge" / "model_fp16.tflite")
    verdict, report = validate(trained, candidate, tmp_path / "both", production, EVERY_DROP, **limits)
    assert not verdict.passed and report["default_variant"] is None
    assert not (tmp_path / "both" / "verdict" / "golden").exists()
    # A sentence is said once, and names both files.
    assert [reason.split(":")[0] for reason in verdict.reasons if " Loss " in reason].count("fp32, fp16") > 3
    assert not any(reason.startswith(("fp32: Loss", "fp16: Loss")) for reason in verdict.reasons)
    assert re.search(
        r"Loss is [\d.]+ on 18 eval examples of only 1 session .*, [\d.]+ above the file in production"
        r" \([\d.]+\); at most 0.020 allowed. The drop is real",
        verdict.reasons[0],
    )
    assert {"overall", "class ok"} < {*verdict.slices}
    settings = {finding.setting for finding in verdict.findings if finding.lifted_by}
    assert settings == {f"evaluation.bounds[{number}].max_drop" for number in range(4)}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": ("ok", "damaged", "misplaced")}, "labels.txt does not fit the model"),
        ({"edge_file": ""}, "its bundle cannot be read; see `edgeline verify 7`"),
    ],
)
def test_a_production_file_that_cannot_be_compared_is_a_warning(
    trained, edge_models, tmp_path, changes, text
):
    production = write_production_model(trained, tmp_path / "production", edge_models, **changes)
    verdict, report = validate(trained, edge_models, tmp_path, production, EVERY_DROP)
    assert verdict.passed and report["default_variant"] == "fp32"
    (warning,) = verdict.warnings
    assert "not compared with the file in production, of version 7" in warning and text in warning


def test_a_production_model_that_cannot_read_the_examples_is_a_warning(trained, edge_models, tmp_path):
    import tensorflow as tf

    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def transform(self, examples):
            column = {"column": tf.io.FixedLenFeature([], tf.float32)}
            return tf.io.parse_example(examples, column)

    production = write_production_model(trained, tmp_path / "production", edge_models)
    other = Other()
    place = str(Path(production.uri, "Format-Serving"))
    tf.saved_model.save(other, place, {"transform_features": other.transform})
    verdict, _ = validate(trained, edge_models, tmp_path, production, EVERY_DROP)
    assert verdict.passed
    (warning,) = verdict.warnings
    assert "its SavedModel cannot read the examples of today (It reads the feature column (float)" in warning
