"""TFX's own components in the DAG, with the parameters that the DAG gives them.

Each is described at https://www.tensorflow.org/tfx/guide; parameters that are JSON there are JSON here. TFX's
declarations import their executors, and with them TensorFlow; here an executor is imported only when it runs,
not to describe the DAG or to look into the cache.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec, ExecutorClassSpec
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs
from tfx.types import Channel
from tfx.types import standard_artifacts as kinds
from tfx.types.artifact import Artifact
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils.import_utils import import_class_by_path

from components.artifacts import Quarantine
from components.light_tfx import complete_tfx


class Late(BaseExecutor):
    """An executor that imports and runs another one, named by `executor_path`."""

    executor_path: str  # module and class

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Imports the executor and runs it."""
        complete_tfx()
        import_class_by_path(self.executor_path)(self._context).Do(input_dict, output_dict, exec_properties)


def speed_up_beam() -> None:
    """Saves Beam some work that a run with little data spends its time on."""
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.transforms import userstate

    # In memory, state is at hand without this cache, and to measure what the cache holds takes a twentieth of
    # the CPU of a run with little data.
    worker_handlers.STATE_CACHE_SIZE_MB = 0
    if not hasattr(userstate.get_dofn_specs, "cache_info"):
        # Beam inspects the signatures of each DoFn two or three times in a row, a tenth of that CPU.
        userstate.get_dofn_specs = lru_cache(maxsize=1)(userstate.get_dofn_specs)


class LateBeam(Late, BaseBeamExecutor):
    """A `Late` executor with a Beam pipeline."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Imports the executor and runs it."""
        speed_up_beam()
        super().Do(input_dict, output_dict, exec_properties)


def _declare(
    name: str,
    executor_path: str,
    *,
    uses_beam: bool = False,
    parameters: Mapping[str, type] | None = None,
    inputs: Mapping[str, type[Artifact]],
    optional: Mapping[str, type[Artifact]] | None = None,
    outputs: Mapping[str, type[Artifact]],
) -> Any:
    """Returns a component class that runs the executor of that path; its arguments are parameters and inputs.

    A step without an id of its own has the name of the class; `optional` are inputs that may be left out.
    """
    base, late, wrap = (
        (BaseBeamComponent, LateBeam, BeamExecutorSpec)
        if uses_beam
        else (BaseComponent, Late, ExecutorClassSpec)
    )
    executor = type(f"{name}Executor", (late,), {"__module__": __name__, "executor_path": executor_path})
    globals()[executor.__name__] = executor  # TFX finds it in this module by its name
    specification = type(
        f"{name}Spec",
        (ComponentSpec,),
        {
            "PARAMETERS": {key: ExecutionParameter(type=kind) for key, kind in (parameters or {}).items()},
            "INPUTS": {
                **{key: ChannelParameter(type=kind) for key, kind in inputs.items()},
                **{key: ChannelParameter(type=kind, optional=True) for key, kind in (optional or {}).items()},
            },
            "OUTPUTS": {key: ChannelParameter(type=kind) for key, kind in outputs.items()},
        },
    )

    def initialize(self: Any, **arguments: Any) -> None:
        channels = {key: Channel(type=kind) for key, kind in outputs.items()}
        base.__init__(self, specification(**arguments, **channels))

    members = {
        "__module__": __name__,
        "__init__": initialize,
        "SPEC_CLASS": specification,
        "EXECUTOR_SPEC": wrap(executor),
    }
    return type(name, (base,), members)


# `features` is the JSON of `edgeline.gates.drift.select_features`. The release store tells which spans the
# model in production was made from: the other spans and the newest are judged, and their drift from those is
# measured. `unjudged` names the spans to judge, which keys the cache; empty where each step runs afresh.
StatisticsGen = _declare(
    "StatisticsGen",
    "components.statistics_gen.StatisticsExecutor",
    uses_beam=True,
    parameters={"features": str, "push": str, "model_name": str, "unjudged": str, "code": str},
    inputs={"examples": kinds.Examples},
    outputs={"statistics": kinds.ExampleStatistics},
)

SchemaGen = _declare(
    "SchemaGen",
    "tfx.components.schema_gen.executor.Executor",
    parameters={"infer_feature_shape": int},
    inputs={"statistics": kinds.ExampleStatistics},
    outputs={"schema": kinds.Schema},
)

ExampleValidator = _declare(
    "ExampleValidator",
    "tfx.components.example_validator.executor.Executor",
    inputs={"statistics": kinds.ExampleStatistics, "schema": kinds.Schema},
    outputs={"anomalies": kinds.ExampleAnomalies},
)

# The only output is the graph: no transformed examples, and no statistics of them.
Transform = _declare(
    "Transform",
    "components.transform.TransformExecutor",
    uses_beam=True,
    parameters={"preprocessing_fn": str, "custom_config": str, "disable_statistics": int},
    inputs={"examples": kinds.Examples, "schema": kinds.Schema},
    outputs={"transform_graph": kinds.TransformGraph},
)

_LEARNED_FROM = {"examples": kinds.Examples, "transform_graph": kinds.TransformGraph, "schema": kinds.Schema}
_LEARNED_HOW = {"train_args": TrainArgs, "eval_args": EvalArgs, "custom_config": str}

Tuner = _declare(
    "Tuner",
    "components.tuner.TunerExecutor",
    parameters={"tuner_fn": str, **_LEARNED_HOW},
    inputs=_LEARNED_FROM,
    outputs={"best_hyperparameters": kinds.HyperParameters, "tuner_results": kinds.TunerResults},
)

Trainer = _declare(
    "Trainer",
    "tfx.components.trainer.executor.GenericExecutor",
    parameters={"run_fn": str, **_LEARNED_HOW},
    inputs=_LEARNED_FROM,
    optional={"hyperparameters": kinds.HyperParameters},
    outputs={"model": kinds.Model, "model_run": kinds.ModelRun},
)

# `eval_config` is a `tfma.EvalConfig` as JSON. The split is `eval`; a production model is evaluated on the
# same examples. `model_run` may have answers out of fold, which are judged too, and `quarantine` near twins:
# if these are too many by the settings `gate`, the model is judged without them.
Evaluator = _declare(
    "Evaluator",
    "components.evaluator.EvaluatorExecutor",
    uses_beam=True,
    parameters={"eval_config": str, "workload": str, "settings": str, "code": str},
    inputs={
        "examples": kinds.Examples,
        "model": kinds.Model,
        "model_run": kinds.ModelRun,
        "quarantine": Quarantine,
        "baseline_model": kinds.Model,
    },
    outputs={"evaluation": kinds.ModelEvaluation, "blessing": kinds.ModelBlessing},
)
