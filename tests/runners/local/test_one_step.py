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
    folder, run = find_run(workspace, "latest")
    folder.write(replace(run, steps=steps))


@pytest.mark.parametrize(
    ("step", "run", "problem"),
    [
        ("Trainr", "latest", "had no step 'Trainr'"),
        ("Trainer", "20270101-000000", "no run '20270101-000000'"),
        ("Pusher", "latest", "Pusher does not run again by itself"),
        ("DataGate", "latest", "DataGate does not run again by itself.*DataValidator"),
    ],
)
def test_a_step_that_cannot_run_again_is_refused_by_name(workspace, step, run, problem):
    finish_with(workspace, *map(Step, ("Schema", "DataGate", "Trainer", "Pusher")))

    with pytest.raises(UsageError, match=problem):
        run_step(StepOptions(step, run, workspace))

    assert [path.name for path in workspace.parent.iterdir()] == ["workspace"]


def test_the_run_of_a_step_is_the_one_that_is_named(workspace, capsys):
    PastRuns(workspace).add(2, {"Schema": "a"})
    finish_with(workspace, Step("Schema", "done"))
    earlier = min(path.name for path in (workspace / "runs").iterdir())
    assert main(["step", "Trainer", "--workspace", str(workspace)]) == 2
    assert "had no step 'Trainer'" in capsys.readouterr().err
    assert main(["step", "Tuner", "--of", earlier, "--workspace", str(workspace)]) == 2
    assert earlier in capsys.readouterr().err


def test_while_a_step_runs_nothing_removes_its_inputs(workspace, monkeypatch):
    (workspace / "spans" / "unused").mkdir(parents=True)  # for `gc` to remove

    def run_worker(*_):
        assert main(["gc", "--keep", "1", "--workspace", str(workspace), "--workload", "shelf"]) == 5
        (warning,) = gc.keep_within(workspace, 0, str(workspace / "push"))
        return Problem(warning)

    finish_with(workspace, *(Step(name, "done") for name in ("Schema", "Trainer")))
    CODE.write(find_run(workspace, "latest")[0].path, {})
    monkeypatch.setattr(one_step, "run_worker", run_worker)
    with pytest.raises(EdgelineError, match=r"cannot be kept within .*`edgeline step` reads artifacts"):
        run_step(StepOptions("Trainer", "latest", workspace))
    assert main(["gc", "--keep", "1", "--workspace", str(workspace), "--workload", "shelf"]) == 0


def test_a_step_that_the_dag_no_longer_has_is_refused(workspace, monkeypatch):
    finish_with(workspace, *(Step(name, "done") for name in ("Schema", "Trainer")))
    CODE.write(find_run(workspace, "latest")[0].path, {})
    monkeypatch.setattr(one_step, "run_worker", lambda *_: None)  # it runs no step
    with pytest.raises(UsageError, match="The DAG has no step Trainer now"):
        run_step(StepOptions("Trainer", "latest", workspace))


def test_a_step_whose_inputs_were_never_made_is_refused(workspace):
    finish_with(workspace, Step("Schema", "failed"), Step("Trainer", "queued"))

    with pytest.raises(UsageError, match="ended before Trainer: the state of Schema is failed"):
        run_step(StepOptions("Trainer", "latest", workspace))


def test_a_step_whose_inputs_were_removed_is_refused(workspace):
    folder, run = find_run(workspace, "latest")
    artifacts = (replace(each, uri=each.uri.replace("workspace", "workspace/gone")) for each in run.artifacts)
    folder.write(replace(run, artifacts=tuple(artifacts)))

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
