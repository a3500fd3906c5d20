import json
from dataclasses import replace
from typing import get_args

import pytest

from edgeline.gates.settings import Metric
from pipeline.evaluation import build_evaluation_config
from pipeline.workloads import BUILT_IN, with_features

# Of these, the matrix of confusions gives the means; TFMA computes the others.
OF_THE_MATRIX = {"recall", "precision", "f1"}
OF_ALARMS = {"auc", "recall_at_false_alarms"}


@pytest.fixture
def shelf():
    return with_features(BUILT_IN["shelf"])


def config(workload):
    return json.loads(build_evaluation_config(workload, 0.05))


def named(specs):
    of_all = [metric for spec in specs for metric in spec["metrics"] if "config" in metric]
    return {json.loads("{" + metric["config"] + "}").get("name") for metric in of_all} - {None}


def test_candidate_and_baseline_are_asked_through_the_signatures_that_ship(shelf):
    models = config(shelf)["model_specs"]
    # TFMA knows its two models by exactly these names.
    assert [model["name"] for model in models] == ["candidate", "baseline"]
    assert [model.get("is_baseline", False) for model in models] == [False, True]
    for model in models:
        assert model["signature_name"] == "serving_default"
        assert model["preprocessing_function_names"] == ["transform_features"]
        assert (model["label_key"], model["prediction_key"]) == ("label", "probabilities")


def test_every_kind_of_slice_of_a_workload_is_measured(shelf):
    assert config(shelf)["slicing_specs"] == [
        {},
        *({"feature_keys": [feature]} for feature in ("label", "lane_id", "span")),
    ]
    by_machine = replace(shelf, slices={"machine": "machine_id"})
    assert {"feature_keys": ["machine_id"]} in config(by_machine)["slicing_specs"]


def test_the_metrics_have_the_names_that_bounds_and_manifest_use(shelf):
    assert named(config(shelf)["metrics_specs"]) | OF_THE_MATRIX == {*get_args(Metric)} - OF_ALARMS
    with_alarms = replace(shelf, normal="ok")
    assert named(config(with_alarms)["metrics_specs"]) | OF_THE_MATRIX == {*get_args(Metric)}


def test_tfma_reads_it_as_it_is_written(shelf):
    from google.protobuf import json_format
    from tensorflow_model_analysis.proto import config_pb2

    written = config(replace(shelf, normal="ok"))
    read = json_format.Parse(json.dumps(written), config_pb2.EvalConfig())
    assert json_format.MessageToDict(read, preserving_proto_field_name=True) == written
