import sys

import pytest

from edgeline.errors import UsageError
from edgeline.records.steps import select_steps
from pipeline import settings
from tests.pipeline.test_dag import compiled, dag

MODULE = """
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples


@component
def Clean(examples: InputArtifact[Examples], cleaned: OutputArtifact[Examples], most: Parameter[float]):
    pass


@component
def Check(examples: InputArtifact[Examples]):
    pass
"""
CLEAN = {
    "component": "own_components.Clean",
    "inputs": {"examples": "ExampleGen.examples"},
    "parameters": {"most": 1.0},
    "feeds": {"Trainer.examples": "cleaned"},
}
CHECK = {"component": "own_components.Check", "inputs": {"examples": "Clean.cleaned"}, "before": ["Trainer"]}


@pytest.fixture(autouse=True)
def write_module(tmp_path, monkeypatch):
    (tmp_path / "own_components.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("own_components", None)


def load_steps(own, **groups):
    return settings.load_settings({"steps": own, **groups})


def compile_dag(own):
    return compiled(dag(load_steps(own)))[0]


def test_a_step_of_ones_own_feeds_the_steps_that_it_names_and_waits_for_the_gate():
    nodes = compile_dag({"Clean": CLEAN, "Check": CHECK})

    assert set(nodes["Clean"].upstream_nodes) == {"ExampleGen", "DataGate"}
    assert {"Clean", "Check"} <= set(nodes["Trainer"].upstream_nodes)
    assert nodes["Trainer"].inputs.inputs["examples"].channels[0].producer_node_query.id == "Clean"
    assert nodes["Evaluator"].inputs.inputs["examples"].channels[0].producer_node_query.id == "ExampleGen"


def test_a_step_that_reads_what_another_makes_feeds_the_steps_behind_both():
    chained = {**CLEAN, "inputs": {"examples": "Clean.cleaned"}}
    nodes = compile_dag({"Clean": {**CLEAN, "feeds": {}}, "Cut": chained})

    assert nodes["Trainer"].inputs.inputs["examples"].channels[0].producer_node_query.id == "Cut"
    assert nodes["Cut"].inputs.inputs["examples"].channels[0].producer_node_query.id == "Clean"


def test_a_step_before_the_gate_does_not_wait_for_it():
    nodes = compile_dag({"Clean": {**CLEAN, "feeds": {"StatisticsGen.examples": "cleaned"}}})

    assert set(nodes["Clean"].upstream_nodes) == {"ExampleGen"}


def test_a_step_of_ones_own_may_feed_the_search_of_a_run_that_searches():
    both = {**CLEAN, "feeds": {"Tuner.examples": "cleaned", **CLEAN["feeds"]}}
    tune = {"max_trials": 2, "space": {"trainer": {"learning_rate": [0.001, 0.003]}}}
    recorded = load_steps({"Clean": both}, tune=tune).recorded()

    steps = select_steps(True, recorded["steps"])

    assert "Clean" in steps["Tuner"].after and list(steps).index("Clean") < list(steps).index("Tuner")


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"Trainer": CLEAN}, "steps.Trainer: the DAG has a step of that name"),
        ({"clean": CLEAN}, "steps.clean: a step's name has letters and digits, a capital first"),
        ({"Clean": {**CLEAN, "component": "Clean"}}, "'Clean' has no dot between two names"),
        ({"Clean": {**CLEAN, "inputs": {"examples": "Gen.examples"}}}, "Gen is not one of the steps"),
        ({"Check": CHECK, "Clean": CLEAN}, "Clean is not one of the steps before it"),
        ({"Clean": {**CLEAN, "inputs": {"model": "Trainer.model"}}}, "Trainer runs before what Clean reads"),
        # The run has no search.
        ({"Clean": {**CLEAN, "feeds": {"Tuner.examples": "cleaned"}}}, "Tuner is not one of the steps befo"),
        ({"Tuner": CLEAN}, "steps.Tuner: the DAG has a step of that name"),
        (
            {"Clean": CLEAN, "Cut": {**CLEAN, "feeds": {"Transform.examples": "cleaned", **CLEAN["feeds"]}}},
            "steps.Cut: Clean feeds Trainer.examples already: let Cut read what Clean makes, and let only",
        ),
    ],
)
def test_impossible_settings_of_steps_are_refused_before_anything_runs(own, problem):
    with pytest.raises(UsageError) as caught:
        load_steps(own)
    assert problem in caught.value.found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"component": "own_components.Clear"}, "has no Clear"),
        ({"component": "no_components.Clean"}, "No module named 'no_components'"),
        ({"inputs": {"examples": "ExampleGen.example"}}, "example is not one of the outputs of ExampleGen"),
        ({"inputs": {"examples": "StatisticsGen.statistics"}}, "own_components.Clean cannot be made"),
        ({"parameters": {}}, "own_components.Clean cannot be made"),
        ({"feeds": {"Trainer.examples": "clean"}}, "clean is not one of the outputs of Clean: cleaned"),
        ({"feeds": {"Trainer.example": "cleaned"}}, "example is not one of the inputs of Trainer"),
        ({"feeds": {"Transform.schema": "cleaned"}}, "schema takes Schema, but Clean.cleaned is Examples"),
    ],
)
def test_a_component_that_does_not_fit_is_refused_with_the_names_that_do(change, problem):
    with pytest.raises(UsageError) as caught:
        compile_dag({"Clean": {**CLEAN, **change}})
    assert problem in f"{caught.value.found} {caught.value.why}"
