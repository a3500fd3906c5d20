import json
import re
from dataclasses import replace

import pytest
from google.protobuf import json_format
from tfx.dsl.compiler.compiler import Compiler

from docs.draw_dag import find_all_before, find_waits
from edgeline.errors import UsageError
from edgeline.records.steps import STEPS, select_steps
from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE
from pipeline.dag import Observed, Paths, create_pipeline
from pipeline.settings import Settings
from pipeline.workloads import find_workload, with_features

TUNED = Settings.model_validate(
    {"tune": {"max_trials": 3, "space": {"trainer.learning_rate": [0.001, 0.01]}}}
)
KEYED_BY_CODE = {step for step, info in STEPS.items() if info.has_code}
BEAM_STEPS = {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"}


def dag(settings=None, observed=None):
    paths = Paths("data", "artifacts", "./metadata.sqlite", "push", "checkpoints")
    observed = observed or Observed("w", "p", "c", "l", "r")
    return create_pipeline(with_features(find_workload("shelf")), settings or Settings(), paths, observed)


def list_steps(settings):
    """Returns the rows of the table of steps for these settings."""
    return select_steps(settings.tune.max_trials > 0, {})


def compiled(pipeline):
    """Returns the nodes of a pipeline by name, and its executors."""
    intermediate = Compiler().compile(pipeline)
    deployment = json_format.MessageToDict(intermediate)["deploymentConfig"]
    assert not deployment.get("customDriverSpecs"), "a step has a driver of its own"
    return (
        {node.pipeline_node.node_info.id: node.pipeline_node for node in intermediate.nodes},
        deployment["executorSpecs"],
    )


@pytest.fixture(scope="module")
def nodes():
    return compiled(dag(TUNED))[0]


def get_parameters(nodes):
    return {
        name: {key: str(value) for key, value in node.parameters.parameters.items()}
        for name, node in nodes.items()
    }


def test_nothing_is_trained_before_the_data_is_admitted():
    waits = find_waits()
    for name in ("Transform", "Tuner", "Trainer", "Evaluator", "ModelValidator", "EdgeConverter", "Pusher"):
        assert "DataGate" in find_all_before(waits, name)


@pytest.mark.parametrize(
    "flags", [(), ("--job_endpoint=host:8099", "--name=with a blank", "--twice", "--twice")]
)
def test_beam_flags_arrive_untouched_at_every_beam_step(flags):
    executors = compiled(dag(Settings.model_validate({"beam": {"flags": flags}})))[1]
    args = {name: spec["beamPipelineArgs"] for name, spec in executors.items() if "beamPipelineArgs" in spec}
    assert args == {step: list(flags or FASTEST_ON_ONE_MACHINE) for step in BEAM_STEPS}


def test_flags_that_beam_cannot_read_are_refused_before_the_first_step():
    settings = Settings.model_validate({"beam": {"flags": ["--direct_num_workers=two"]}})
    with pytest.raises(UsageError, match="direct_num_workers: invalid int value: 'two'"):
        dag(settings)


def test_the_cache_sees_each_change_of_the_world(nodes):
    """An observation of the runner is in the parameters of the steps that use it, and of no others."""
    before = get_parameters(nodes)
    keyed = KEYED_BY_CODE & set(before)
    readers = {
        "the window": {"ExampleGen"},
        "the production": {"ProductionModel"},
        "the code": {*keyed, "Pusher"},
        "the lock": {*keyed, "Pusher"},
        "the run": {"Pusher", "ReleaseGate", "DataGate", "RunReport"},
        "the unjudged": {"StatisticsGen"},
        "the weights": {"Tuner", "Trainer"},
        "the slow": {"EdgeValidator"},
    }
    changed = Observed(**{words.removeprefix("the "): words for words in readers})
    after = get_parameters(compiled(dag(TUNED, changed))[0])
    for words, steps in readers.items():
        assert {name for name in after if words in str(after[name])} == steps
    # No other step has it in its key, not even as a digest.
    assert {name for name in before if before[name] != after[name]} == set().union(*readers.values())

    edited = replace(changed, step_code={step: f"edited {step}." for step in keyed})
    edits = {
        step: set(re.findall(r"edited \w+", str(parameters)))
        for step, parameters in get_parameters(compiled(dag(TUNED, edited))[0]).items()
    }
    assert edits == {step: {f"edited {step}"} if step in keyed else set() for step in before}


@pytest.mark.parametrize("settings", [Settings(), TUNED], ids=["plain", "tuned"])
def test_the_table_of_steps_has_what_each_step_reads(settings):
    pipeline, steps = dag(settings), list_steps(settings)
    for step in pipeline.components:
        producers = {channel.producer_component_id for channel in step.inputs.values()}
        assert producers == set(steps[step.id].after), step.id
    assert {step.id for step in pipeline.components} == set(steps)
    order = list(STEPS)
    assert all(order.index(before) < order.index(step) for step in order for before in STEPS[step].after)


OTHER = {
    "seed": 21,
    "data.window": 4,
    "gate.min_examples_per_class": 7,
    "model.image_size": 64,
    "trainer.epochs": 3,
    "tune.objective": "val_recall",
    "evaluation.beat_majority": False,
    "edge.variants": ["int8"],
    "edge.min_agreement": 0.5,
    "push.expires_days": 7,
    "beam.flags": ["--direct_num_workers=2"],
}


@pytest.mark.parametrize("name", OTHER)
def test_the_table_of_steps_has_the_settings_that_are_in_the_key_of_each(nodes, name):
    group, _, leaf = name.partition(".")
    changed = TUNED.model_dump(mode="json")
    (changed[group] if leaf else changed)[leaf or group] = OTHER[name]
    other = Settings.model_validate_json(json.dumps(changed))
    before, after = get_parameters(nodes), get_parameters(compiled(dag(other))[0])
    keyed = {step for step, info in list_steps(TUNED).items() if info.each_run is False and info.takes(name)}
    different = {step for step in before if before[step] != after[step]}
    assert different - {step for step, info in STEPS.items() if info.each_run} == keyed
