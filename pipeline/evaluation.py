"""The slices and metrics that TFMA computes for a trained model."""

import json
from typing import Any

from edgeline.records.workload import Workload

_EAGER = {"module": "components.eval_metrics"}


def build_evaluation_config(workload: Workload, false_alarm_rate: float) -> str:
    """Returns the `tfma.EvalConfig` as JSON: candidate and production model, overall and by kind of slice.

    Metrics of alarms are measured on the class `normal`: the recall of alarms at a rate of false alarms is
    the specificity of that class at a sensitivity of one minus the rate.

    Both models get raw examples through their own Transform graph, so that each is judged with its own
    preprocessing.
    """
    signatures = {
        "signature_name": "serving_default",
        "preprocessing_function_names": ["transform_features"],
        "label_key": "label",
        "prediction_key": "probabilities",
    }
    metrics: list[dict[str, Any]] = [
        {
            "metrics": [
                _make_metric("ExampleCount"),
                {**_make_metric("SparseCategoricalAccuracy", name="accuracy"), **_EAGER},
                {**_make_metric("SparseCategoricalCrossentropy", name="loss"), **_EAGER},
                _make_metric("MultiClassConfusionMatrixPlot", thresholds=[0.0]),
            ]
        }
    ]
    if workload.normal:
        alarm_recall = _make_metric(
            "SpecificityAtSensitivity", name="recall_at_false_alarms", sensitivity=1 - false_alarm_rate
        )
        normal = workload.labels.index(workload.normal)
        metrics.append(
            {
                "metrics": [_make_metric("AUC", name="auc"), alarm_recall],
                "binarize": {"class_ids": {"values": [normal]}},
            }
        )
    config = {
        "model_specs": [
            {"name": "candidate", **signatures},
            {"name": "baseline", "is_baseline": True, **signatures},
        ],
        "slicing_specs": [{}, *({"feature_keys": [name]} for name in workload.slice_features.values())],
        "metrics_specs": metrics,
    }
    return json.dumps(config)


def _make_metric(class_name: str, **config: Any) -> dict[str, str]:
    # TFMA expects the JSON of a config without its braces.
    return {"class_name": class_name, **({"config": json.dumps(config)[1:-1]} if config else {})}
