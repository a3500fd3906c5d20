"""`edgeline kubeflow schedule`: one recurring run, replaced in place, whatever happens on the way."""

import itertools

import pytest

from tests.runners.kubeflow.commands_run import ROOT
from tests.runners.kubeflow.server import done_but_hang_up, hang_up, status

MONDAY, TUESDAY = "0 0 3 * * 1", "0 0 3 * * 2"


def enabled(server):
    return [
        each["trigger"]["cron_schedule"]["cron"]
        for each in server.recurring.values()
        if each["status"] == "ENABLED"
    ]


def test_a_recurring_run_fires_one_at_a_time_and_does_not_catch_up(server, edgeline):
    ended = edgeline("schedule", "--cron", MONDAY)
    assert ended.code == 0, ended.err
    [made] = server.recurring.values()
    assert made["display_name"] == "shelf"
    assert made["trigger"] == {"cron_schedule": {"cron": MONDAY}}
    assert (made["max_concurrency"], made["no_catchup"], made["status"]) == ("1", True, "ENABLED")
    assert made["runtime_config"]["pipeline_root"] == ROOT
    assert made["service_account"] == "edgeline"
    assert made["pipeline_version_reference"]["pipeline_version_id"] in server.versions
    assert "Next: Monday" in ended.out and "03:00:00" in ended.out


def test_scheduling_again_replaces_it_with_the_same_version_unless_the_pipeline_is_another(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [old] = server.recurring
    ended = edgeline("schedule", "--cron", TUESDAY)
    assert ended.code == 0 and f"replaces the earlier schedule: '{MONDAY}'" in ended.out
    [made] = server.recurring.values()
    assert made["recurring_run_id"] != old and enabled(server) == [TUESDAY]
    assert len(server.versions) == 1
    edgeline.write_package(epochs=17)
    assert edgeline("schedule", "--cron", TUESDAY).code == 0
    [made] = server.recurring.values()
    assert made["runtime_config"]["parameters"] == {"epochs": 17, "window": 8}
    assert len(server.versions) == 2 and len(server.pipelines) == 1


@pytest.mark.parametrize("fault", [hang_up, done_but_hang_up], ids=["not done", "done, answer lost"])
def test_interrupted_at_any_change_it_never_stops_firing_and_the_next_call_mends_it(server, edgeline, fault):
    edgeline("schedule", "--cron", TUESDAY)
    for request in itertools.count():
        server.break_("POST|DELETE", fault, after=request)
        interrupted = edgeline("schedule", "--cron", MONDAY)
        server.fix()
        if interrupted.code == 0:
            break
        assert interrupted.code == 1 and "Traceback" not in interrupted.err
        assert enabled(server), f"nothing fires after request {request}"
        fixed = edgeline("schedule", "--cron", TUESDAY)
        assert fixed.code == 0, fixed.err
        assert enabled(server) == [TUESDAY] and len(server.recurring) == 1
    assert request > 2 and enabled(server) == [MONDAY]


def test_an_old_one_that_cannot_be_removed_is_told(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    server.break_(":disable", status(500, "etcd is full", "text/plain"))
    ended = edgeline("schedule", "--cron", TUESDAY)
    assert ended.code == 1
    assert all(
        part in ended.err for part in ("etcd is full", "an earlier recurring run", "same command again")
    )
    server.fix()
    assert "shelf fires more than once in weekly" in edgeline("schedule", "--list").out


def test_what_somebody_else_deleted_meanwhile_is_fine(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    gone = status(404, {"error": "x", "details": [{"message": "Job 1 not found"}]})
    server.break_(":disable|DELETE", gone)
    assert edgeline("schedule", "--cron", TUESDAY).code == 0


def test_the_same_name_of_somebody_else_is_left_alone(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [theirs] = server.recurring.values()
    theirs["description"] = "by hand"
    ended = edgeline("schedule", "--cron", TUESDAY)
    assert ended.code == 1 and "did not create" in ended.err and "kubeflow.experiment" in ended.err
    assert enabled(server) == [MONDAY] and len(server.versions) == 1
    assert edgeline("schedule", "--delete").code == 1 and len(server.recurring) == 1


def test_another_experiment_has_its_own(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    assert edgeline("schedule", "--cron", TUESDAY, "--set", "kubeflow.experiment=trial").code == 0
    assert sorted(enabled(server)) == [MONDAY, TUESDAY]
    listed = edgeline("schedule", "--list", "--json").json
    assert [(each["cron"], each["experiment"], each["state"]) for each in listed] == [
        (TUESDAY, "trial", "enabled"),
        (MONDAY, "weekly", "enabled"),
    ]
    assert edgeline("schedule", "--delete", "--set", "kubeflow.experiment=trial").code == 0
    assert enabled(server) == [MONDAY]


def test_ours_is_found_among_more_than_one_page(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [ours] = server.recurring.values()
    for number in range(120):
        server.recurring[str(number)] = {**ours, "recurring_run_id": str(number), "description": "by hand"}
        server.recurring[str(number)]["display_name"] = f"theirs {number}"
    assert edgeline("schedule", "--cron", TUESDAY).code == 0
    assert enabled(server).count(TUESDAY) == 1 and ours["recurring_run_id"] not in server.recurring
    assert len(edgeline("schedule", "--list", "--json").json) == 1


def test_disabling_stops_all_and_enabling_leaves_one_where_a_replacement_was_interrupted(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    server.break_(":disable", hang_up)
    edgeline("schedule", "--cron", TUESDAY)
    server.fix()
    assert sorted(enabled(server)) == [MONDAY, TUESDAY]
    off = edgeline("schedule", "--disable")
    assert off.code == 0 and enabled(server) == [] and "--enable" in off.out
    assert "disabled" in edgeline("schedule", "--list").out
    assert edgeline("schedule", "--enable").code == 0
    assert enabled(server) == [TUESDAY] and len(server.recurring) == 1


def test_a_run_that_is_going_on_is_not_ended_by_a_replacement(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [old] = server.recurring
    server.fire(old, "SUCCEEDED")
    run = server.fire(old)
    server.add_runs_of_others(run, 120)  # more than one page
    ended = edgeline("schedule", "--cron", TUESDAY)
    assert ended.code == 0 and f"Run {run} of the earlier schedule goes on" in ended.out
    assert server.lost_runs == [] and enabled(server) == [TUESDAY] and len(server.recurring) == 2
    # The next call finds it ended.
    server.runs[run]["state"] = "SUCCEEDED"
    assert edgeline("schedule", "--cron", TUESDAY).code == 0
    assert enabled(server) == [TUESDAY] and len(server.recurring) == 1


def test_a_run_that_is_going_on_is_not_ended_by_deleting(server, edgeline):
    edgeline("schedule", "--cron", MONDAY)
    [ours] = server.recurring
    run = server.fire(ours)
    ended = edgeline("schedule", "--delete")
    assert ended.code == 1 and f"its run {run} is going on" in ended.err
    assert server.lost_runs == [] and enabled(server) == []
    server.runs[run]["state"] = "FAILED"
    assert edgeline("schedule", "--delete").code == 0 and server.recurring == {}
    assert "no recurring run" in edgeline("schedule", "--list").out


@pytest.mark.parametrize("action", ["--disable", "--delete"])
def test_what_is_not_scheduled_cannot_be_changed(server, edgeline, action):
    ended = edgeline("schedule", action)
    assert ended.code == 1 and "shelf is not scheduled" in ended.err and "--list" in ended.err
    assert not server.asked("POST|DELETE")
