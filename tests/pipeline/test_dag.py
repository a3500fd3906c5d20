import importlib
import json
import re
from dataclasses import replace

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


def compiled(pipeline):
    """The steps of a pipeline by name, and how each is run."""
    written = Compiler().compile(pipeline)
    deployment = json_format.MessageToDict(written)["deploymentConfig"]
    assert not deployment.get("customDriverSpecs"), "a step has a driver of its own"
    return (
        {node.pipeline_node.node_info.id: node.pipeline_node for node in written.nodes},
        deployment["executorSpecs"],
    )


@pytest.fixture(scope="module")
def nodes(pipeline):
    return compiled(pipeline)[0]


@pytest.fixture(scope="module")
def executors(pipeline):
    return compiled(pipeline)[1]


def parameters(pipeline):
    return parameters_of(compiled(pipeline)[0])


def parameters_of(nodes):
    return {
        name: {key: str(value) for key, value in node.parameters.parameters.items()}
        for name, node in nodes.items()
    }


def test_the_trainer_gets_what_the_tuner_found_where_there_is_one(nodes, settings):
    channels = nodes["Trainer"].inputs.inputs.items()
    found = [channel for name, given in channels if name == "hyperparameters" for channel in given.channels]
    producers = [channel.producer_node_query.id for channel in found]
    assert producers == (["Tuner"] if settings is TUNED else [])


def test_nothing_is_trained_before_the_data_is_admitted(nodes):
    def before(name):
        direct = set(nodes[name].upstream_nodes)
        return direct.union(*(before(step) for step in direct)) if direct else direct

    for name in {"Transform", "Tuner", "Trainer", "Evaluator", "EdgeConverter", "Pusher"} & set(nodes):
        assert "DataGate" in before(name)


def test_each_step_has_an_executor_and_one_artifact_a_channel(nodes, executors, steps):
    # Only steps with an executor are run by one; a resolver has none.
    assert set(executors) == set(steps)
    for node in nodes.values():
        for channel in node.inputs.inputs.values():
            assert len(channel.channels) == 1


def beam_flags(executors):
    return {name: spec["beamPipelineArgs"] for name, spec in executors.items() if "beamPipelineArgs" in spec}


def test_beam_flags_arrive_untouched_at_every_beam_step():
    flags = (
        "--runner=PortableRunner",
        "--job_endpoint=host:8099",
        "--name=with a blank",
        "--twice",
        "--twice",
    )
    settings = Settings.model_validate({"beam": {"flags": flags}})
    assert beam_flags(compiled(dag(settings))[1]) == {step: list(flags) for step in BEAM_STEPS}


def test_flags_that_beam_cannot_read_are_refused_before_the_first_step():
    settings = Settings.model_validate({"beam": {"flags": ["--direct_num_workers=two"]}})
    with pytest.raises(UsageError, match="direct_num_workers: invalid int value: 'two'"):
        dag(settings)


def test_without_flags_each_beam_step_runs_in_memory(executors):
    found = beam_flags(executors)
    assert set(found) == BEAM_STEPS
    for flags in found.values():
        assert {"--direct_running_mode=in_memory", "--direct_num_workers=1"} <= set(flags)


def test_every_class_and_function_is_found_by_its_dotted_path(pipeline, nodes, executors):
    for spec in executors.values():
        path = spec.get("classPath") or spec["pythonExecutorSpec"]["classPath"]
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name)
    for component in pipeline.components:
        if type(component).__module__.startswith("components."):
            found = getattr(importlib.import_module(type(component).__module__), type(component).__name__)
            assert found is type(component)
    functions = {"Tuner": "tuner_fn", "Trainer": "run_fn", "Transform": "preprocessing_fn"}
    for step, parameter in ((step, functions[step]) for step in nodes if step in functions):
        path = nodes[step].parameters.parameters[parameter].field_value.string_value
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_cache_sees_each_change_of_the_world(nodes, settings):
    """What the runner observed is in the parameters of the steps that look at the world, and nowhere else."""
    before = parameters_of(nodes)
    keyed = KEYED_BY_CODE & set(before)
    readers = {
        "the window": {"ExampleGen"},
        "the production": {"ProductionModel"},
        "the code": {*keyed, "Pusher"},
        "the lock": {*keyed, "Pusher"},
        "the run": {"Pusher", "ReleaseGate", "DataGate", "RunReport"},
        "the unjudged": {"StatisticsGen"},
    }
    changed = Observed(**{words.removeprefix("the "): words for words in readers})
    after = parameters(dag(settings, changed))
    for words, steps in readers.items():
        assert {name for name in after if words in str(after[name])} == steps
    # Nothing else is in the key of a step, a digest of it neither.
    assert {name for name in before if before[name] != after[name]} == set().union(*readers.values())

    edited = replace(changed, step_code={step: f"edited {step}." for step in keyed})
    of_each = {
        step: set(re.findall(r"edited \w+", str(of)))
        for step, of in parameters(dag(settings, edited)).items()
    }
    assert of_each == {step: {f"edited {step}"} if step in keyed else set() for step in before}


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
def test_the_table_of_steps_has_the_settings_that_are_in_the_key_of_each(nodes, settings, steps, name):
    group, _, leaf = name.partition(".")
    changed = settings.model_dump(mode="json")
    (changed[group] if leaf else changed)[leaf or group] = OTHER[name]
    other = Settings.model_validate_json(json.dumps(changed))
    before, after = parameters_of(nodes), parameters(dag(other))
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
