import importlib
import json
import re

import pytest
from google.protobuf import json_format
from tfx.dsl.compiler.compiler import Compiler

from components import artifacts
from edgeline.errors import UsageError
from edgeline.records.run import flatten
from edgeline.records.steps import STEPS, select_steps
from pipeline.dag import Observed, Paths, create_pipeline
from pipeline.settings import Settings
from pipeline.workloads import BUILT_IN, with_features

TUNED = Settings.model_validate(
    {"tune": {"max_trials": 3, "space": {"trainer.learning_rate": [0.001, 0.01]}}}
)
KEYED_BY_CODE = {step for step, info in STEPS.items() if info.has_code}
BEAM_STEPS = {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"}
# TFX's rule for the names of artifact types on Kubeflow Pipelines.
TYPE_NAME = re.compile(r"^[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}$")


def dag(settings=None, observed=None):
    paths = Paths("data", "artifacts", "./metadata.sqlite", "push", "checkpoints")
    shelf, seen = with_features(BUILT_IN["shelf"]), observed or Observed("w", "p", "c", "l", "r")
    return create_pipeline(shelf, settings or Settings(), paths, seen)


@pytest.fixture(scope="module", params=[Settings(), TUNED], ids=["plain", "tuned"])
def settings(request):
    return request.param


@pytest.fixture(scope="module")
def pipeline(settings):
    return dag(settings)


@pytest.fixture(scope="module")
def steps(settings):
    """What the table of steps has of these settings."""
    return select_steps(flatten(settings.recorded()), {})


def nodes(pipeline):
    return {
        node.pipeline_node.node_info.id: node.pipeline_node for node in Compiler().compile(pipeline).nodes
    }


def deployment(pipeline):
    """What the compiled pipeline says of how its steps are run."""
    return json_format.MessageToDict(Compiler().compile(pipeline))["deploymentConfig"]


def test_the_trainer_gets_what_the_tuner_found_where_there_is_one(pipeline, settings):
    given = nodes(pipeline)["Trainer"].inputs.inputs
    producers = [channel.producer_node_query.id for channel in given["hyperparameters"].channels]
    assert producers == (["Tuner"] if settings is TUNED else [])


def test_nothing_is_trained_before_the_data_is_admitted(pipeline):
    compiled = nodes(pipeline)

    def before(name):
        direct = set(compiled[name].upstream_nodes)
        return direct.union(*(before(step) for step in direct)) if direct else direct

    for name in {"Transform", "Tuner", "Trainer", "Evaluator", "EdgeConverter", "Pusher"} & set(compiled):
        assert "DataGate" in before(name)


def test_no_step_has_a_driver_of_its_own_or_is_a_resolver(pipeline, steps):
    assert not deployment(pipeline).get("customDriverSpecs")
    # Only steps with an executor are run by one; a resolver has none.
    assert set(deployment(pipeline)["executorSpecs"]) == set(steps)


def test_each_channel_carries_one_artifact(pipeline):
    for node in nodes(pipeline).values():
        for channel in node.inputs.inputs.values():
            assert len(channel.channels) == 1


def beam_flags(pipeline):
    specs = deployment(pipeline)["executorSpecs"]
    return {name: spec["beamPipelineArgs"] for name, spec in specs.items() if "beamPipelineArgs" in spec}


def test_beam_flags_arrive_untouched_at_every_beam_step():
    flags = (
        "--runner=PortableRunner",
        "--job_endpoint=host:8099",
        "--name=with a blank",
        "--twice",
        "--twice",
    )
    settings = Settings.model_validate({"beam": {"flags": flags}})
    assert beam_flags(dag(settings)) == {step: list(flags) for step in BEAM_STEPS}


def test_flags_that_beam_cannot_read_are_refused_before_the_first_step():
    settings = Settings.model_validate({"beam": {"flags": ["--direct_num_workers=two"]}})
    with pytest.raises(UsageError, match="direct_num_workers: invalid int value: 'two'"):
        dag(settings)


def test_without_flags_each_beam_step_runs_in_memory(pipeline):
    found = beam_flags(pipeline)
    assert set(found) == BEAM_STEPS
    for flags in found.values():
        assert {"--direct_running_mode=in_memory", "--direct_num_workers=1"} <= set(flags)


def test_every_class_and_function_is_found_by_its_dotted_path(pipeline):
    for spec in deployment(pipeline)["executorSpecs"].values():
        path = spec.get("classPath") or spec["pythonExecutorSpec"]["classPath"]
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name)
    for component in pipeline.components:
        if type(component).__module__.startswith("components."):
            found = getattr(importlib.import_module(type(component).__module__), type(component).__name__)
            assert found is type(component)
    parameters = nodes(pipeline)
    functions = {"Tuner": "tuner_fn", "Trainer": "run_fn", "Transform": "preprocessing_fn"}
    for step, parameter in ((step, functions[step]) for step in parameters if step in functions):
        path = parameters[step].parameters.parameters[parameter].field_value.string_value
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_cache_sees_each_change_of_the_world(pipeline, settings):
    """What the runner observed is in the parameters of the steps that look at the world, and nowhere else."""

    before = parameters(pipeline)
    keyed = KEYED_BY_CODE & set(before)
    for changed, steps in (
        (Observed("W", "p", "c", "l", "r"), {"ExampleGen"}),
        (Observed("w", "P", "c", "l", "r"), {"ProductionModel"}),
        (Observed("w", "p", "c", "l", "r", unjudged="span-00042"), {"StatisticsGen"}),
        (
            Observed("w", "p", "c", "l", "R"),
            {"Pusher", "ReleaseGate", "DataGate", "RunReport"},
        ),
        (Observed("w", "p", "C", "l", "r"), {*keyed, "Pusher"}),
        (Observed("w", "p", "c", "L", "r"), {*keyed, "Pusher"}),
        *((Observed("w", "p", "c", "l", "r", step_code={step: "edited"}), {step}) for step in keyed),
    ):
        after = parameters(dag(settings, changed))
        assert {name for name in before if before[name] != after[name]} == steps


def parameters(pipeline):
    return {
        name: {key: str(value) for key, value in node.parameters.parameters.items()}
        for name, node in nodes(pipeline).items()
    }


def test_the_table_of_steps_has_what_each_step_reads(pipeline, steps):
    for step in pipeline.components:
        read = {channel.producer_component_id for channel in step.inputs.values()}
        assert read == set(steps[step.id].after), step.id
    assert {step.id for step in pipeline.components} == set(steps)
    order = list(STEPS)
    assert all(order.index(before) < order.index(step) for step in order for before in STEPS[step].after)


OTHER = {
    "seed": 21,
    "data.window": 4,
    "gate.min_examples_per_class": 7,
    "model.image_size": 64,
    "model.backbone": "mobilenet_v3_small",
    "trainer.epochs": 3,
    "tune.objective": "val_recall",
    "evaluation.beat_majority": False,
    "edge.variants": ["int8"],
    "edge.calibration_examples": 7,
    "edge.min_agreement": 0.5,
    "edge.max_size_mb": 1.0,
    "push.expires_days": 7,
    "push.rollback_epoch": 3,
    "beam.flags": ["--direct_num_workers=2"],
}


@pytest.mark.parametrize("name", OTHER)
def test_the_table_of_steps_has_the_settings_that_are_in_the_key_of_each(pipeline, settings, steps, name):
    group, _, leaf = name.partition(".")
    changed = settings.model_dump(mode="json")
    (changed[group] if leaf else changed)[leaf or group] = OTHER[name]
    other = Settings.model_validate_json(json.dumps(changed))
    before, after = parameters(pipeline), parameters(dag(other))
    keyed = {step for step, info in steps.items() if info.each_run is False and info.takes(name)}
    different = {step for step in before if before[step] != after[step]}
    assert different - {step for step, info in STEPS.items() if info.each_run} == keyed


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(artifacts).values() if getattr(kind, "__module__", "") == artifacts.__name__],
)
def test_own_artifact_types_can_be_found_by_their_name(kind):
    assert TYPE_NAME.fullmatch(kind.TYPE_NAME)
    module, _, attribute = kind.TYPE_NAME.rpartition(".")
    assert getattr(importlib.import_module(module), attribute) is kind
