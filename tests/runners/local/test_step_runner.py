from pathlib import Path

import pytest
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline

from edgeline.errors import Problem
from edgeline.failures import describe
from edgeline.records.events import Planned, StepChanged
from runners.local.step_runner import StepRunner

# A module of its own, since TFX imports executors by name.
NODES = """
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model, Schema
from edgeline.errors import HeldBack

@component
def Write(schema: OutputArtifact[Schema], text: Parameter[str]):
    open(schema.uri + "/schema.pbtxt", "w").write(text)

@component
def Judge(schema: InputArtifact[Schema], model: OutputArtifact[Model]):
    if "bad" in open(schema.uri + "/schema.pbtxt").read():
        raise HeldBack("It is bad.", "Bad is not good.", "Fix it.")
    open(model.uri + "/model", "w").write("good")
"""


def run(name, text, folder):
    # The test's own folder is on the path by now.
    from nodes import Judge, Write

    said, problem = [], None
    write = Write(text=text)
    judge = Judge(schema=write.outputs["schema"])
    metadata = sqlite_metadata_connection_config(f"{folder}/metadata.sqlite")
    pipeline = Pipeline(
        "drill", f"{folder}/artifacts", metadata, components=[write, judge], enable_cache=True
    )
    runner = StepRunner(name, said.append, Path(folder, "checkpoints"))
    try:
        runner.run(pipeline)
    except Exception as raised:
        problem = describe(raised, runner.step)
    return said, problem


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs of a DAG of two nodes: a first one, the same again, and one whose second node refuses."""
    folder = tmp_path_factory.mktemp("drill")
    (folder / "nodes.py").write_text(NODES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        texts = {"one": "good", "two": "good", "three": "bad"}
        return [run(name, text, folder) for name, text in texts.items()]


def states(run):
    return [(event.step.name, event.step.state) for event in run[0] if isinstance(event, StepChanged)]


def outputs(run):
    return [artifact for event in run[0] if isinstance(event, StepChanged) for artifact in event.artifacts]


@pytest.mark.e2e
def test_steps_are_told_as_they_run_and_their_outputs_recorded_file_by_file(runs):
    first = runs[0]

    assert first[0][0] == Planned(("Write", "Judge"))
    assert states(first) == [("Write", "running"), ("Write", "done"), ("Judge", "running"), ("Judge", "done")]
    written, judged = outputs(first)
    assert (written.step, written.output, written.files) == ("Write", "schema", {"schema.pbtxt": 4})
    assert (judged.step, judged.files) == ("Judge", {"model": 4})


@pytest.mark.e2e
def test_the_same_again_is_cached_with_the_outputs_of_the_first_run(runs):
    first, second, _ = runs

    assert states(second) == [
        ("Write", "running"),
        ("Write", "cached"),
        ("Judge", "running"),
        ("Judge", "cached"),
    ]
    assert outputs(second) == outputs(first)


@pytest.mark.e2e
def test_a_step_that_refuses_is_told_as_failed_and_its_error_keeps_its_parts(runs):
    third = runs[2]

    assert states(third) == [
        ("Write", "running"),
        ("Write", "done"),
        ("Judge", "running"),
        ("Judge", "held"),
    ]
    assert third[1] == Problem("It is bad.", "Bad is not good.", "Fix it.", exit_code=3)
