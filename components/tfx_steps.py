"""TFX's own components in the DAG, with the parameters that the DAG gives them.

Each is described at https://www.tensorflow.org/tfx/guide; parameters that are JSON there are JSON here.
"""

from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs
from tfx.types import standard_artifacts as kinds

from components.artifacts import Quarantine
from components.declared import Late, LateBeam, declare


def _defer(name: str, runs: str, base: type[Late] = Late) -> type[Late]:
    """Returns an executor that TFX finds in this module by its name, and that imports and runs `runs`."""
    return type(name, (base,), {"__module__": __name__, "runs": runs})


StatisticsGenExecutor = _defer(
    "StatisticsGenExecutor", "components.statistics_gen.StatisticsExecutor", LateBeam
)
SchemaGenExecutor = _defer("SchemaGenExecutor", "tfx.components.schema_gen.executor.Executor")
ExampleValidatorExecutor = _defer(
    "ExampleValidatorExecutor", "tfx.components.example_validator.executor.Executor"
)
TransformExecutor = _defer("TransformExecutor", "components.transform.TransformExecutor", LateBeam)
TunerExecutor = _defer("TunerExecutor", "components.tuner.TunerExecutor")
TrainerExecutor = _defer("TrainerExecutor", "tfx.components.trainer.executor.GenericExecutor")
EvaluatorExecutor = _defer("EvaluatorExecutor", "components.evaluator.EvaluatorExecutor", LateBeam)

# `features` is the JSON of `edgeline.gates.drift.features_to_count`; `kept` is the folder in which the counts
# of each span stay for the next run, empty where runs share none.
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

# The only output is the graph: no transformed examples, and no statistics of them.
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

# `eval_config` is a `tfma.EvalConfig` as JSON. The split is `eval`; a production model is evaluated on the
# same examples. `model_run` may have answers out of fold, which are judged too, and `quarantine` near twins:
# if these are too many by the settings `gate`, the model is judged without them.
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
