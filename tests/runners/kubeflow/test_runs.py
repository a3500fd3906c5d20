"""`edgeline kubeflow submit, watch, retry` against a small server with the endpoints of the real one."""

import re
import time
from dataclasses import replace

import pytest

from edgeline.journal import get_user_and_host
from edgeline.records.outcome import Outcome
from pipeline.kubeflow_settings import KubeflowSettings
from runners.kubeflow import runs as kubeflow_runs
from runners.kubeflow import watch as kubeflow_watch
from runners.kubeflow.access import connect
from runners.kubeflow.outcome import conclude
from runners.kubeflow.run_steps import Step
from tests.edgeline.release.candidates import make_candidate
from tests.runners.kubeflow.commands_run import ROOT
from tests.runners.kubeflow.server import STEPS, Story, hang_up, status, until

LAUNCHER = "I1120 12:51:43 23 launcher_v2.go:90] input ComponentSpec:{\n"
PUBLISHED = "I1120 12:51:44 23 launcher_v2.go:151] publish success.\n"
SAID = {
    "pushed": Outcome("pushed", 7, ("Version 7 of shelf is in production.",)),
    "unchanged": Outcome("unchanged", 6, ("This model is in production already, as version 6.",)),
    "held": Outcome("held", reasons=("Accuracy is 0.81 on 400 eval examples; at least 0.850 is needed.",)),
    "refused": Outcome("refused", reasons=("The span span-00042 has 40 % of its photos quarantined.",)),
}


def failed(reason, **more):
    return Outcome("failed", reasons=(reason,), **more)


def log_of(step, outcome):
    """Returns the log of a step: of our entry and of KFP's launcher."""
    outcome = replace(outcome, step=step)
    return f"{LAUNCHER}{outcome.sentence}\n{outcome.to_line()}\n{PUBLISHED}"


def logs(**outcomes):
    return {step: log_of(step, outcome) for step, outcome in outcomes.items()}


def green(outcome=None, **options):
    """A run that ends well, with the outcome of its last step."""
    options = {"logs": logs(ReleaseGate=outcome) if outcome else {}, **options}
    return until("ReleaseGate", "SUCCEEDED", "SUCCEEDED", **options)


def red(step, outcome=None, message=None, **options):
    """A run that ends at a step that failed, with the outcome of the step or the message of Kubernetes."""
    texts = {
        "logs": logs(**{step: outcome}) if outcome else {},
        "messages": {step: message} if message else {},
    }
    return until(step, "FAILED", "FAILED", **{**texts, **options})


PUSHED = green(SAID["pushed"])
STEP_BY_STEP = green(slowly=True, logs=PUSHED.logs)


def the_run(server):
    [run] = server.runs
    return run


def names(action, run, text):
    """Returns true if a text names the command for a run, with the options that were just typed."""
    return re.search(rf"edgeline kubeflow {action} (-\S+ \S+ )*{run}", text)


def test_submit_uploads_starts_a_run_and_prints_its_page(server, edgeline):
    ended = edgeline("submit")
    assert ended.code == 0, ended.err
    run = server.runs[the_run(server)]
    assert f"{server.url}/#/runs/details/{run['run_id']}" in ended.out
    [pipeline], [version] = (each.values() for each in (server.pipelines, server.versions))
    assert pipeline["display_name"] == "shelf" and "workload shelf" in pipeline["description"]
    about = f"By {get_user_and_host()}. shelf in the image edgeline:1."
    assert version["description"] == run["description"] == about
    assert server.experiments[run["experiment_id"]]["display_name"] == "weekly"
    assert run["runtime_config"] == {"pipeline_root": ROOT, "parameters": {"epochs": 16, "window": 8}}
    assert run["service_account"] == "edgeline"
    # With its ISO week.
    assert re.fullmatch(r"shelf \d{4}-W\d\d, [\d-]{10} [\d:]{8}", run["display_name"])


def test_of_a_long_description_a_run_and_a_schedule_have_what_a_backend_can_store(server, edgeline):
    """255 characters in the database of KFP 2.0.5, which answers 500 to more; a version may have more."""
    edgeline.write_package(about="trainer.epochs=16, " * 20)
    for command in (("submit",), ("schedule", "--cron", "0 0 3 * * 1")):
        ended = edgeline(*command)
        assert ended.code == 0, ended.err
    [version], [run], [recurring] = (
        each.values() for each in (server.versions, server.runs, server.recurring)
    )
    assert version["description"].count("trainer.epochs=16") == 20
    for made in (run, recurring):
        assert f"By {get_user_and_host()}. " in made["description"] and made["description"].endswith(" ...")


def test_the_same_pipeline_is_uploaded_once_and_another_one_is_a_version_of_it(server, edgeline):
    first, again = (edgeline("submit", "--json").json["pipeline_version"] for _ in range(2))
    assert first == again and len(server.versions) == 1 and len(server.runs) == 2
    edgeline.write_package(epochs=17)
    other = edgeline("submit", "--json").json["pipeline_version"]
    assert (len(server.pipelines), len(server.experiments), len(server.versions)) == (1, 1, 2)
    # When, and of what.
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{12}", other) and other[16:] != first[16:]


CODES = {"pushed": 0, "unchanged": 0, "held": 3, "refused": 4, "failed": 1}
NOT_STORED = "Version 7 of shelf is not in the release store."
NO_BUCKET = "F1120 12:51:15 23 main.go:49] failed to execute component: no such bucket"


@pytest.mark.parametrize(
    ("story", "outcome", "reason"),
    [
        (PUSHED, "pushed", ""),
        (green(SAID["unchanged"]), "unchanged", "already, as version 6."),
        (red("ReleaseGate", SAID["held"]), "held", "Accuracy is 0.81 on 400 eval examples; at least 0.850"),
        (red("DataGate", SAID["refused"]), "refused", "span span-00042 has 40 % of its photos quarantined."),
        (red("ReleaseGate", failed(NOT_STORED)), "failed", f"ReleaseGate failed: {NOT_STORED}"),
        (red("Trainer", logs={"Trainer": NO_BUCKET}), "failed", "Trainer failed: no such bucket"),
        (red("DataGate"), "refused", "its log, which has the reason"),
        (red("DataGate", message="pod deleted"), "failed", "DataGate lost its pod: pod deleted."),
        (Story([("FAILED", {})]), "failed", "ended before its first step"),
        (until("Trainer", "SUCCEEDED", "FAILED"), "failed", "ended after Trainer"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_a_run_ends_with_the_exit_code_of_a_local_one(server, edgeline, story, outcome, reason):
    server.next_story = story
    ended = edgeline("submit", "--wait", "--json")
    assert ended.json["outcome"] == outcome, ended.err
    assert ended.code == ended.json["exit_code"] == CODES[outcome]
    assert reason in " ".join(ended.json["reasons"])
    assert ended.json["version"] == (7 if outcome == "pushed" else None)


@pytest.mark.parametrize(
    ("story", "why"),
    [
        # Every step from the cache, as a recurring run without `caching off` has it.
        (Story([("SUCCEEDED", dict.fromkeys(STEPS, "SKIPPED"))]), "did not run"),
        (
            Story(
                [("SUCCEEDED", {**dict.fromkeys(STEPS, "SUCCEEDED"), "Pusher": "SKIPPED"})],
                logs=logs(ReleaseGate=SAID["pushed"]),
            ),
            "Pusher did not run",
        ),
        # The cluster takes a pod that was killed for one that was done.
        (green(), "whether it pushed a model is not known"),
        (green(Outcome("done")), "whether it pushed a model is not known"),
        # An older image logs no outcome at all, which is no sign of a lost pod.
        (green(logs=dict.fromkeys(STEPS, f"{LAUNCHER}{PUBLISHED}")), "the image is older than this edgeline"),
    ],
)
def test_a_green_run_that_pushed_nothing_is_no_success(server, edgeline, story, why):
    server.next_story = story
    ended = edgeline("submit", "--wait")
    assert ended.code == 1
    assert "succeeded" in ended.out and why in ended.out


def test_progress_is_that_of_a_local_run(server, edgeline):
    server.next_story = STEP_BY_STEP
    lines = edgeline("submit", "--wait").out.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("[")] == [
        words
        for number, step in enumerate(STEPS, 1)
        for words in (["[", f"{number}/5]", step, "running"], ["[", f"{number}/5]", step, "done"])
    ]
    assert lines[-1] == "Pushed version 7 of shelf to pvc://edgeline/push"


def test_a_run_that_has_ended_is_judged_by_its_steps_once_the_server_knows_how_they_ended(server, edgeline):
    """It writes down the run first, and its tasks after."""
    stale = ("FAILED", {**dict.fromkeys(STEPS[:2], "SUCCEEDED"), "Trainer": "RUNNING"})
    ended = red("Trainer", failed("No GPU was found."))
    server.next_story = Story([stale, stale, *ended.frames], logs=ended.logs)
    ended = edgeline("submit", "--wait")
    assert "Trainer failed: No GPU was found." in ended.out
    assert "[ 3/5] Trainer                 failed" in ended.out


def test_a_run_whose_steps_never_end_is_told_all_the_same(server, edgeline, monkeypatch):
    monkeypatch.setattr(kubeflow_runs, "PATIENCE", replace(kubeflow_runs.PATIENCE, settle_s=0.1))
    server.next_story = Story([("FAILED", {"ExampleGen": "RUNNING"})])
    ended = edgeline("submit", "--wait")
    assert ended.code == 1 and "Failed" in ended.out


def test_a_server_without_the_old_api_is_followed_all_the_same(server, edgeline):
    server.has_old_api = False
    server.next_story = PUSHED
    assert edgeline("submit", "--wait").code == 0
    server.runs.clear()
    server.next_story = red("ReleaseGate", SAID["held"])
    held = edgeline("submit", "--wait")
    assert held.code == 3 and "at least 0.850 is needed" in held.out
    assert "ReleaseGate             held" in held.out and "ReleaseGate             failed" not in held.out


def test_the_api_may_be_away_for_a_while_as_when_a_port_forward_breaks(server, edgeline):
    server.next_story = STEP_BY_STEP
    server.break_(r"GET .*/runs/", hang_up, times=3, after=4)
    server.break_(r"GET .*/runs/", status(503, "upstream connect error", "text/plain"), times=2, after=6)
    server.break_(r"GET .*/runs/", status(429, "rate limited", "text/plain"), times=2, after=8)
    ended = edgeline("submit", "--wait")
    assert ended.code == 0, ended.err
    assert "retrying" in ended.out


def test_an_api_that_stays_away_ends_the_waiting_and_says_how_to_go_on(server, edgeline):
    server.next_story = STEP_BY_STEP
    server.break_(r"GET .*/runs/", hang_up, after=3)
    ended = edgeline("submit", "--wait")
    assert ended.code == 1
    assert names("watch", the_run(server), ended.err)


def test_a_time_limit_holds_while_the_api_is_away_too(server, edgeline, monkeypatch):
    monkeypatch.setattr(kubeflow_runs, "PATIENCE", replace(kubeflow_runs.PATIENCE, outage_s=600))
    server.next_story = STEP_BY_STEP
    server.break_(r"GET .*/runs/", hang_up, after=1)
    started = time.monotonic()
    ended = edgeline("submit", "--wait", "--timeout", "0.5")
    assert ended.code == 1 and time.monotonic() - started < 300  # the limit ended it, not the outage
    assert names("watch", the_run(server), ended.err)


def test_a_token_that_runs_out_while_a_run_is_followed_says_that_the_run_goes_on(server, edgeline):
    server.next_story = STEP_BY_STEP
    server.break_(r"GET .*/runs/", status(401, "Jwt is expired", "text/plain"), after=3)
    ended = edgeline("submit", "--wait")
    assert ended.code == 1
    assert "Jwt is expired" in ended.err and "The run itself goes on" in ended.err


def test_a_time_limit_ends_the_waiting_and_not_the_run(server, edgeline):
    server.next_story = Story([("RUNNING", {"ExampleGen": "RUNNING"})])
    ended = edgeline("submit", "--wait", "--timeout", "0.05")
    assert ended.code == 1
    assert "has not ended" in ended.err and names("watch", the_run(server), ended.err)
    assert not server.asked("terminate")


def test_an_image_that_cannot_be_pulled_ends_the_waiting_in_three_parts(server, edgeline):
    message = 'ImagePullBackOff: Back-off pulling image "edgeline:1"'
    server.next_story = Story([("RUNNING", {"ExampleGen": "PENDING"})], messages={"ExampleGen": message})
    ended = edgeline("submit", "--wait")
    assert ended.code == 1
    found, why, do, again = ended.err.splitlines()
    assert found == f"ExampleGen's pod does not start: {message}."
    assert "cannot get the image" in why and "kubeflow.image" in do and "watch" in again


def test_a_cluster_that_is_full_is_waited_for_with_a_warning(server, edgeline):
    message = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    waits = ("RUNNING", {**dict.fromkeys(STEPS[:2], "SUCCEEDED"), "Trainer": "PENDING"})
    server.next_story = Story(
        [*[waits] * 15, *PUSHED.frames], logs=PUSHED.logs, messages={"Trainer": message}
    )
    ended = edgeline("submit", "--wait")
    assert ended.code == 0, ended.err
    assert ended.out.count("Insufficient nvidia.com/gpu") == 1


def test_a_pod_that_nobody_explains_is_told_with_where_to_look(server, edgeline):
    server.has_old_api = False
    server.next_story = Story([("RUNNING", {"ExampleGen": "PENDING"})])
    ended = edgeline("submit", "--wait", "--timeout", "0.2")
    assert ended.code == 1 and ended.out.count("kubectl describe pod") == 1


def test_a_cluster_that_begins_with_nothing_is_told(server, edgeline):
    server.next_story = Story([("PENDING", {})])
    ended = edgeline("submit", "--wait", "--timeout", "0.2")
    assert ended.code == 1 and "workflow-controller" in ended.out


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_follow_it_again(server, edgeline, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    server.next_story = STEP_BY_STEP
    monkeypatch.setattr(kubeflow_watch.time, "sleep", interrupt)
    ended = edgeline("submit", "--wait")
    assert ended.code == 130
    assert names("watch", the_run(server), ended.out)
    assert not server.asked("terminate|DELETE")


def test_a_lost_step_is_picked_up_again_by_retry(server, edgeline):
    later = Story([("RUNNING", {"Trainer": "RUNNING"}), *PUSHED.frames], logs=PUSHED.logs)
    server.next_story = red("Trainer", message="pod deleted", retried=later)
    lost = edgeline("submit", "--wait")
    assert lost.code == 1 and "Trainer lost its pod" in lost.out
    assert names("retry", the_run(server), lost.out)
    again = edgeline("retry", the_run(server), "--wait")
    assert again.code == 0, again.err
    assert "Pushed version 7" in again.out
    # The server still shows the first attempt, which is no news.
    assert "failed" not in again.out
    assert "[ 3/5] Trainer                 running\n" in again.out
    assert len(server.runs) == 1


@pytest.mark.parametrize(
    ("state", "next_"), [("RUNNING", "kubeflow watch"), ("SUCCEEDED", "kubeflow submit")]
)
def test_only_a_run_that_failed_can_be_retried(server, edgeline, state, next_):
    server.next_story = Story([(state, {"ExampleGen": "RUNNING"})])
    edgeline("submit")
    ended = edgeline("retry", the_run(server))
    assert ended.code == 1
    assert f"its state is {state}" in ended.err and next_ in ended.err
    assert not server.asked(":retry")


@pytest.mark.parametrize("text", ["a: 1\n", "a: !!int b\n"])
def test_a_package_that_is_no_pipeline_is_refused_before_it_is_sent(server, edgeline, text):
    edgeline.package.write_text(text)
    ended = edgeline("submit")
    assert ended.code == 2 and "is not a compiled pipeline" in ended.err
    assert not server.asked("POST")


# Answers of a release store that can be read from here.


ALL_DONE = [Step(step, "done", 3.0) for step in STEPS]


@pytest.fixture
def released(tmp_path):
    """A store with one release, of the run `run-1`."""
    from edgeline.release import store

    root = tmp_path / "push"
    store.push(root, "shelf", make_candidate(tmp_path / "candidate", run="run-1"))
    return str(root)


def judge(server, run, push, outcome=None, state="SUCCEEDED", steps=ALL_DONE):
    server.stories[run] = Story([], logs=logs(ReleaseGate=outcome) if outcome else {})
    server.runs[run] = {"run_id": run}
    steps = [Step(step.name, step.state, step.seconds, (f"{run}-{step.name}-pod",)) for step in steps]
    return conclude(connect(KubeflowSettings(), server.url, {}), run, state, steps, "shelf", push)


def test_a_release_in_the_store_that_names_the_run_is_the_best_witness(server, released):
    outcome = judge(server, "run-1", released)
    assert (outcome.outcome, outcome.version, outcome.exit_code) == ("pushed", 1, 0)


def test_a_run_that_says_pushed_and_is_not_in_the_store_is_no_success(server, released):
    outcome = judge(server, "run-2", released, SAID["pushed"])
    assert (outcome.outcome, outcome.exit_code) == ("failed", 1)
    assert "none of run run-2" in outcome.reasons[0]


def test_a_store_that_cannot_be_read_from_here_leaves_the_word_of_the_last_step(server, tmp_path):
    (tmp_path / "push" / "edge" / "shelf").mkdir(parents=True)
    (tmp_path / "push" / "edge" / "shelf" / "current.json").write_text("{")
    outcome = judge(server, "run-2", str(tmp_path / "push"), SAID["pushed"])
    assert (outcome.outcome, outcome.version) == ("pushed", 7)
    assert "could not be read from here" in outcome.reasons[0]


def test_a_run_that_failed_after_its_push_says_that_it_pushed(server, released):
    steps = [*ALL_DONE[:-1], Step("ReleaseGate", "failed", 3.0)]
    outcome = judge(server, "run-1", released, failed("The disk is full."), "FAILED", steps)
    assert (outcome.outcome, outcome.version) == ("failed", 1)
    assert "pushed version 1 of shelf" in outcome.reasons[-1]
