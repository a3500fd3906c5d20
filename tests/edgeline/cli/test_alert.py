"""`edgeline alert`, by a timer and by a person who tries the channels."""

import json
import shutil
import sys
from dataclasses import replace

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.spans.served import COLUMNS
from edgeline.alerts import telling
from edgeline.cli.alert import alert
from edgeline.errors import UsageError
from edgeline.journal import utc_now
from edgeline.release import store
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.workspace.runs import RunFolder
from pipeline.settings import load_settings
from runners.cli.main import main
from tests.conftest import make_workspace
from tests.edgeline.alerts.servers import SECRET
from tests.edgeline.release.candidates import make_candidate

WEBHOOK = ("--set", "alerts.webhook=$HOOK", "--set", "alerts.min_free_gb=0")


def test_a_timer_alerts_on_the_last_run_once(workspace, hook, capsys):
    for _ in range(2):
        assert main(["alert", "--workspace", str(workspace), *WEBHOOK]) == 0
        assert "\nHeld back: the model was trained and not pushed" in capsys.readouterr().out
    assert len(hook.messages) == 1


def test_the_release_is_looked_for_where_the_last_run_pushed_it(tmp_path, make_run, hook, capsys):
    store.push(str(tmp_path / "elsewhere"), "shelf", make_candidate(tmp_path / "candidate"))
    run = make_run(id="20261001-030000", outcome="failed", push=str(tmp_path / "elsewhere"))
    folder = RunFolder(tmp_path / "workspace" / "runs" / run.id)
    folder.path.mkdir(parents=True)
    folder.write(replace(run, started_at=utc_now()))
    assert main(["alert", "--workspace", str(tmp_path / "workspace"), *WEBHOOK]) == 0
    assert "In production: version 1" in hook.messages[0]


@pytest.mark.parametrize("place", ["--workspace", "--store"])
def test_without_a_name_every_model_is_looked_at(place, tmp_path, make_run, hook, capsys):
    for number, (model, reason) in enumerate([("tank", "Too slow."), ("pump", "Too large.")], start=1):
        run = make_run(id=f"2026100{number}-030000", workload=model, number=number, outcome="held")
        run = replace(run, reasons=(reason,), started_at=utc_now())
        folder = RunFolder(tmp_path / "runs" / (run.id if place == "--workspace" else f"{model}/{run.id}"))
        folder.path.mkdir(parents=True)
        folder.write(run)
        archive.write(folder.path, Facts(run), "<!DOCTYPE html>")
    # The command of the package; that of the project alerts on the workload whose settings it reads.
    assert alert.main([place, str(tmp_path), *WEBHOOK], standalone_mode=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0::2] == ["pump:", "tank:"] and all("Held back" in line for line in lines[1::2])
    assert ["Too large." in text for text in hook.messages] == [True, False]


@pytest.fixture
def served_week(tmp_path, make_run):
    """Makes a workspace with version 1 in production, and a week of answers that came after its run."""
    workspace, data = tmp_path / "workspace", tmp_path / "photos"
    store.push(str(workspace / "push"), "shelf", make_candidate(tmp_path / "candidate"))
    rows = [LabelRow(f"{n}.jpg", "ok", "lane-01", f"s{n % 6}", "2026-10-05T09:12:33Z") for n in range(60)]
    span = write_span(data, [(row, b"not decoded") for row in rows])
    labels = ["damaged", "ok"]
    lines = [f"{n}.jpg,1,int8,{labels[n % 2]},0.9,2026-10-05T09:12:33Z,d1,random" for n in range(60)]
    (span.path / "served.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    make_workspace(
        workspace,
        make_run,
        outcome="pushed",
        version=1,
        data=str(data),
        settings=load_settings({}).recorded(),
        started_at=utc_now(),
    )
    return workspace, span.path


def test_a_daily_timer_judges_the_answers_that_came_since_the_last_run(served_week, hook, capsys):
    workspace, _ = served_week
    for _ in range(2):
        assert main(["alert", "--workspace", str(workspace), *WEBHOOK]) == 0
        worse = "Version 1, in production, is worse on phones than evaluation.served allows."
        assert capsys.readouterr().out.strip() == worse
    (text,) = hook.messages
    assert "Of 60 answers of version 1 that were drawn at random, on 6 groups, 0.500 were right" in text


def test_data_that_cannot_be_read_is_noted_and_hides_no_other_trouble(served_week, hook, capsys):
    workspace, span = served_week
    (span / "labels.csv").write_text("photo,label\n")
    assert main(["alert", "--workspace", str(workspace), *WEBHOOK]) == 0
    out, err = capsys.readouterr()
    assert "What phones answered since run 20261005-091233 was not counted: " in err
    assert out == "No problems found.\n"
    shutil.rmtree(span.parent)  # a timer may run on another machine than the one with the data
    assert main(["alert", "--workspace", str(workspace), *WEBHOOK]) == 0
    assert capsys.readouterr().err == ""


def test_a_check_that_fails_does_not_say_that_all_is_well(workspace, hook, capsys, monkeypatch):
    monkeypatch.setattr(telling, "find_troubles", lambda *_: 1 / 0)
    assert main(["alert", "--workspace", str(workspace), *WEBHOOK]) == 1
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "No alert was sent: ZeroDivisionError.\n")


def test_each_channel_is_tried_and_each_failure_printed(tmp_path, monkeypatch, hook, capsys):
    monkeypatch.chdir(tmp_path)
    command = json.dumps([sys.executable, "-c", "raise SystemExit(7)"])
    assert main(["alert", "--test", *WEBHOOK]) == 0
    assert main(["alert", "--test", *WEBHOOK, "--set", f"alerts.command={command}"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        *("webhook: sent", "webhook: sent", "command: not sent: it ended with exit code 7")
    ]
    assert "a test, nothing is wrong." in hook.messages[0]
    assert SECRET not in hook.messages[0]
    assert list(tmp_path.iterdir()) == []


def test_an_alert_that_can_go_to_nobody_is_bad_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, reason in (
        ([], "Neither alerts.webhook nor"),
        (["--test"], "Neither alerts.webhook nor"),
        ([*WEBHOOK, "--workspace", "nowhere"], "There is no workspace nowhere."),
    ):
        assert main(["alert", *arguments]) == 2
        assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_not_without_problems(workspace, hook, capsys, tmp_path):
    for place in (("--store", str(tmp_path / "not-mounted")), ("--workspace", str(workspace))):
        assert main(["alert", *place, "--workload", "text", *WEBHOOK]) == 2
        assert "There is no run and no release of text in" in capsys.readouterr().err
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize("name", ["alerts.webhok=$HOOK", "alerts.webhook=3"])
def test_without_the_project_settings_of_alerts_are_checked_too(tmp_path, name):
    with pytest.raises(UsageError, match=r"alerts\.webhook") as caught:
        alert.main(["--workspace", str(tmp_path), "--set", name], standalone_mode=False)
    assert caught.value.why == "Nothing was sent."
