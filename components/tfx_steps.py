"""Those of TFX's own components that the DAG has, with the parameters that it gives them.

Each is described at https://www.tensorflow.org/tfx/guide; what is JSON there is JSON here.
"""

from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs
from tfx.types import standard_artifacts as kinds

from components.artifacts import Quarantine
from components.declared import Late, LateBeam, declare


def _late(name: str, runs: str, base: type[Late] = Late) -> type[Late]:
    """The executor of a step, that TFX finds here by its name and that runs the one of `runs`."""
    return type(name, (base,), {"__module__": __name__, "runs": runs})


StatisticsGenExecutor = _late(
    "StatisticsGenExecutor", "components.statistics_executor.StatisticsExecutor", LateBeam
)
SchemaGenExecutor = _late("SchemaGenExecutor", "tfx.components.schema_gen.executor.Executor")
ExampleValidatorExecutor = _late(
    "ExampleValidatorExecutor", "tfx.components.example_validator.executor.Executor"
)
TransformExecutor = _late("TransformExecutor", "tfx.components.transform.executor.Executor", LateBeam)
TunerExecutor = _late("TunerExecutor", "components.tuner_executor.Executor")
TrainerExecutor = _late("TrainerExecutor", "tfx.components.trainer.executor.GenericExecutor")
EvaluatorExecutor = _late("EvaluatorExecutor", "components.evaluator_executor.EvaluatorExecutor", LateBeam)

# `features` is what `gates.drift.features_to_count` gives, as JSON; `kept` the folder in which what was
# counted of each span stays for the next run, empty where runs share none.
StatisticsGen = declare(
    "StatisticsGen",
    StatisticsGenExecutor,
    parameters={"features": str, "kept": str, "code": str},
    inputs={"examples": kinds.Examples},
    outputs={"statistics": kinds.ExampleStatistics},
)

SchemaGen = declare(
    "SchemaGen",
    SchemaGenExecutor,
    parameters={"infer_feature_shape": int},
    inputs={"statistics": kinds.ExampleStatistics},
    outputs={"schema": kinds.Schema},
)

ExampleValidator = declare(
    "ExampleValidator",
    ExampleValidatorExecutor,
    inputs={"statistics": kinds.ExampleStatistics, "schema": kinds.Schema},
    outputs={"anomalies": kinds.ExampleAnomalies},
)

# It puts out the graph alone: no examples that went through it, no statistics of them.
Transform = declare(
    "Transform",
    TransformExecutor,
    parameters={"preprocessing_fn": str, "custom_config": str, "disable_statistics": int},
    inputs={"examples": kinds.Examples, "schema": kinds.Schema},
    outputs={"transform_graph": kinds.TransformGraph},
)

_LEARNED_FROM = {"examples": kinds.Examples, "transform_graph": kinds.TransformGraph, "schema": kinds.Schema}
_LEARNED_HOW = {"train_args": TrainArgs, "eval_args": EvalArgs, "custom_config": str}

Tuner = declare(
    "Tuner",
    TunerExecutor,
    parameters={"tuner_fn": str, **_LEARNED_HOW},
    inputs=_LEARNED_FROM,
    outputs={"best_hyperparameters": kinds.HyperParameters, "tuner_results": kinds.TunerResults},
)

Trainer = declare(
    "Trainer",
    TrainerExecutor,
    parameters={"run_fn": str, **_LEARNED_HOW},
    inputs=_LEARNED_FROM,
    optional={"hyperparameters": kinds.HyperParameters},
    outputs={"model": kinds.Model, "model_run": kinds.ModelRun},
)

# `eval_config` is a `tfma.EvalConfig` as JSON. The split is `eval`; where there is a production model, both
# are evaluated on the same examples. `model_run` may have answers out of fold, which are judged too, and
# `quarantine` near twins, without which the model is judged where they are too many by the settings `gate`.
Evaluator = declare(
    "Evaluator",
    EvaluatorExecutor,
    parameters={"eval_config": str, "workload": str, "settings": str, "gate": str, "code": str},
    inputs={
        "examples": kinds.Examples,
        "model": kinds.Model,
        "model_run": kinds.ModelRun,
        "quarantine": Quarantine,
        "baseline_model": kinds.Model,
    },
    outputs={"evaluation": kinds.ModelEvaluation, "blessing": kinds.ModelBlessing},
)
