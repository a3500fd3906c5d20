"""`edgeline kubeflow submit, watch, retry` against a small server with the endpoints of the real one."""

import math
import re
from dataclasses import replace

import pytest

from edgeline.journal import get_user_and_host
from edgeline.records.outcome import Outcome
from edgeline.release import store
from runners.kubeflow import runs as kubeflow_runs
from runners.kubeflow import watch as kubeflow_watch
from runners.kubeflow.outcome import conclude
from runners.kubeflow.run_steps import Step
from tests.edgeline.release.candidates import make_candidate
from tests.runners.kubeflow.commands_run import ROOT
from tests.runners.kubeflow.server import STEPS, Story, end_at, hang_up, status

LAUNCHER = "I1120 12:51:43 23 launcher_v2.go:90] input ComponentSpec:{\n"
PUBLISHED = "I1120 12:51:44 23 launcher_v2.go:151] publish success.\n"
OUTCOMES = {
    "pushed": Outcome("pushed", 7, ("Version 7 of shelf is in production.",)),
    "unchanged": Outcome("unchanged", 6, ("This model is in production already, as version 6.",)),
    "held": Outcome("held", reasons=("Accuracy is 0.81 on 400 eval examples; at least 0.850 is needed.",)),
    "refused": Outcome("refused", reasons=("The span span-00042 has 40 % of its photos quarantined.",)),
}


def fail(reason, **more):
    return Outcome("failed", reasons=(reason,), **more)


def make_log(step, outcome):
    """Returns the log of a step, as our entry point and KFP's launcher leave it."""
    outcome = replace(outcome, step=step)
    return f"{LAUNCHER}{outcome.sentence}\n{outcome.to_line()}\n{PUBLISHED}"


def make_logs(**outcomes):
    return {step: make_log(step, outcome) for step, outcome in outcomes.items()}


def conclude_story(server, cluster, story, states, state="FAILED", push=None, run="run-1"):
    """Returns the outcome of a run with this story, whose steps ended in these states."""
    server.stories[run] = story
    server.runs[run] = {"run_id": run}
    steps = [Step(step, each, 3.0, (f"{run}-{step}-pod",)) for step, each in states.items()]
    return conclude(cluster, run, state, steps, "shelf", push)


def succeed(outcome=None, **options):
    """Returns the story of a run that ends well, with the outcome of its last step."""
    options = {"logs": make_logs(ReleaseGate=outcome) if outcome else {}, **options}
    return end_at("ReleaseGate", "SUCCEEDED", "SUCCEEDED", **options)


def fail_at(step, outcome=None, message=None, **options):
    """Returns the story of a run that ends at a failed step, with its outcome or Kubernetes' message."""
    logs = make_logs(**{step: outcome}) if outcome else {}
    messages = {step: message} if message else {}
    return end_at(step, "FAILED", "FAILED", **{"logs": logs, "messages": messages, **options})


PUSHED = succeed(OUTCOMES["pushed"])
STEP_BY_STEP = succeed(slowly=True, logs=PUSHED.logs)


def get_run(server):
    [run] = server.runs
    return run


def shows(action, run, text):
    """Finds the command for a run in a text, with any options."""
    return re.search(rf"edgeline kubeflow {action} (-\S+ \S+ )*{run}", text)


def test_submit_uploads_starts_a_run_and_prints_its_page(server, edgeline):
    result = edgeline("submit")
    assert result.code == 0, result.err
    run = server.runs[get_run(server)]
    assert f"{server.url}/#/runs/details/{run['run_id']}" in result.out
    [pipeline], [version] = (each.values() for each in (server.pipelines, server.versions))
    assert pipeline["display_name"] == "shelf" and "workload shelf" in pipeline["description"]
    description = f"By {get_user_and_host()}. shelf in the image edgeline:1."
    assert version["description"] == run["description"] == description
    assert server.experiments[run["experiment_id"]]["display_name"] == "weekly"
    assert run["runtime_config"] == {"pipeline_root": ROOT, "parameters": {"epochs": 16, "window": 8}}
    assert run["service_account"] == "edgeline"
    # With its ISO week.
    assert re.fullmatch(r"shelf \d{4}-W\d\d, [\d-]{10} [\d:]{8}", run["display_name"])


def test_the_long_description_of_a_run_or_schedule_is_cut_for_the_backend(server, edgeline):
    """255 characters in the database of KFP 2.0.5, which answers 500 to more; a version may have more."""
    edgeline.write_package(about="trainer.epochs=16, " * 20)
    for command in (("submit",), ("schedule", "--cron", "0 0 3 * * 1")):
        result = edgeline(*command)
        assert result.code == 0, result.err
    [version], [run], [recurring] = (
        each.values() for each in (server.versions, server.runs, server.recurring)
    )
    assert version["description"].count("trainer.epochs=16") == 20
    for made in (run, recurring):
        assert f"By {get_user_and_host()}. " in made["description"] and made["description"].endswith(" ...")


def test_the_same_pipeline_is_uploaded_once_and_another_one_is_a_version_of_it(server, edgeline):
    first, second = (edgeline("submit", "--json").json["pipeline_version"] for _ in range(2))
    assert first == second and len(server.versions) == 1 and len(server.runs) == 2
    edgeline.write_package(epochs=17)
    other = edgeline("submit", "--json").json["pipeline_version"]
    assert (len(server.pipelines), len(server.experiments), len(server.versions)) == (1, 1, 2)
    # The time of the upload, and a digest of the package.
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{12}", other) and other[16:] != first[16:]


CODES = {"pushed": 0, "unchanged": 0, "held": 3, "refused": 4, "failed": 1}
NOT_STORED = "Version 7 of shelf is not in the release store."
NO_BUCKET = "F1120 12:51:15 23 main.go:49] failed to execute component: no such bucket"


@pytest.mark.parametrize(
    ("story", "outcome", "reason"),
    [
        (PUSHED, "pushed", ""),
        (succeed(OUTCOMES["unchanged"]), "unchanged", "already, as version 6."),
        (fail_at("ReleaseGate", OUTCOMES["held"]), "held", "Accuracy is 0.81 on 400 eval examples; at least"),
        (
            fail_at("DataGate", OUTCOMES["refused"]),
            "refused",
            "span-00042 has 40 % of its photos quarantined.",
        ),
        (fail_at("ReleaseGate", fail(NOT_STORED)), "failed", f"ReleaseGate failed: {NOT_STORED}"),
        (fail_at("Trainer", logs={"Trainer": NO_BUCKET}), "failed", "Trainer failed: no such bucket"),
        (fail_at("DataGate"), "refused", "its log, which has the reason"),
        (fail_at("DataGate", message="pod deleted"), "failed", "DataGate lost its pod: pod deleted."),
        (Story([("FAILED", {})]), "failed", "ended before its first step"),
        (end_at("Trainer", "SUCCEEDED", "FAILED"), "failed", "ended after Trainer"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_a_run_ends_with_the_exit_code_of_a_local_one(edgeline, story, outcome, reason):
    result = edgeline.follow(story, "--json")
    assert result.json["outcome"] == outcome, result.err
    assert result.code == result.json["exit_code"] == CODES[outcome]
    assert reason in " ".join(result.json["reasons"])
    assert result.json["version"] == (7 if outcome == "pushed" else None)


@pytest.mark.parametrize(
    ("story", "why"),
    [
        # Every step from the cache, as a recurring run without `caching off` has it.
        (Story([("SUCCEEDED", dict.fromkeys(STEPS, "SKIPPED"))]), "did not run"),
        (
            Story(
                [("SUCCEEDED", {**dict.fromkeys(STEPS, "SUCCEEDED"), "Pusher": "SKIPPED"})],
                logs=make_logs(ReleaseGate=OUTCOMES["pushed"]),
            ),
            "Pusher did not run",
        ),
        # The cluster takes a pod that was killed for one that was done.
        (succeed(), "whether it pushed a model is not known"),
        (succeed(Outcome("done")), "whether it pushed a model is not known"),
        # An older image logs no outcome at all, which is no sign of a lost pod.
        (
            succeed(logs=dict.fromkeys(STEPS, f"{LAUNCHER}{PUBLISHED}")),
            "the image is older than this edgeline",
        ),
    ],
)
def test_a_green_run_that_pushed_nothing_is_no_success(edgeline, story, why):
    result = edgeline.follow(story)
    assert result.code == 1 and "succeeded" in result.out and why in result.out


def test_progress_is_that_of_a_local_run(edgeline):
    lines = edgeline.follow(STEP_BY_STEP).out.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("[")] == [
        words
        for number, step in enumerate(STEPS, 1)
        for words in (["[", f"{number}/5]", step, "running"], ["[", f"{number}/5]", step, "done"])
    ]
    assert lines[-1] == "Pushed version 7 of shelf to pvc://edgeline/push"


def test_the_outcome_of_an_ended_run_waits_for_the_last_state_of_its_steps(edgeline):
    """The server updates the run before its tasks."""
    stale = ("FAILED", {**dict.fromkeys(STEPS[:2], "SUCCEEDED"), "Trainer": "RUNNING"})
    story = fail_at("Trainer", fail("No GPU was found."))
    result = edgeline.follow(Story([stale, stale, *story.frames], logs=story.logs))
    assert "Trainer failed: No GPU was found." in result.out
    assert "[ 3/5] Trainer                 failed" in result.out


def test_a_run_whose_steps_never_end_is_reported_all_the_same(edgeline, monkeypatch):
    monkeypatch.setattr(kubeflow_runs, "PATIENCE", replace(kubeflow_runs.PATIENCE, settle_s=0.1))
    result = edgeline.follow(Story([("FAILED", {"ExampleGen": "RUNNING"})]))
    assert result.code == 1 and "Failed" in result.out


def test_a_server_without_the_old_api_is_followed_all_the_same(server, edgeline):
    server.has_old_api = False
    assert edgeline.follow(PUSHED).code == 0
    held = edgeline.follow(fail_at("ReleaseGate", OUTCOMES["held"]))
    assert held.code == 3 and "at least 0.850 is needed" in held.out
    assert "ReleaseGate             held" in held.out and "ReleaseGate             failed" not in held.out


def test_the_api_may_be_away_for_a_while_as_when_a_port_forward_breaks(server, edgeline):
    server.break_(r"GET .*/runs/", hang_up, times=3, after=4)
    server.break_(r"GET .*/runs/", status(503, "upstream connect error", "text/plain"), times=2, after=6)
    server.break_(r"GET .*/runs/", status(429, "rate limited", "text/plain"), times=2, after=8)
    result = edgeline.follow(STEP_BY_STEP)
    assert result.code == 0, result.err
    assert "retrying" in result.out


@pytest.mark.parametrize(
    ("fault", "outage_s", "options", "parts"),
    [
        (hang_up, 0.3, [], ["cannot be reached"]),
        # The limit ends it: an outage may last for ever, and after this one the run would end well.
        (hang_up, math.inf, ["--timeout", "0.5"], []),
        (status(401, "Jwt is expired", "text/plain"), 0.3, [], ["Jwt is expired", "The run itself goes on"]),
    ],
    ids=["away", "away with a time limit", "a token that runs out"],
)
def test_an_api_that_stays_away_ends_the_waiting_and_says_how_to_go_on(
    server, edgeline, monkeypatch, fault, outage_s, options, parts
):
    monkeypatch.setattr(kubeflow_runs, "PATIENCE", replace(kubeflow_runs.PATIENCE, outage_s=outage_s))
    server.break_(r"GET .*/runs/", fault, times=2000, after=1)
    result = edgeline.follow(STEP_BY_STEP, *options)
    assert result.code == 1
    assert shows("watch", get_run(server), result.err)
    for part in parts:
        assert part in result.err


def test_a_time_limit_ends_the_waiting_and_not_the_run(server, edgeline):
    result = edgeline.follow(Story([("RUNNING", {"ExampleGen": "RUNNING"})]), "--timeout", "0.05")
    assert result.code == 1
    assert "has not ended" in result.err and shows("watch", get_run(server), result.err)
    assert not server.count("terminate")


def test_an_image_that_cannot_be_pulled_ends_the_waiting_in_three_parts(edgeline):
    message = 'ImagePullBackOff: Back-off pulling image "edgeline:1"'
    story = Story([("RUNNING", {"ExampleGen": "PENDING"})], messages={"ExampleGen": message})
    result = edgeline.follow(story)
    found, why, do = result.err.splitlines()
    assert result.code == 1 and found == f"ExampleGen's pod does not start: {message}."
    assert "cannot get the image" in why and "kubeflow.image" in do and "watch" in do


def test_a_cluster_that_is_full_is_waited_for_with_a_warning(edgeline):
    message = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    waits = ("RUNNING", {**dict.fromkeys(STEPS[:2], "SUCCEEDED"), "Trainer": "PENDING"})
    result = edgeline.follow(Story([*[waits] * 15, *PUSHED.frames], PUSHED.logs, {"Trainer": message}))
    assert result.code == 0, result.err
    assert result.out.count("Insufficient nvidia.com/gpu") == 1


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (("RUNNING", {"ExampleGen": "PENDING"}), "kubectl describe pod"),
        (("PENDING", {}), "workflow-controller"),
    ],
    ids=["a pod waits without a cause", "nothing starts"],
)
def test_a_run_that_stands_still_is_reported_once_with_what_to_look_at(server, edgeline, frame, part):
    server.has_old_api = False
    result = edgeline.follow(Story([frame]), "--timeout", "1")
    assert result.code == 1 and result.out.count(part) == 1


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_follow_it_again(server, edgeline, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(kubeflow_watch.time, "sleep", interrupt)
    result = edgeline.follow(STEP_BY_STEP)
    assert result.code == 130
    assert shows("watch", get_run(server), result.out)
    assert not server.count("terminate|DELETE")


def test_retry_runs_a_lost_step_again(server, edgeline):
    later = Story([("RUNNING", {"Trainer": "RUNNING"}), *PUSHED.frames], logs=PUSHED.logs)
    lost = edgeline.follow(fail_at("Trainer", message="pod deleted", retried=later))
    assert lost.code == 1 and "Trainer lost its pod" in lost.out
    assert shows("retry", get_run(server), lost.out)
    again = edgeline("retry", get_run(server), "--wait")
    assert again.code == 0, again.err
    assert "Pushed version 7" in again.out
    # The server still shows the first attempt, which is not printed.
    assert "failed" not in again.out
    assert "[ 3/5] Trainer                 running\n" in again.out
    assert len(server.runs) == 1


@pytest.mark.parametrize(
    ("state", "next_"), [("RUNNING", "kubeflow watch"), ("SUCCEEDED", "kubeflow submit")]
)
def test_only_a_run_that_failed_can_be_retried(server, edgeline, state, next_):
    server.next_story = Story([(state, {"ExampleGen": "RUNNING"})])
    edgeline("submit")
    result = edgeline("retry", get_run(server))
    assert result.code == 1
    assert f"its state is {state}" in result.err and next_ in result.err
    assert not server.count(":retry")


@pytest.mark.parametrize("text", ["a: 1\n", "a: !!int b\n"])
def test_a_package_that_is_no_pipeline_is_refused_before_it_is_sent(server, edgeline, text):
    edgeline.package.write_text(text)
    result = edgeline("submit")
    assert result.code == 2 and "is not a compiled pipeline" in result.err
    assert not server.count("POST")


# Outcomes with a release store that can be read from here.
ALL_DONE = dict.fromkeys(STEPS, "done")


@pytest.fixture
def push(tmp_path):
    """A store with one release, of the run `run-1`."""
    root = tmp_path / "push"
    store.push(root, "shelf", make_candidate(tmp_path / "candidate", run="run-1"))
    return str(root)


def test_a_release_in_the_store_that_names_the_run_decides_the_outcome(server, cluster, push):
    outcome = conclude_story(server, cluster, succeed(), ALL_DONE, "SUCCEEDED", push)
    assert (outcome.outcome, outcome.version, outcome.exit_code) == ("pushed", 1, 0)


def test_a_run_that_says_pushed_and_is_not_in_the_store_is_no_success(server, cluster, push):
    outcome = conclude_story(server, cluster, PUSHED, ALL_DONE, "SUCCEEDED", push, "run-2")
    assert (outcome.outcome, outcome.exit_code) == ("failed", 1)
    assert "none of run run-2" in outcome.reasons[0]


def test_the_last_step_decides_the_outcome_if_the_store_cannot_be_read_from_here(server, cluster, tmp_path):
    (tmp_path / "push" / "edge" / "shelf").mkdir(parents=True)
    (tmp_path / "push" / "edge" / "shelf" / "current.json").write_text("{")
    outcome = conclude_story(server, cluster, PUSHED, ALL_DONE, "SUCCEEDED", str(tmp_path / "push"))
    assert (outcome.outcome, outcome.version) == ("pushed", 7)
    assert "could not be read from here" in outcome.reasons[0]


def test_a_run_that_failed_after_its_push_says_that_it_pushed(server, cluster, push):
    story, states = succeed(fail("The disk is full.")), {**ALL_DONE, "ReleaseGate": "failed"}
    outcome = conclude_story(server, cluster, story, states, push=push)
    assert (outcome.outcome, outcome.version) == ("failed", 1)
    assert "pushed version 1 of shelf" in outcome.reasons[-1]
