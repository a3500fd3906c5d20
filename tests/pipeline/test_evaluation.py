import json
from dataclasses import replace
from typing import get_args

from edgeline.gates.settings import Metric
from pipeline.evaluation import build_evaluation_config
from pipeline.workloads import BUILT_IN, with_features

# Of these, the matrix of confusions gives the means; TFMA computes the others.
OF_THE_MATRIX = {"recall", "precision", "f1"}
OF_ALARMS = {"auc", "recall_at_false_alarms"}


def list_names(workload):
    """The names of the metrics that TFMA is asked for."""
    specs = json.loads(build_evaluation_config(workload, 0.05))["metrics_specs"]
    of_all = [metric for spec in specs for metric in spec["metrics"] if "config" in metric]
    return {json.loads("{" + metric["config"] + "}").get("name") for metric in of_all} - {None}


def test_the_metrics_have_the_names_that_bounds_and_manifest_use():
    shelf = with_features(BUILT_IN["shelf"])
    assert list_names(shelf) | OF_THE_MATRIX == {*get_args(Metric)} - OF_ALARMS
    assert list_names(replace(shelf, normal="ok")) | OF_THE_MATRIX == {*get_args(Metric)}
