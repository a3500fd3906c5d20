"""Runs that end before TensorFlow is needed, and what they tell whom."""

import json

import pytest

from edgeline.cli.main import main
from tests.edgeline.alerts.servers import SECRET
from tests.runners.cli.process import add_week


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, hook):
    """Runs on the data of a team, which tell a webhook; returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*more):
        code = main(["run", "--data", "photos", "--set", "alerts.webhook=$HOOK", *more])
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


def last_run(tmp_path):
    folder = max((tmp_path / "workspace/runs").glob("2*"))
    return json.loads((folder / "run.json").read_text()), folder


def test_a_run_whose_data_is_refused_says_so_to_who_is_on_call(run, tmp_path, hook):
    add_week(tmp_path / "photos", "photo,label")
    code, _ = run("--set", "alerts.min_free_gb=0")
    assert code == 4
    (text,) = hook.messages
    assert text.startswith("[edgeline] shelf: Data refused: nothing was trained or pushed;")
    assert "has no column lane_id" in text
    assert f"Report: {last_run(tmp_path)[1]}/report.html" in text
    assert last_run(tmp_path)[0]["warnings"] == []


def test_a_channel_that_fails_is_a_warning_and_the_next_run_sends_it_also_when_nothing_changed(
    run, tmp_path, hook
):
    add_week(tmp_path / "photos", "photo,label")
    hook.statuses = [500] * 3
    code, output = run()
    warning = "The alert was not sent by webhook: the server answered 500. It is kept for the next run."
    record, folder = last_run(tmp_path)
    assert code == record["exit_code"] == 4
    assert warning in output
    assert record["warnings"] == [warning]
    assert warning in (folder / "run.log").read_text()

    code, output = run("--if-changed")
    assert code == 0 and "Nothing changed since run" in output
    assert len(hook.messages) == 1
    everything = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in content for content in (*everything, output.encode()))


def test_what_keeps_a_run_from_beginning_is_told_although_nothing_records_it(run, tmp_path, hook):
    add_week(tmp_path / "photos")
    pointer = tmp_path / "workspace/push/edge/shelf/current.json"
    pointer.parent.mkdir(parents=True)
    pointer.write_text("{")
    code, _ = run()
    assert code == 1
    (text,) = hook.messages
    assert text.startswith("[edgeline] shelf: Failed: nothing was pushed") and "current.json" in text
    assert "In production: no release that can be read from here." in text
    assert "It is not known which version of shelf is in production." in text


def test_a_run_that_tells_nobody_notes_nothing(tmp_path, capsys):
    add_week(tmp_path / "refused", "photo,label")
    assert main(["run", "--data", str(tmp_path / "refused"), "--workspace", str(tmp_path)]) == 4
    assert list((tmp_path / "runs").glob("alerts*")) == []
