import json
from dataclasses import replace
from typing import get_args

from edgeline.gates.settings import Metric
from pipeline.evaluation import build_evaluation_config
from pipeline.workloads import find_workload, with_features

# The means of these come from the confusion matrix; TFMA computes the others.
MATRIX_METRICS = {"recall", "precision", "f1"}
ALARM_METRICS = {"auc", "recall_at_false_alarms"}


def list_names(workload):
    """Returns the names of the metrics that TFMA computes."""
    specs = json.loads(build_evaluation_config(workload, 0.05))["metrics_specs"]
    metrics = [metric for spec in specs for metric in spec["metrics"] if "config" in metric]
    return {json.loads("{" + metric["config"] + "}").get("name") for metric in metrics} - {None}


def test_the_metrics_have_the_names_that_bounds_and_manifest_use():
    shelf = with_features(find_workload("shelf"))
    assert list_names(shelf) | MATRIX_METRICS == {*get_args(Metric)} - ALARM_METRICS
    assert list_names(replace(shelf, normal="ok")) | MATRIX_METRICS == {*get_args(Metric)}
