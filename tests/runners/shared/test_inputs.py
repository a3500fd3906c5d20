from dataclasses import replace
from pathlib import Path

import pytest

from data.spans.layout import find_spans
from edgeline.errors import UsageError
from edgeline.records.run import Artifact
from edgeline.records.verdict import VERDICT, Verdict
from pipeline.settings import load_settings
from pipeline.workloads import find_workload, with_features
from runners.shared import inputs
from tests.runners.cli.process import add_week

CODE = {"Trainer": {"trainer_module.run_fn": "a" * 64}}


@pytest.fixture
def world(tmp_path):
    """Returns the digests of the inputs of a run, also after a change."""
    data = tmp_path / "data"
    add_week(data)

    def get_digests(workload=None, overrides=(), code=CODE, earlier=()):
        workload = workload or find_workload("shelf")
        settings = load_settings(workload.settings, None, overrides)
        return inputs.digest_inputs(
            find_spans(data), tmp_path / "window.json", workload, settings, tmp_path / "push", code, earlier
        )

    return get_digests


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({}, True),
        ({"overrides": ["kubeflow.image=other:1"]}, True),  # only a cluster reads it
        ({"overrides": ["trainer.epochs=3"]}, False),
        ({"code": {"Trainer": {"trainer_module.run_fn": "b" * 64}}}, False),
    ],
    ids=["nothing", "what is a cluster's", "a setting", "code"],
)
def test_a_change_of_an_input_makes_the_inputs_differ(world, changed, is_same):
    assert inputs.have_same_inputs(world(), world(**changed)) == is_same


def test_a_run_whose_file_was_only_too_slow_is_a_change_until_the_next_verdict(world, tmp_path, make_run):
    runs = []
    for name, slow in (("a", False), ("b", True), ("c", False)):
        VERDICT.write(tmp_path / name, Verdict("edge", "fail", fell_by_time=slow))
        output = Artifact("EdgeValidator", "verdict", str(tmp_path / name))
        runs.append(make_run(id=name, artifacts=(output,)))
    newest = [world(earlier=runs[:count])["slow"] for count in range(4)]
    assert newest == ["", "", "b", "b"]
    assert not inputs.have_same_inputs(world(earlier=runs[:1]), world(earlier=runs[:2]))


def test_new_data_another_schema_and_other_weights_are_changes_and_another_release_is_none(world, tmp_path):
    before = world()
    assert before["production"] == "" and inputs.have_same_inputs(before, {**before, "production": "2-abc"})
    shelf = find_workload("shelf")
    (tmp_path / "schema.pbtxt").write_text(Path(shelf.schema).read_text() + "\n# looked at\n")
    assert not inputs.have_same_inputs(before, world(replace(shelf, schema=str(tmp_path / "schema.pbtxt"))))
    file = tmp_path / "own.weights.h5"
    file.write_bytes(b"of last month")
    weighted = world(overrides=[f"model.weights={file}"])
    file.write_bytes(b"of this month")
    assert not inputs.have_same_inputs(weighted, world(overrides=[f"model.weights={file}"]))
    add_week(tmp_path / "data")
    assert not inputs.have_same_inputs(before, world())


def test_the_sample_is_rendered_once_and_without_leftovers_of_a_killed_rendering(tmp_path):
    add_week(tmp_path / "sample.writing")
    lines = []

    sample, again = (
        inputs.ensure_sample(tmp_path, replace(find_workload("shelf"), sample_size=4), lines.append)
        for _ in range(2)
    )

    assert sample == again == tmp_path / "sample"
    assert [span.number for span in find_spans(sample)] == [*range(1, 9)]
    assert len(lines) == 1 and "8 weeks of 4 photos" in lines[0]


def test_a_sample_whose_module_is_misspelt_names_it(tmp_path):
    shelf = replace(find_workload("shelf"), sample="data.shelf.rendrer")
    with pytest.raises(UsageError, match=r"data\.shelf\.rendrer cannot be imported"):
        inputs.ensure_sample(tmp_path, shelf, print)
    assert not list(tmp_path.iterdir())


def test_a_module_without_a_function_is_refused_by_its_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    own = replace(find_workload("shelf"), module="own_workload")
    text = "raise SystemExit\nfrom trainer_module.x import preprocessing_fn\ndef build_model(): 0\n"
    (tmp_path / "own_workload.py").write_text(text)
    with pytest.raises(UsageError, match=r"The module own_workload has no edge_contract\."):
        inputs.check_settings(own, load_settings({}))
    (tmp_path / "own_workload.py").write_text(f"{text}edge_contract = print\n")
    inputs.check_settings(own, load_settings({}))
    (tmp_path / "own_workload.py").write_text("def build_model(:\n")
    with pytest.raises(UsageError, match="own_workload cannot be imported: SyntaxError"):
        inputs.check_settings(own, load_settings({}))
    with pytest.raises(UsageError, match=r"no_such_module cannot be imported: ModuleNotFoundError"):
        inputs.check_settings(replace(own, module="no_such_module"), load_settings({}))
    step = {"steps": {"Mine": {"component": "own_steps.Mine"}}}
    (tmp_path / "own_steps.py").write_text("class Other: 0\n")
    with pytest.raises(UsageError, match="The module own_steps has no Mine"):
        inputs.check_settings(find_workload("shelf"), load_settings(step))


def test_other_readings_than_those_of_the_schema_are_refused_before_a_run(tmp_path):
    sensor = with_features(find_workload("sensor"))
    inputs.check_settings(sensor, load_settings(sensor.settings))
    with pytest.raises(UsageError) as caught:
        inputs.check_settings(sensor, load_settings(sensor.settings, None, ["data.readings=8"]))
    assert caught.value.found.startswith("data.readings is 8, and the numbers of ")
    assert caught.value.do.endswith("a new folder with --readings 8.")
