"""TFX's Evaluator with an optional production model, bounds with a minimum support, verdict in sentences.

TFMA computes the metrics by slice. Its own thresholds know no minimum support and name no reason, so the
bounds are applied here, to TFMA's numbers; the blessing is TFX's standard artifact.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.components.evaluator.constants import (
    ARTIFACT_PROPERTY_BLESSED_KEY,
    BLESSED_FILE_NAME,
    BLESSED_VALUE,
    NOT_BLESSED_FILE_NAME,
    NOT_BLESSED_VALUE,
)
from tfx.components.evaluator.executor import Executor
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation

from components.verdict import VerdictRecord, write_verdict

METRICS_FILE_NAME = "metrics.json"

# What a kind of slice is called in the settings, and the feature of the examples that it is taken from.
SLICE_FEATURES = {"class": "label", "lane": "lane_id", "span": "span"}

# TFMA's accuracies are float32: 9 right of 10 come as 0.8999999762, and 6 of 10 as 0.6000000238.
_ROUNDING = 1e-6

SliceMetrics = Mapping[str, Mapping[str, Mapping[str, float]]]


class ModelEvaluatorExecutor(Executor):
    """Evaluates with TFMA, then judges."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `ModelEvaluator`."""
        baseline = artifact_utils.get_single_instance(input_dict["baseline_model"])
        has_baseline = baseline.get_int_custom_property("has_model") == 1
        if not has_baseline:
            input_dict = {key: value for key, value in input_dict.items() if key != "baseline_model"}
        super().Do(input_dict, output_dict, exec_properties)

        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        labels = json.loads(exec_properties["labels"])
        metrics = {
            # TFMA takes the names away where there is one model.
            "candidate": read_metrics(evaluation, "candidate" if has_baseline else "", labels),
            "baseline": read_metrics(evaluation, "baseline", labels) if has_baseline else None,
            "baseline_version": baseline.get_int_custom_property("version"),
            "confusion": read_confusion(evaluation, "candidate" if has_baseline else "", labels),
        }
        Path(evaluation, METRICS_FILE_NAME).write_text(json.dumps(metrics, indent=1), encoding="utf-8")
        verdict = judge(
            metrics["candidate"],
            metrics["baseline"],
            json.loads(exec_properties["bounds"]),
            bool(exec_properties["beat_majority"]),
        )
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        write_verdict(blessing.uri, verdict)
        name, value = (
            (BLESSED_FILE_NAME, BLESSED_VALUE)
            if verdict.passed
            else (NOT_BLESSED_FILE_NAME, NOT_BLESSED_VALUE)
        )
        Path(blessing.uri, name).touch()
        blessing.set_int_custom_property(ARTIFACT_PROPERTY_BLESSED_KEY, value)


def read_metrics(
    evaluation: str, model_name: str, labels: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """TFMA's metrics of one model, by kind of slice and slice.

    Args:
        evaluation: Folder that TFMA wrote to.
        model_name: `candidate` or `baseline`; empty where one model was evaluated.
        labels: Class names by id: TFMA slices by the transformed label, which shadows the raw one.

    Returns:
        `{"overall": {"all": {"accuracy": 0.93, "loss": 0.2, "example_count": 480.0}}, "class": {"ok": ...},
            ...}`
    """
    import tensorflow_model_analysis as tfma

    kinds = {feature: kind for kind, feature in SLICE_FEATURES.items()}
    metrics: dict[str, dict[str, dict[str, float]]] = {"overall": {}, **{kind: {} for kind in SLICE_FEATURES}}
    result = tfma.load_eval_result(evaluation, model_name=model_name)
    for slice_key, by_output in result.slicing_metrics:
        (_, by_sub_key), *_ = by_output.items()
        values = by_sub_key[""]
        kind, value = (kinds[slice_key[0][0]], slice_key[0][1]) if slice_key else ("overall", "all")
        metrics[kind][labels[int(value)] if kind == "class" else str(value)] = {
            metric: float(found["doubleValue"]) for metric, found in values.items() if "doubleValue" in found
        }
    return {kind: dict(sorted(slices.items())) for kind, slices in metrics.items()}


def read_confusion(evaluation: str, model_name: str, labels: Sequence[str]) -> dict[str, Any]:
    """TFMA's confusion matrix of one model over all eval photos.

    Args:
        evaluation: Folder that TFMA wrote to.
        model_name: As for `read_metrics`.
        labels: Class names by id.

    Returns:
        `{"labels": [...], "rows": [[...], ...]}`: how often a photo of the row's class was taken for the
        column's. A photo whose probabilities are not numbers is taken for no class, and in no column.
    """
    import tensorflow_model_analysis as tfma

    rows = [[0] * len(labels) for _ in labels]
    for slice_key, by_output in tfma.load_eval_result(evaluation, model_name=model_name).plots:
        if slice_key:
            continue
        (_, by_sub_key), *_ = by_output.items()
        # The config asks for the threshold 0 alone: the most probable class.
        (matrix,) = by_sub_key[""]["multiClassConfusionMatrixAtThresholds"]["matrices"]
        for entry in matrix["entries"]:
            # Protobuf's JSON leaves zeros out, so class 0 is no key at all.
            predicted = entry.get("predictedClassId", 0)
            if predicted >= 0:
                rows[entry.get("actualClassId", 0)][predicted] += round(entry["numWeightedExamples"])
    return {"labels": list(labels), "rows": rows}


def judge(
    candidate: SliceMetrics,
    baseline: SliceMetrics | None,
    bounds: Sequence[Mapping[str, Any]],
    beat_majority: bool,
) -> VerdictRecord:
    """Applies the bounds to every slice with enough photos.

    Args:
        candidate: Metrics of the trained model, as `read_metrics` gives them.
        baseline: The same of the production model, on the same photos; None when nothing is in production.
        bounds: `slice`, `metric`, `lower`, `max_drop` and `min_support`, as in the settings.
        beat_majority: Whether overall accuracy has to be above always saying the most frequent class.
    """
    reasons = [reason for bound in bounds for reason in _broken(bound, candidate, baseline)]
    overall = candidate["overall"]["all"]
    label, majority = max(
        ((label, values["example_count"]) for label, values in candidate["class"].items()),
        key=lambda item: item[1],
    )
    share = majority / overall["example_count"]
    # Here and below, "not above" instead of "below": an accuracy that is not a number passes nothing.
    if beat_majority and not overall["accuracy"] > share + _ROUNDING:
        reasons.append(
            f"Overall accuracy {overall['accuracy']:.3f} does not beat always saying {label}, which is right"
            f" for {share:.3f} of the photos."
        )
    if reasons:
        return VerdictRecord("evaluation", "fail", tuple(reasons))
    photos = f"{overall['example_count']:.0f} eval photos"
    summary = f"Accuracy {overall['accuracy']:.3f} on {photos}; every bound holds."
    if baseline is None:
        return VerdictRecord(
            "evaluation",
            "no_baseline",
            (summary, "Nothing is in production yet, so there is no baseline to compare with."),
        )
    before = baseline["overall"]["all"]["accuracy"]
    return VerdictRecord(
        "evaluation", "pass", (summary, f"The model in production has {before:.3f} on the same photos.")
    )


def _broken(
    bound: Mapping[str, Any], candidate: SliceMetrics, baseline: SliceMetrics | None
) -> Iterator[str]:
    kind, metric = bound["slice"], bound["metric"]
    for name, values in candidate[kind].items():
        if values["example_count"] < bound["min_support"]:
            continue
        where = metric if kind == "overall" else f"{metric} of {kind} {name}"
        photos = f"{values['example_count']:.0f} eval photos"
        found = f"{where[0].upper()}{where[1:]} is {values[metric]:.3f} on {photos}"
        if bound["lower"] is not None and not values[metric] >= bound["lower"] - _ROUNDING:
            yield f"{found}; at least {bound['lower']:.3f} is needed."
        before = baseline[kind].get(name) if baseline else None
        drop = before[metric] - values[metric] if before else 0.0
        if before and bound["max_drop"] is not None and not drop <= bound["max_drop"] + _ROUNDING:
            yield (
                f"{found}, {drop:.3f} below the model in production ({before[metric]:.3f});"
                f" at most {bound['max_drop']:.3f} is allowed."
            )


class ModelEvaluatorSpec(ComponentSpec):
    """Parameters and channels of `ModelEvaluator`."""

    PARAMETERS = {
        "eval_config": ExecutionParameter(type=str),
        "labels": ExecutionParameter(type=str),
        "bounds": ExecutionParameter(type=str),
        "beat_majority": ExecutionParameter(type=int),
    }
    INPUTS = {
        "examples": ChannelParameter(type=Examples),
        "model": ChannelParameter(type=Model),
        "baseline_model": ChannelParameter(type=Model),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=ModelEvaluation),
        "blessing": ChannelParameter(type=ModelBlessing),
    }


class ModelEvaluator(BaseBeamComponent):
    """Evaluates a trained model by slice, next to the production model where there is one.

    Args:
        examples: Raw examples; the split `eval` is used.
        model: The trained model.
        baseline_model: `ProductionModel`'s output; left out of the evaluation when its `has_model` is 0.
        eval_config: A `tfma.EvalConfig` as JSON.
        labels: Class names by id.
        bounds: See `judge`.
        beat_majority: See `judge`.
    """

    SPEC_CLASS = ModelEvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(ModelEvaluatorExecutor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel,
        eval_config: str,
        labels: Sequence[str],
        bounds: Sequence[Mapping[str, Any]],
        beat_majority: bool,
    ) -> None:
        super().__init__(
            ModelEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                eval_config=eval_config,
                labels=json.dumps(list(labels)),
                bounds=json.dumps([dict(bound) for bound in bounds], sort_keys=True),
                beat_majority=int(beat_majority),
                evaluation=Channel(type=ModelEvaluation),
                blessing=Channel(type=ModelBlessing),
            )
        )
