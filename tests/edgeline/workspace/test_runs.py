import os
import subprocess
import sys

import pytest

from edgeline.errors import UsageError
from edgeline.records.events import EventWriter, Planned, StepChanged
from edgeline.records.run import Step
from edgeline.records.verdict import PUSH, Push
from edgeline.release import store
from edgeline.workspace import runs
from edgeline.workspace.closing import summarise
from edgeline.workspace.known_runs import write_report
from runners.local.lock import hold
from tests.edgeline.release.candidates import make_candidate
from tests.outputs import leave, write_run


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("folder", ["20261005-091233-²", "x"])
def test_runs_of_one_second_stay_in_order_and_a_folder_that_no_run_made_is_no_obstacle(
    tmp_path, make_run, folder
):
    (tmp_path / "runs" / folder).mkdir(parents=True)
    names = ["20261004-000000", "20261005-091233", "20261005-091233-2", "20261005-091233-10"]
    for name in reversed(names):
        write_run(tmp_path, make_run(id=name, outcome="pushed"))

    assert [run.id for run in runs.read_runs(tmp_path)] == names


def test_new_folders_never_collide(tmp_path):
    names = [runs.create_folder(tmp_path).path.name for _ in range(5)]

    assert len(set(names)) == 5
    assert [folder.path.name for folder in runs.list_run_folders(tmp_path)] == names


def test_a_running_run_shows_the_steps_that_its_events_have(tmp_path, make_run):
    folder = write_run(tmp_path, make_run())
    write_event = EventWriter(folder.events)
    write_event(Planned(("ExampleGen", "Trainer", "Pusher")))
    write_event(StepChanged(Step("ExampleGen", "running")))
    write_event(StepChanged(Step("ExampleGen", "done", 2.5)))
    write_event(StepChanged(Step("Trainer", "running")))

    run = folder.read()

    assert run.outcome == "running"
    steps = Step("ExampleGen", "done", 2.5), Step("Trainer", "running"), Step("Pusher", "queued")
    assert run.steps == steps
    assert run.finished_steps == ("ExampleGen",)


def test_a_run_is_killed_if_its_process_is_gone_or_another_process_has_its_number(tmp_path, make_run):
    """After a restart of a container the same program soon has the same number."""
    assert write_run(tmp_path, make_run()).read().outcome == "running"
    boot, tick = runs.identify_process(os.getpid()).split()
    for day, other in ((6, f"{boot} {int(tick) - 1}"), (7, f"another-boot {tick}")):
        reused = make_run(id=f"2026100{day}-000000", process=other)
        assert write_run(tmp_path, reused).read().outcome == "killed"
    gone = make_run(id="20261008-000000", pid=dead_pid())
    assert write_run(tmp_path, gone).read().outcome == "killed"


def test_a_run_of_another_container_goes_on_while_it_holds_the_lock(tmp_path, make_run):
    """Processes of another container are not seen here, and may have numbers of those that are."""
    folder = write_run(tmp_path, make_run(process="another-container 1"))

    with hold(tmp_path):
        assert folder.read().outcome == "running"
    assert folder.read().outcome == "killed"


def test_the_next_holder_of_the_workspace_ends_the_records_of_runs_that_never_did(tmp_path, make_run):
    write_run(tmp_path, make_run(id="20261004-000000", outcome="pushed", ended_at="2026-10-04T00:05:00Z"))
    gone = write_run(tmp_path, make_run(id="20261005-000000", pid=dead_pid()))
    # Its number is in use again: by this very process.
    reused = write_run(tmp_path, make_run(id="20261006-000000"))

    runs.mark_killed(tmp_path)
    assert gone.read().outcome == reused.read().outcome == "killed"
    ended_at = gone.read().ended_at
    runs.mark_killed(tmp_path)
    assert gone.read().ended_at == ended_at is not None


@pytest.mark.parametrize(("has_reported", "where"), [(True, "after Pusher"), (False, "in Pusher")])
def test_a_run_that_is_killed_after_its_push_says_what_it_pushed(tmp_path, make_run, has_reported, where):
    push = str(tmp_path / "push")
    folder = write_run(tmp_path, make_run(pid=dead_pid(), push=push))
    EventWriter(folder.events)(StepChanged(Step("Pusher", "running")))
    assert (folder.read().outcome, folder.read().has_pushed) == ("killed", False)
    store.push(push, "shelf", make_candidate(tmp_path / "candidate", run=folder.path.name))
    if has_reported:
        leave(folder, "Pusher", "pushed_model", PUSH, Push("pushed", 1))

    for _ in range(2):
        run = folder.read()
        assert summarise(run) == "Killed after version 1 of shelf was pushed."
        page = write_report(run, folder)[0].read_text()
        assert f"The run was killed {where}, after version 1 was pushed; the same command" in page
        runs.mark_killed(tmp_path)


def test_a_run_is_named_by_the_beginning_of_its_id_and_an_unknown_one_comes_with_the_nearest(
    tmp_path, make_run
):
    with pytest.raises(UsageError, match="has no run"):
        runs.find_run(tmp_path, "latest")
    for day in (4, 5):
        write_run(tmp_path, make_run(id=f"2026100{day}-091233", outcome="pushed"))

    assert runs.find_run(tmp_path, "latest")[1].id == "20261005-091233"
    assert runs.find_run(tmp_path, "20261004")[1].id == "20261004-091233"
    with pytest.raises(UsageError, match=r"Did you mean 20261004-091233\?"):
        runs.find_run(tmp_path, "20261004-091234")
    with pytest.raises(UsageError, match="2 runs begin with '202610': 20261004-091233, 20261005-091233"):
        runs.find_run(tmp_path, "202610")


def test_a_run_of_a_clock_that_was_years_ahead_is_the_latest_until_the_next_one_is_made(tmp_path, make_run):
    # Two runs had no number yet, one has the time of a wrong clock, and one is after the clock was set right.
    ids = ["20261004-000000", "20261005-000000", "20991231-000000", "20261006-000000"]
    for number, name in zip((0, 0, 1, 2), ids, strict=True):
        write_run(tmp_path, make_run(id=name, outcome="pushed", number=number))

    assert [run.id for run in runs.read_runs(tmp_path)] == ids
    assert runs.find_run(tmp_path, "latest")[1].id == "20261006-000000"


def test_production_is_the_run_of_the_current_release_and_not_the_last_one_that_pushed(tmp_path, make_run):
    push = str(tmp_path / "push")
    for number, run in enumerate(("20261005-091233", "20261012-091233"), start=1):
        write_run(tmp_path / "workspace", make_run(id=run, number=number, push=push))
        store.push(push, "shelf", make_candidate(tmp_path / run, run, size=100, run=run))
    assert runs.find_run(tmp_path / "workspace", "production")[1].id == "20261012-091233"
    store.rollback(push, "shelf", "it is worse")
    assert runs.find_run(tmp_path / "workspace", "production")[1].id == "20261005-091233"
    with pytest.raises(UsageError, match="No release of crates is in production"):
        runs.find_run_in_production(push, "crates")
