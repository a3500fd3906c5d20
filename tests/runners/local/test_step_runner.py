import pytest
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline

from edgeline.errors import Problem
from edgeline.failures import describe_error
from edgeline.records.events import Planned
from runners.local.step_runner import StepRunner

# It is a module of its own, since TFX imports executors by name.
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


def run(name, folder):
    # The folder of the test is on the path by now.
    from nodes import Judge, Write

    events = []
    write = Write(text="bad")
    judge = Judge(schema=write.outputs["schema"])
    metadata = sqlite_metadata_connection_config(f"{folder}/metadata.sqlite")
    pipeline = Pipeline(
        "drill", f"{folder}/artifacts", metadata, components=[write, judge], enable_cache=True
    )
    runner = StepRunner(name, events.append, folder / "checkpoints")
    with pytest.raises(Exception) as caught:
        runner.run(pipeline)
    return events, describe_error(caught.value, runner.step)


@pytest.mark.e2e
def test_steps_are_reported_as_they_run_with_their_outputs_and_the_parts_of_an_error(tmp_path, monkeypatch):
    (tmp_path / "nodes.py").write_text(NODES)
    monkeypatch.syspath_prepend(tmp_path)
    (planned, *first), problem = run("one", tmp_path)
    second, _ = run("two", tmp_path)

    assert planned == Planned(("Write", "Judge"))
    for events, state in ((first, "done"), (second[1:], "cached")):
        states = [(event.step.name, event.step.state) for event in events]
        assert states == [("Write", "running"), ("Write", state), ("Judge", "running"), ("Judge", "held")]
    (artifact,) = first[1].artifacts
    assert (artifact.step, artifact.output, artifact.files) == ("Write", "schema", {"schema.pbtxt": 3})
    assert second[2].artifacts == first[1].artifacts
    assert problem == Problem("It is bad.", "Bad is not good.", "Fix it.", exit_code=3)
