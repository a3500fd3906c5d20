"""Evaluator: TFX's own, which also keeps both models' answers to each example, made while TFMA evaluates."""

from typing import Any

from tfx.components.evaluator.executor import Executor
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import Channel, artifact_utils
from tfx.types import standard_artifacts as kinds
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.answer_writer import EXTRACTORS, make_beam_flags
from edgeline.records.workload import Workload


class EvaluatorExecutor(Executor):
    """An executor that evaluates with TFMA, with or without a model in production, and keeps the answers."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Evaluates the candidate and the model in production."""
        workload = Workload.from_json(exec_properties["workload"])
        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        own_flags = make_beam_flags(evaluation, workload)
        self._beam_pipeline_args: list[str] = [*self._beam_pipeline_args, *own_flags]

        # TFX's executor takes no artifact without a model, and none that cannot answer these examples.
        inputs = dict(input_dict)
        baseline = artifact_utils.get_single_instance(inputs["baseline_model"])
        has_model = baseline.get_int_custom_property("has_model") == 1
        if not has_model or baseline.get_string_custom_property("mismatch"):
            del inputs["baseline_model"]
        super().Do(inputs, output_dict, {**exec_properties, "custom_extractors": EXTRACTORS})


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
