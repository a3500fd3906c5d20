"""What is measured of a trained model: the slices and metrics that TFMA computes."""

from records.workload import Workload


def evaluation_config(workload: Workload, false_alarm_rate: float) -> str:
    """The `tfma.EvalConfig` as JSON: candidate and production model, overall and by each kind of slice.

    What tells alarms from what is normal is measured of the class `normal`: the recall of alarms at a rate of
    false ones is the specificity of that class at a sensitivity of one minus the rate.

    Both models get raw examples through their own Transform graph, so that each is judged with its own
    preprocessing.
    """
    import tensorflow_model_analysis as tfma
    from google.protobuf import json_format, text_format

    model = """
      model_specs {{
        name: "{name}" is_baseline: {is_baseline}
        signature_name: "serving_default"
        preprocessing_function_names: "transform_features"
        label_key: "label"
        prediction_key: "probabilities"
      }}"""
    features = workload.slice_features.values()
    slices = "".join(f'slicing_specs {{ feature_keys: "{feature}" }}' for feature in features)
    alarms = ""
    if workload.normal:
        alarms = f"""
      metrics_specs {{
        metrics {{ class_name: "AUC" config: '"name": "auc"' }}
        metrics {{
          class_name: "SpecificityAtSensitivity"
          config: '"name": "recall_at_false_alarms", "sensitivity": {1 - false_alarm_rate}'
        }}
        binarize {{ class_ids {{ values: {workload.labels.index(workload.normal)} }} }}
      }}"""
    config = text_format.Parse(
        model.format(name="candidate", is_baseline="false")
        + model.format(name="baseline", is_baseline="true")
        + "slicing_specs { }"
        + slices
        + """
      metrics_specs {
        metrics { class_name: "ExampleCount" }
        metrics { class_name: "SparseCategoricalAccuracy" config: '"name": "accuracy"' }
        metrics { class_name: "SparseCategoricalCrossentropy" config: '"name": "loss"' }
        metrics { class_name: "MultiClassConfusionMatrixPlot" config: '"thresholds": [0.0]' }
      }"""
        + alarms,
        tfma.EvalConfig(),
    )
    return json_format.MessageToJson(config, preserving_proto_field_name=True)
