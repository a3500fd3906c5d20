"""Evaluator: TFX's own, which also keeps both models' answers to each example, made while TFMA evaluates.

TFMA's own confidence intervals are not a substitute: its bootstrap and its jackknife take no seed from a
config, so that a verdict could change from run to run, and neither covers metrics counted from confusion
matrices.
"""

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.components.evaluator.executor import Executor
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import Channel, artifact_utils
from tfx.types import standard_artifacts as kinds
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.answers import MODELS, PREFIX, SCHEMA
from data.spans.tfrecords import format_value
from edgeline.gates.answers import name_own_group
from edgeline.records.workload import Workload

# TFX's executor finds `extractors` by this name.
_EXTRACTORS = "components.evaluator.extractors"


class EvaluatorExecutor(Executor):
    """An executor that evaluates with TFMA, with or without a model in production, and keeps the answers."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Evaluates the candidate and the model in production."""
        workload = Workload.from_json(exec_properties["workload"])
        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        own_flags = _make_beam_flags(evaluation, workload)
        self._beam_pipeline_args: list[str] = [*self._beam_pipeline_args, *own_flags]

        # TFX's executor takes no artifact without a model.
        inputs = dict(input_dict)
        if not _is_comparable(artifact_utils.get_single_instance(inputs["baseline_model"])):
            del inputs["baseline_model"]
        super().Do(inputs, output_dict, {**exec_properties, "custom_extractors": _EXTRACTORS})


class EvaluatorSpec(ComponentSpec):
    """The parameters, inputs and outputs of `Evaluator`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in ("eval_config", "workload", "code")}
    INPUTS = {
        "examples": ChannelParameter(type=kinds.Examples),
        "model": ChannelParameter(type=kinds.Model),
        "baseline_model": ChannelParameter(type=kinds.Model),
    }
    OUTPUTS = {"evaluation": ChannelParameter(type=kinds.ModelEvaluation)}


class Evaluator(BaseBeamComponent):
    """A step that evaluates the candidate and the model in production on the split `eval`.

    `eval_config` is a `tfma.EvalConfig` as JSON.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(EvaluatorExecutor)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(EvaluatorSpec(**arguments, evaluation=Channel(type=kinds.ModelEvaluation)))


def _is_comparable(baseline: Any) -> bool:
    """Returns whether there is a model in production, and it can answer these examples."""
    has_model: bool = baseline.get_int_custom_property("has_model") == 1
    return has_model and not baseline.get_string_custom_property("mismatch")


class _Options(PipelineOptions):
    """The parameters of `extractors`, as options of the pipeline: TFX passes them no arguments of ours."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--answers_prefix")
        parser.add_argument("--answers_id")
        parser.add_argument("--answers_group")


def _make_beam_flags(evaluation: str, workload: Workload) -> list[str]:
    """Returns the Beam flags that have the answers written below the folder of TFMA's results."""
    names = (f"--answers_id={workload.id}", f"--answers_group={workload.group}")
    return [f"--answers_prefix={evaluation}/{PREFIX}", *names]


def extractors(eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any) -> list[Any]:
    """Returns TFMA's extractors, and one that writes what they extract."""
    defaults = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    return [*defaults, tfma.extractors.Extractor("WriteAnswers", _WriteAnswers())]


class _WriteAnswers(beam.PTransform):
    def expand(self, extracts: Any) -> Any:
        options = extracts.pipeline.options.view_as(_Options)
        _ = (
            extracts
            | beam.Map(_make_row, options.answers_id, options.answers_group)
            | beam.io.WriteToParquet(options.answers_prefix, SCHEMA, file_name_suffix=".parquet")
        )
        return extracts


def _make_row(extracts: Mapping[str, Any], id: str, group: str) -> dict[str, Any]:
    """Returns one row of the file, with the candidate's labels: a model in production may know fewer."""
    slices = [pair for key in extracts[tfma.SLICE_KEY_TYPES_KEY] for pair in key]
    features = extracts[tfma.FEATURES_KEY]
    name = format_value(np.ravel(features[id])[0])
    groups = [format_value(value) for value in np.ravel(features.get(group, ())) if value]
    labels, predictions = extracts[tfma.LABELS_KEY], extracts[tfma.PREDICTIONS_KEY]
    # TFMA leaves the names of models out where there is only one.
    by_model = predictions if isinstance(predictions, Mapping) else {"candidate": predictions}
    return {
        "id": name,
        # An example without a group is a group of its own.
        "group": groups[0] if groups else name_own_group(name),
        "label": int(np.ravel(labels["candidate"] if isinstance(labels, Mapping) else labels)[0]),
        **{model: np.ravel(by_model[model]).tolist() if model in by_model else None for model in MODELS},
        "features": [feature for feature, _ in slices],
        "values": [format_value(value) for _, value in slices],
    }
