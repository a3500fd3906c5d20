from dataclasses import replace

import pytest

from edgeline.records.run import CODE, Step
from edgeline.records.steps import STEPS, select_steps
from runners.local.plan import World, make_plan
from tests.outputs import record_output, write_run

INPUTS = {
    **dict.fromkeys(("window", "labels", "schema", "production", "destination", "lock"), "a"),
    "data": "/data",
}
SETTINGS = {"trainer": {"epochs": 3}, "gate": {"min_examples_per_class": 20}, "seed": 20}
FLAT = {"trainer.epochs": "3", "gate.min_examples_per_class": "20", "seed": "20"}
CODES = {step: {f"code_of.{step}": "a"} for step, info in STEPS.items() if info.has_code}
NOW = World(INPUTS, FLAT, CODES, {})
EACH_RUN = {step for step, info in STEPS.items() if info.each_run}
AFTER_TRAINING = {"Evaluator", "ModelValidator", "EdgeConverter", "EdgeValidator"}


@pytest.fixture
def done(tmp_path, make_run):
    """A run whose steps are all done, with their outputs."""
    inputs = {name: value for name, value in INPUTS.items() if name != "data"}
    run = make_run(
        outcome="pushed",
        data="/data",
        inputs=inputs,
        settings=SETTINGS,
        steps=tuple(Step(step, "done") for step in STEPS),
    )
    folder = write_run(tmp_path, run)
    CODE.write(folder.path, CODES)
    for step in STEPS:
        output = tmp_path / "artifacts" / step
        output.mkdir(parents=True)
        run = record_output(folder, step, "output", output)
    return folder, run


def list_running(plan):
    return {step.name for step in plan if not step.cached} - EACH_RUN


def get_reason(plan, name):
    return next(step.why for step in plan if step.name == name)


def test_before_the_first_run_every_step_runs():
    plan = make_plan(NOW, [])

    assert [step.name for step in plan] == list(select_steps(False, {}))
    assert not any(step.cached for step in plan)
    assert get_reason(plan, "ExampleGen") == ("it has not run yet",)


def test_without_a_change_only_the_steps_of_each_run_run(done):
    plan = make_plan(NOW, [done])

    assert list_running(plan) == set()
    assert get_reason(plan, "Pusher") == ("it runs every time",)


def test_a_verdict_that_fell_by_time_alone_is_made_again(done):
    plan = make_plan(replace(NOW, inputs={**INPUTS, "slow": done[1].id}), [done])

    assert list_running(plan) == {"EdgeValidator"}
    why = "the list of runs in which a file was only too slow changed"
    assert get_reason(plan, "EdgeValidator") == (why,)


def test_another_setting_runs_the_steps_that_have_it_and_those_after_them(done):
    plan = make_plan(replace(NOW, settings={**FLAT, "trainer.epochs": "5"}), [done])

    assert list_running(plan) == {"Trainer", *AFTER_TRAINING}
    assert get_reason(plan, "Trainer") == ("trainer.epochs 3 -> 5",)
    assert get_reason(plan, "EdgeValidator") == ("after Trainer, EdgeConverter",)


@pytest.mark.parametrize(
    "part",
    [{"feeds": {"Tuner.examples": "out"}}, {"before": ["Tuner"]}, {"inputs": {"x": "Tuner.tuner_results"}}],
)
def test_a_recorded_step_of_ones_own_with_a_step_that_was_not_there_leaves_the_plan_whole(done, part):
    folder, run = done
    own = {"Own": {"component": "a.B", "inputs": {}, "feeds": {}, "before": [], **part}}

    plan = make_plan(NOW, [(folder, replace(run, settings={**SETTINGS, "steps": own}))])

    assert [step.name for step in plan] == list(NOW.steps)


def test_another_flag_of_beam_runs_the_steps_on_beam_and_another_schema_the_statistics_too(done):
    beam = list_running(make_plan(replace(NOW, settings={**FLAT, "beam.flags": '["--x"]'}), [done]))
    schema = list_running(make_plan(replace(NOW, inputs={**NOW.inputs, "schema": "another"}), [done]))

    assert {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"} <= beam
    assert {"ImportSchemaGen", "StatisticsGen"} <= schema and "ExampleGen" not in schema


def test_a_search_runs_before_the_trainer_and_its_removal_is_a_reason_to_train(done):
    searching = {**FLAT, "tune.max_trials": "8"}
    plan = make_plan(replace(NOW, settings=searching), [done])

    assert list_running(plan) == {"Tuner", "Trainer", *AFTER_TRAINING}
    assert get_reason(plan, "Tuner") == ("it has not run yet",)
    assert get_reason(plan, "Trainer") == ("after Tuner",)

    folder, run = done
    search_run = (folder, replace(run, settings={**SETTINGS, "tune": {"max_trials": 8}}))
    assert get_reason(make_plan(NOW, [search_run]), "Trainer") == ("Tuner no longer runs",)
    assert list_running(make_plan(replace(NOW, settings=searching), [search_run])) == set()


def test_new_photos_run_all_but_the_import_of_the_schema(done):
    plan = make_plan(replace(NOW, inputs={**INPUTS, "window": "b"}), [done])

    assert {step.name for step in plan if step.cached} == {"ImportSchemaGen"}
    assert get_reason(plan, "ExampleGen") == ("the data of the window changed",)


def test_an_edit_is_named_and_runs_only_the_steps_with_that_code(done):
    edited = {**CODES, "EdgeValidator": {"code_of.EdgeValidator": "b"}}
    plan = make_plan(replace(NOW, code=edited), [done])

    assert list_running(plan) == {"EdgeValidator"}
    assert get_reason(plan, "EdgeValidator") == ("code of code_of.EdgeValidator changed",)


def test_outputs_of_a_run_before_the_last_are_taken_from_the_cache(done, tmp_path):
    other = replace(done[1], id="20261006-091233", settings={**SETTINGS, "seed": 21})
    folder = write_run(tmp_path, other)
    CODE.write(folder.path, CODES)

    assert list_running(make_plan(NOW, [done, (folder, other)])) == set()


def test_a_step_whose_output_lost_bytes_or_is_gone_runs_and_so_do_its_readers(done, tmp_path):
    folder, _ = done
    file = tmp_path / "artifacts" / "Trainer" / "weights"
    file.write_text("whole")
    run = record_output(folder, "Trainer", "model", file.parent, {"weights": 5})
    assert list_running(make_plan(NOW, [(folder, run)])) == set()

    file.write_text("cut")
    plan = make_plan(NOW, [(folder, run)])
    assert list_running(plan) == {"Trainer", *AFTER_TRAINING}
    assert get_reason(plan, "Trainer") == ("its outputs are gone or damaged",)
    file.unlink()
    file.parent.rmdir()
    assert make_plan(NOW, [done]) == plan


def test_a_step_that_did_not_get_done_runs(done):
    folder, run = done
    steps = tuple(Step(s.name, "failed" if s.name == "EdgeConverter" else "done") for s in run.steps)

    plan = make_plan(NOW, [(folder, replace(run, steps=steps))])

    assert list_running(plan) == {"EdgeConverter", "EdgeValidator"}
    assert get_reason(plan, "EdgeConverter") == ("it has not run yet",)
