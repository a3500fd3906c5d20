import json

from components.evaluator import SLICE_FEATURES
from gates.settings import Bound
from pipeline.evaluation import evaluation_config


def test_candidate_and_baseline_are_asked_through_the_signatures_that_ship():
    models = json.loads(evaluation_config())["model_specs"]
    # TFMA knows its two models by exactly these names.
    assert [model["name"] for model in models] == ["candidate", "baseline"]
    assert [model.get("is_baseline", False) for model in models] == [False, True]
    for model in models:
        assert model["signature_name"] == "serving_default"
        assert model["preprocessing_function_names"] == ["transform_features"]
        assert (model["label_key"], model["prediction_key"]) == ("label", "probabilities")


def test_every_kind_of_slice_that_a_bound_may_name_is_measured():
    slices = json.loads(evaluation_config())["slicing_specs"]
    assert slices[0] == {}
    assert [spec["feature_keys"] for spec in slices[1:]] == [[feature] for feature in SLICE_FEATURES.values()]
    kinds = Bound.model_json_schema()["properties"]["slice"]["enum"]
    assert set(kinds) == {"overall", *SLICE_FEATURES}


def test_the_metrics_have_the_names_that_bounds_and_manifest_use():
    (spec,) = json.loads(evaluation_config())["metrics_specs"]
    named = {
        json.loads("{" + metric["config"] + "}").get("name")
        for metric in spec["metrics"]
        if "config" in metric
    }
    assert {"accuracy", "loss"} <= named
    metrics = Bound.model_json_schema()["properties"]["metric"]
    assert metrics.get("const", *metrics.get("enum", [])) in named
