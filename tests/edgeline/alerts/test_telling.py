"""Alerts over the runs of a workspace: each trouble is sent once, its end is sent once, and none is lost."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edgeline.alerts.settings import AlertSettings
from edgeline.alerts.telling import look_at_store, look_at_workspace, send_new_alerts
from edgeline.errors import Problem
from edgeline.journal import utc_now
from edgeline.records.run import Run, Step
from edgeline.records.verdict import Verdict
from edgeline.release import store
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.store.locations import locate
from tests.edgeline.release.candidates import make_candidate, make_key, spoil_signature
from tests.outputs import write_run
from tests.runners.cli.process import ROOT

HELD = ("Accuracy is 0.71; 0.85 is needed.",)


class Workspace:
    """A workspace in which runs end, each with its alerts."""

    def __init__(self, path, make_run, **settings):
        self.path, self.push, self._make_run, self._number = path, str(path / "push"), make_run, 0
        self.settings = AlertSettings.model_validate_json(
            json.dumps({"webhook": "$HOOK", "min_free_gb": 0, **settings})
        )

    def send_alerts(self, not_begun=None, unchanged=False):
        look = partial(look_at_workspace, self.path, "shelf", self.push, not_begun, unchanged)
        return send_new_alerts(self.settings, look)

    def record(self, outcome, *reasons, gates=(), **values):
        """Writes the record and the page of a run that ended."""
        self._number += 1
        run = self._make_run(
            id=f"20261005-09{self._number:02d}00",
            number=self._number,
            outcome=outcome,
            reasons=reasons,
            **{"started_at": utc_now(), **values},
        )
        folder = write_run(self.path, run)
        archive.write(folder.path, Facts(run, gates=gates), "<!DOCTYPE html>")

    def run(self, outcome, *reasons, **values):
        self.record(outcome, *reasons, **values)
        return self.send_alerts()

    @property
    def state(self):
        return self.path / "runs" / "alerts-shelf.json"


@pytest.fixture
def workspace(tmp_path, make_run, hook):
    return Workspace(tmp_path / "work space", make_run)


def test_the_message_says_what_somebody_on_call_needs(workspace, hook, tmp_path):
    store.push(workspace.push, "shelf", make_candidate(tmp_path / "candidate"))
    problem = Problem("The disk is full.", "The run could not write.", "Free some space.")
    assert workspace.run("failed", problem.found, error=problem)[1] == []
    (text,) = hook.messages
    place = f"--workload shelf --workspace '{workspace.path}'"
    subject, _, *lines, _ = text.splitlines()
    assert subject == "[edgeline] shelf: Failed: nothing was pushed; version 1 stays in production."
    assert lines[:5] == [
        *("Failed: nothing was pushed; version 1 stays in production.", "- The disk is full."),
        "- The run could not write.",
        *("To do: Free some space.", ""),
    ]
    assert lines[5].startswith("In production: version 1, pushed 20")
    assert lines[6:] == [
        f"Details: .venv/bin/edgeline report latest {place}",
        f"Report: {workspace.path}/runs/20261005-090100/report.html",
    ]


def test_a_pointer_that_phones_refuse_is_sent(workspace, hook, tmp_path):
    store.push(workspace.push, "shelf", make_candidate(tmp_path / "candidate", signing_key=make_key()))
    spoil_signature(Path(workspace.push))
    workspace.run("held", *HELD)
    (text,) = hook.messages
    assert "its signed pointer is not valid: it names the key" in text
    assert "It is not known which version of shelf is in production." in text


def test_the_same_trouble_is_sent_once_and_its_end_once(workspace, hook):
    workspace.run("pushed")
    workspace.run("failed", "No space.")
    workspace.run("failed", "No space.")
    workspace.run("interrupted", "Ctrl-C.")  # the trouble stays
    workspace.send_alerts()
    workspace.run("pushed")
    workspace.run("pushed")
    trouble, over = hook.messages
    assert "No space." in trouble and "Resolved" not in trouble
    assert over.splitlines()[0] == (
        "[edgeline] shelf: Resolved: Failed: nothing was pushed; nothing was in production."
    )
    assert "No space." not in over


def test_a_trouble_that_changes_is_sent_again(workspace, hook):
    workspace.run("failed", "No space.")
    workspace.run("failed", "No memory.")
    workspace.run("refused", "20 photos are unlabelled.")
    assert [("No space" in m, "No memory" in m, "unlabelled" in m) for m in hook.messages] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert not any("Resolved" in message for message in hook.messages)


def test_a_gate_is_sent_again_for_another_slice_and_not_for_other_numbers(workspace, hook):
    def hold_back(recall, label):
        reason = f"Recall of {label} is {recall}; 0.300 is needed."
        verdict = Verdict("evaluation", "fail", (reason,), slices=(label,))
        workspace.run("held", reason, gates=(verdict,))

    hold_back(0.121, "class damaged")
    hold_back(0.137, "class damaged")
    hold_back(0.137, "class ok")
    assert ["damaged" in message for message in hook.messages] == [True, False]


def test_an_error_before_a_run_began_is_sent_and_only_the_next_run_ends_it_also_if_it_finds_nothing_new(
    workspace, hook
):
    problem = Problem("There is no bucket 'b'.", "Examples lie in a bucket.", "Check its name.")
    workspace.run("pushed")
    workspace.send_alerts(not_begun=problem)
    workspace.send_alerts(not_begun=problem)
    workspace.send_alerts()  # A timer sees only the run before.
    assert len(hook.messages) == 1
    assert "There is no bucket" in hook.messages[0] and "Check its name." in hook.messages[0]
    workspace.run("pushed")
    for _ in range(2):
        workspace.send_alerts(not_begun=problem)
        workspace.send_alerts(unchanged=True)
    assert ["Resolved" in message for message in hook.messages] == [False, True] * 3


def test_days_count_from_the_first_run_if_nothing_was_ever_pushed(workspace, hook):
    workspace.record("held", started_at="2026-01-05T03:00:00Z")
    for _ in range(21):
        workspace.record("held")
    assert "nothing has been pushed for" in workspace.send_alerts()[0]["stale"].what
    assert "\nIn production: nothing.\n" in hook.messages[0]


def test_a_killed_run_that_left_no_page_is_sent_by_the_command_of_a_timer(workspace, hook, make_run):
    write_run(workspace.path, make_run(number=1, pid=2**22 + 1, started_at=utc_now()))
    troubles, _ = workspace.send_alerts()
    assert list(troubles) == ["run"] and "Killed" in hook.messages[0]
    assert (
        "Details: .venv/bin/edgeline report latest" in hook.messages[0] and "Report:" not in hook.messages[0]
    )


def test_alerts_that_could_not_be_sent_are_sent_by_the_next_run_before_new_ones(workspace, hook):
    hook.statuses = [500] * 3
    assert workspace.run("failed", "No space.")[1] == [
        "The alert was not sent by webhook: the server answered 500. It is kept for the next run."
    ]
    assert hook.messages == []
    assert workspace.run("pushed")[1] == []
    assert ["No space." in message for message in hook.messages] == [True, False]
    workspace.run("pushed")
    assert len(hook.messages) == 2


def test_an_alert_that_cannot_be_recorded_is_sent_all_the_same_and_not_said_to_be_kept(workspace, hook):
    hook.statuses = [500] * 3
    workspace.state.mkdir(parents=True)  # Root may write anywhere, but not into a folder.
    not_recorded, not_sent = workspace.run("failed", "No space.")[1]
    assert not_recorded.startswith("The alerts could not be recorded, so they are sent again")
    assert not_sent == "The alert was not sent by webhook: the server answered 500."
    assert workspace.send_alerts()[1] == [not_recorded] and len(hook.messages) == 1


def test_a_channel_that_works_gets_no_message_twice_because_another_fails(tmp_path, make_run, hook):
    repaired = tmp_path / "repaired"
    command = ["sh", "-c", f"cat >'{tmp_path}/message'; [ -e '{repaired}' ]"]
    workspace = Workspace(tmp_path / "workspace", make_run, command=command)
    assert len(workspace.run("failed", "No space.")[1]) == 1
    repaired.touch()
    assert workspace.send_alerts()[1] == []
    assert len(hook.messages) == 1


def test_the_newest_alerts_of_a_year_of_failures_are_kept(workspace, hook):
    hook.statuses = [404] * (1 + 2 * 21)  # one attempt, then two a run: the oldest message and the newest
    for number in range(22):
        workspace.run("failed", f"Reason {number}.")
    workspace.send_alerts()
    assert len(hook.messages) == 20
    assert "Reason 2." in hook.messages[0] and "Reason 21." in hook.messages[-1]


def test_a_state_that_a_kill_has_torn_costs_a_repetition_and_nothing_more(workspace, hook):
    workspace.run("failed", "No space.")
    for number, keep in enumerate((0, 20), start=2):
        workspace.state.write_bytes(workspace.state.read_bytes()[:keep])
        for _ in range(2):
            assert workspace.send_alerts()[1] == []
            assert len(hook.messages) == number


def test_a_process_that_is_killed_while_it_sends_leaves_the_message_to_the_next(workspace, hook):
    hook.hangs = True
    workspace.record("failed", "No space.")
    command = [sys.executable, "-m", "runners.cli", "alert", "--workspace", str(workspace.path)]
    process = subprocess.Popen([*command, "--set", "alerts.webhook=$HOOK"], cwd=ROOT)
    while not (workspace.state.exists() and b"No space." in workspace.state.read_bytes()):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    hook.hangs = False
    workspace.send_alerts()
    assert len(hook.messages) == 1


def test_runs_on_a_cluster_keep_what_was_sent_beside_their_records(hook, bucket):
    """In a bucket and in a mounted claim they are kept alike."""
    root = locate(bucket) / "push/runs/shelf"
    settings = AlertSettings.model_validate_json('{"webhook": "$HOOK"}')

    def end(run, outcome, recorded=True, **values):
        record = Run(id=run, workload="shelf", engine="kubeflow", outcome=outcome, **values)
        if recorded:
            earlier = [facts for _, facts in archive.read_all(root)]
            number = archive.choose_number(run, earlier)
            archive.write(root / run, Facts(replace(record, number=number)), "<!DOCTYPE html>")
        return send_new_alerts(settings, partial(look_at_store, root, record))

    failed = {"reasons": ("Trainer: out of memory.",), "steps": (Step("Trainer", "failed"),)}
    assert end("run-1", "failed", **failed)[1] == []
    assert end("run-1", "failed", **failed)[1] == []
    assert end("run-2", "failed", recorded=False, **failed)[1] == []
    assert end("run-3", "pushed")[1] == []
    trouble, over = hook.messages
    assert f"--workload shelf --store {bucket}/push" in trouble
    assert f"Report: {bucket}/push/runs/shelf/run-1/report.html" in trouble
    assert "Resolved: Failed" in over
