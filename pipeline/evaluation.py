"""What is measured of a trained model: the slices and metrics that TFMA computes."""

import json
from typing import Any

from records.workload import Workload


def evaluation_config(workload: Workload, false_alarm_rate: float) -> str:
    """The `tfma.EvalConfig` as JSON: candidate and production model, overall and by each kind of slice.

    What tells alarms from what is normal is measured of the class `normal`: the recall of alarms at a rate of
    false ones is the specificity of that class at a sensitivity of one minus the rate.

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
                _metric("ExampleCount"),
                _metric("SparseCategoricalAccuracy", name="accuracy"),
                _metric("SparseCategoricalCrossentropy", name="loss"),
                _metric("MultiClassConfusionMatrixPlot", thresholds=[0.0]),
            ]
        }
    ]
    if workload.normal:
        of_alarms = _metric(
            "SpecificityAtSensitivity", name="recall_at_false_alarms", sensitivity=1 - false_alarm_rate
        )
        normal = workload.labels.index(workload.normal)
        metrics.append(
            {
                "metrics": [_metric("AUC", name="auc"), of_alarms],
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


def _metric(class_name: str, **config: Any) -> dict[str, str]:
    # As TFMA has it, what is in the braces.
    return {"class_name": class_name, **({"config": json.dumps(config)[1:-1]} if config else {})}
