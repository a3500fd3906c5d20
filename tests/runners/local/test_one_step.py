from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError, Problem, UsageError
from edgeline.records.run import CODE, Step
from edgeline.workspace.runs import find_run
from runners.cli.main import main
from runners.local import gc, one_step
from runners.local.one_step import StepOptions, run_step
from tests.runners.local.past_runs import PastRuns


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PastRuns(tmp_path / "workspace").add(1, {"Schema": "a", "Trainer": "b"})
    return tmp_path / "workspace"


def finish_with(workspace, *steps):
    """Gives the record of the last run these steps; returns its folder."""
    folder, run = find_run(workspace, "latest")
    folder.write(replace(run, steps=steps))
    return folder


WHOLE = tuple(Step(name, "done") for name in ("Schema", "DataGate", "Trainer", "Pusher"))


@pytest.mark.parametrize(
    ("step", "run", "steps", "problem"),
    [
        ("Trainr", "latest", WHOLE, "had no step 'Trainr'"),
        ("Trainer", "20270101-000000", WHOLE, "no run '20270101-000000'"),
        ("Pusher", "latest", WHOLE, "Pusher does not run again by itself"),
        ("DataGate", "latest", WHOLE, "DataGate does not run again by itself.*DataValidator"),
        ("Trainer", "latest", (Step("Schema", "failed"), *WHOLE[1:]), "the state of Schema is failed"),
    ],
)
def test_a_step_that_cannot_run_again_is_refused_by_name(workspace, step, run, steps, problem):
    finish_with(workspace, *steps)
    with pytest.raises(UsageError, match=problem):
        run_step(StepOptions(step, run, workspace))
    assert [path.name for path in workspace.parent.iterdir()] == ["workspace"]


def test_the_run_of_a_step_is_the_one_that_is_named(workspace, command):
    PastRuns(workspace).add(2, {"Schema": "a"})
    finish_with(workspace, Step("Schema", "done"))
    earlier = min(path.name for path in (workspace / "runs").iterdir())
    latest, named = command("step", "Trainer"), command("step", "Tuner", "--of", earlier)
    assert latest.code == named.code == 2
    assert "had no step 'Trainer'" in latest.err and earlier in named.err


def test_while_a_step_runs_nothing_removes_its_inputs(workspace, monkeypatch):
    (workspace / "spans" / "unused").mkdir(parents=True)  # for `gc` to remove

    def run_worker(*_):
        assert main(["gc", "--keep", "1", "--workspace", str(workspace), "--workload", "shelf"]) == 5
        (warning,) = gc.keep_within(workspace, 0, str(workspace / "push"))
        return Problem(warning)

    CODE.write(finish_with(workspace, *WHOLE).path, {})
    monkeypatch.setattr(one_step, "run_worker", run_worker)
    with pytest.raises(EdgelineError, match=r"cannot be kept within .*`edgeline step` reads artifacts"):
        run_step(StepOptions("Trainer", "latest", workspace))
    assert main(["gc", "--keep", "1", "--workspace", str(workspace), "--workload", "shelf"]) == 0


def test_a_step_that_the_dag_no_longer_has_or_whose_inputs_were_removed_is_refused(workspace, monkeypatch):
    folder = finish_with(workspace, *WHOLE)
    CODE.write(folder.path, {})
    monkeypatch.setattr(one_step, "run_worker", lambda *_: None)  # it runs no step
    with pytest.raises(UsageError, match="The DAG has no step Trainer now"):
        run_step(StepOptions("Trainer", "latest", workspace))
    (workspace / "artifacts").rename(workspace / "gone")
    with pytest.raises(UsageError, match=r"of Schema in run 20260001-120000 is gone: "):
        run_step(StepOptions("Trainer", "latest", workspace))


@pytest.mark.parametrize("out", [None, "made"])
def test_a_folder_whose_path_is_a_pattern_is_refused_before_the_step(workspace, monkeypatch, out):
    (workspace.parent / "mine [1]").mkdir()
    monkeypatch.chdir(workspace.parent / "mine [1]")

    with pytest.raises(UsageError, match=r"has the character \["):
        run_step(StepOptions("Schema", "latest", workspace, out=out and Path(out)))

    assert not list(Path().iterdir())


def test_a_folder_with_files_is_not_written_to(workspace, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="is not an empty folder"):
        run_step(StepOptions("Schema", "latest", workspace, out=tmp_path / "out"))

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
