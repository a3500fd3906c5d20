"""`edgeline kubeflow schedule`: one recurring run, replaced in place, whatever happens on the way."""

import itertools

import pytest

from tests.runners.kubeflow.commands_run import ROOT
from tests.runners.kubeflow.server import do_and_hang_up, hang_up, status

MONDAY, TUESDAY = "0 0 3 * * 1", "0 0 3 * * 2"


def list_enabled(server):
    enabled = (each for each in server.recurring.values() if each["status"] == "ENABLED")
    return [each["trigger"]["cron_schedule"]["cron"] for each in enabled]


def test_a_recurring_run_fires_one_at_a_time_and_does_not_catch_up(server, edgeline):
    result = edgeline("schedule", "--cron", MONDAY)
    assert result.code == 0, result.err
    [job] = server.recurring.values()
    assert job["display_name"] == "shelf"
    assert job["trigger"] == {"cron_schedule": {"cron": MONDAY}}
    assert (job["max_concurrency"], job["no_catchup"], job["status"]) == ("1", True, "ENABLED")
    assert job["runtime_config"]["pipeline_root"] == ROOT
    assert job["service_account"] == "edgeline"
    assert job["pipeline_version_reference"]["pipeline_version_id"] in server.versions
    assert "Next: Monday" in result.out and "03:00:00" in result.out


def test_scheduling_again_replaces_it_with_the_same_version_unless_the_pipeline_is_another(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [old] = server.recurring
    result = edgeline("schedule", "--cron", TUESDAY)
    assert result.code == 0 and f"replaces the earlier schedule: '{MONDAY}'" in result.out
    [job] = server.recurring.values()
    assert job["recurring_run_id"] != old and list_enabled(server) == [TUESDAY]
    assert len(server.versions) == 1
    edgeline.write_package(epochs=17)
    assert edgeline("schedule", "--cron", TUESDAY).code == 0
    [job] = server.recurring.values()
    assert job["runtime_config"]["parameters"] == {"epochs": 17, "window": 8}
    assert len(server.versions) == 2 and len(server.pipelines) == 1


@pytest.mark.parametrize("fault", [hang_up, do_and_hang_up], ids=["not done", "done, answer lost"])
def test_a_change_that_is_interrupted_keeps_a_schedule_and_the_next_call_repairs_it(server, edgeline, fault):
    edgeline("schedule", "--cron", TUESDAY)
    for request in itertools.count():
        server.break_("POST|DELETE", fault, after=request)
        interrupted = edgeline("schedule", "--cron", MONDAY)
        server.fix()
        if interrupted.code == 0:
            break
        assert interrupted.code == 1 and "Traceback" not in interrupted.err
        assert list_enabled(server), f"nothing fires after request {request}"
        fixed = edgeline("schedule", "--cron", TUESDAY)
        assert fixed.code == 0, fixed.err
        assert list_enabled(server) == [TUESDAY] and len(server.recurring) == 1
    assert request > 2 and list_enabled(server) == [MONDAY]


def test_an_old_schedule_that_cannot_be_removed_is_an_error(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    server.break_(":disable", status(500, "etcd is full", "text/plain"))
    result = edgeline("schedule", "--cron", TUESDAY)
    assert result.code == 1 and "etcd is full" in result.err
    assert "an earlier recurring run" in result.err and "same command again" in result.err
    server.fix()
    assert "shelf fires more than once in weekly" in edgeline("schedule", "--list").out


def test_a_schedule_that_somebody_else_deleted_meanwhile_is_no_error(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    gone = status(404, {"error": "x", "details": [{"message": "Job 1 not found"}]})
    server.break_(":disable|DELETE", gone)
    assert edgeline("schedule", "--cron", TUESDAY).code == 0


def test_a_schedule_of_somebody_else_with_the_same_name_is_left_alone(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [theirs] = server.recurring.values()
    theirs["description"] = "by hand"
    result = edgeline("schedule", "--cron", TUESDAY)
    assert result.code == 1 and "did not create" in result.err and "kubeflow.experiment" in result.err
    assert list_enabled(server) == [MONDAY] and len(server.versions) == 1
    assert edgeline("schedule", "--delete").code == 1 and len(server.recurring) == 1


def test_another_experiment_has_its_own(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    assert edgeline("schedule", "--cron", TUESDAY, "--set", "kubeflow.experiment=trial").code == 0
    assert sorted(list_enabled(server)) == [MONDAY, TUESDAY]
    listing = edgeline("schedule", "--list", "--json").json
    assert [(each["cron"], each["experiment"], each["state"]) for each in listing] == [
        (TUESDAY, "trial", "enabled"),
        (MONDAY, "weekly", "enabled"),
    ]
    assert edgeline("schedule", "--delete", "--set", "kubeflow.experiment=trial").code == 0
    assert list_enabled(server) == [MONDAY]


def test_disabling_stops_all_and_enabling_leaves_one_where_a_replacement_was_interrupted(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    server.break_(":disable", hang_up)
    edgeline("schedule", "--cron", TUESDAY)
    server.fix()
    assert sorted(list_enabled(server)) == [MONDAY, TUESDAY]
    off = edgeline("schedule", "--disable")
    assert off.code == 0 and list_enabled(server) == [] and "--enable" in off.out
    assert "disabled" in edgeline("schedule", "--list").out
    assert edgeline("schedule", "--enable").code == 0
    assert list_enabled(server) == [TUESDAY] and len(server.recurring) == 1


def test_a_run_that_is_going_on_is_not_ended_by_a_replacement(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [old] = server.recurring
    server.fire(old, "SUCCEEDED")
    run = server.fire(old)
    server.add_runs_of_others(run, 120)  # more than one page
    result = edgeline("schedule", "--cron", TUESDAY)
    assert result.code == 0 and f"Run {run} of the earlier schedule goes on" in result.out
    assert server.lost_runs == [] and list_enabled(server) == [TUESDAY] and len(server.recurring) == 2
    # The next call finds it ended.
    server.runs[run]["state"] = "SUCCEEDED"
    assert edgeline("schedule", "--cron", TUESDAY).code == 0
    assert list_enabled(server) == [TUESDAY] and len(server.recurring) == 1


def test_a_run_that_is_going_on_is_not_ended_by_deleting(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [ours] = server.recurring
    run = server.fire(ours)
    result = edgeline("schedule", "--delete")
    assert result.code == 1 and f"its run {run} is going on" in result.err
    assert server.lost_runs == [] and list_enabled(server) == []
    server.runs[run]["state"] = "FAILED"
    assert edgeline("schedule", "--delete").code == 0 and server.recurring == {}
    assert "no recurring run" in edgeline("schedule", "--list").out


@pytest.mark.parametrize("action", ["--disable", "--delete"])
def test_a_schedule_that_does_not_exist_cannot_be_changed(server, edgeline, action):
    result = edgeline("schedule", action)
    assert result.code == 1 and "shelf is not scheduled" in result.err and "--list" in result.err
    assert not server.count("POST|DELETE")
