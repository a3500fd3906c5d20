"""TFX's Evaluator with an optional production model, bounds with a minimum support, verdict in sentences."""

from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation

from components.declared import LateBeam, declare


class EvaluatorExecutor(LateBeam):
    """Evaluates with TFMA, then judges."""

    runs = "components.evaluator_executor.EvaluatorExecutor"


# `eval_config` is a `tfma.EvalConfig` as JSON. The split is `eval`; where there is a production model, both
# are evaluated on the same examples.
Evaluator = declare(
    "Evaluator",
    EvaluatorExecutor,
    parameters={"eval_config": str, "workload": str, "settings": str, "code": str},
    inputs={"examples": Examples, "model": Model, "baseline_model": Model},
    outputs={"evaluation": ModelEvaluation, "blessing": ModelBlessing},
)
