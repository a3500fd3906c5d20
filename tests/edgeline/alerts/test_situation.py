"""The alerts of runs that end before they need TensorFlow."""

import json

import pytest

from runners.cli.main import main
from tests.edgeline.alerts.servers import SECRET
from tests.runners.cli.process import add_week


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, hook):
    """Runs on the data of a team, with alerts to a webhook; returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*more):
        code = main(["run", "--data", "photos", "--set", "alerts.webhook=$HOOK", *more])
        return code, "".join(capsys.readouterr())

    return run


def read_last_run(tmp_path):
    folder = max((tmp_path / "workspace/runs").glob("2*"))
    return json.loads((folder / "run.json").read_text()), folder


def test_a_run_whose_data_is_refused_alerts_who_is_on_call(run, tmp_path, hook):
    add_week(tmp_path / "photos", "photo,label")
    code, _ = run("--set", "alerts.min_free_gb=0")
    assert code == 4
    (text,) = hook.messages
    assert text.startswith("[edgeline] shelf: Data refused: nothing was trained or pushed;")
    assert "has no column lane_id" in text
    record, folder = read_last_run(tmp_path)
    assert f"Report: {folder}/report.html" in text
    assert record["warnings"] == []


def test_an_alert_that_could_not_be_sent_is_a_warning_and_the_next_run_sends_it_even_if_nothing_changed(
    run, tmp_path, hook
):
    add_week(tmp_path / "photos", "photo,label")
    hook.statuses = [500] * 3
    code, output = run()
    warning = "The alert was not sent by webhook: the server answered 500. It is kept for the next run."
    record, folder = read_last_run(tmp_path)
    assert code == record["exit_code"] == 4
    assert warning in output
    assert record["warnings"] == [warning]
    assert warning in (folder / "run.log").read_text()

    code, output = run("--if-changed")
    assert code == 0 and "Nothing changed since run" in output
    assert len(hook.messages) == 1
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in content for content in (*contents, output.encode()))


def test_an_error_that_keeps_a_run_from_beginning_is_sent_although_nothing_records_it(run, tmp_path, hook):
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


def test_a_run_without_alerts_notes_nothing(tmp_path, capsys):
    add_week(tmp_path / "refused", "photo,label")
    assert main(["run", "--data", str(tmp_path / "refused"), "--workspace", str(tmp_path)]) == 4
    assert list((tmp_path / "runs").glob("alerts*")) == []
