"""`edgeline schedule` as a person uses it; systemd_units and render_crontab have tests of their own."""

import os
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from data.photos.labels_file import LabelRow, write_span
from runners.shared.inputs import ROOT
from runners.timers import systemd_units
from runners.timers.scheduled_run import name_schedule
from tests.edgeline.release.candidates import make_key

EDGELINE = f"{sys.prefix}/bin/edgeline"
BOTTLES = f"name: bottles\nschema: {ROOT}/schema/shelf.pbtxt\nmodule: trainer_module.workloads.photos\n"


@pytest.fixture
def team(tmp_path, command, monkeypatch):
    """A team's folder with a week of photos, without access to this machine's systemd and cron."""
    folder = tmp_path / "a team"
    folder.mkdir()
    write_span(folder / "photos", [(LabelRow("a.jpg", "ok", "", "", ""), b"not decoded here")])
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(systemd_units, "SYSTEM_FOLDER", tmp_path / "system")
    return folder


@pytest.fixture
def schedule(team, command):
    return lambda *words: command("schedule", *words)


def get_command(output):
    """Returns the words after ExecStart=."""
    (line,) = [line for line in output.splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=")


def test_the_units_start_this_environments_command_with_absolute_paths(team, schedule):
    (team / "mine.yaml").write_text("trainer: {epochs: 3}\n")
    result = schedule("--systemd", "--data", "photos", "--profile", "mine.yaml")
    assert result.code == 0 and "--install" in result.err
    assert get_command(result.out) == (
        f'{EDGELINE} run --if-changed --workload shelf --wait --workspace "{team}/workspace"'
        f' --profile "{team}/mine.yaml" --data "{team}/photos"'
    )
    assert f"WorkingDirectory={team}\n" in result.out
    assert {"OnCalendar=Mon *-*-* 03:00:00", "Persistent=true", "Type=oneshot"} <= {*result.out.splitlines()}


def test_the_pythonpath_of_a_workload_of_ones_own_goes_along(team, schedule, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"gestures:{ROOT}")
    start = f'/usr/bin/env "PYTHONPATH={team}/gestures:{ROOT}" {EDGELINE} run'
    assert get_command(schedule("--systemd", "--data", "photos").out).startswith(start)
    # An empty entry is the current folder.
    monkeypatch.setenv("PYTHONPATH", f":{ROOT}")
    assert f"PYTHONPATH={team}:{ROOT}" in schedule("--cron", "--data", "photos").out


def test_a_workload_of_ones_own_is_named_by_its_whole_path_and_a_named_profile_by_its_name(team, schedule):
    (team / "w.yaml").write_text(BOTTLES)
    own = ("--workload", "w.yaml", "--data", "photos", "--profile", "published")
    output = schedule("--cron", *own, "--set", "model={frozen_stages: 3, weights: none}").out
    assert f"--workload '{team}/w.yaml'" in output and "--profile published" in output
    assert f"{team}/workspace/schedule-bottles.log" in output


@pytest.mark.parametrize("form", ["--systemd", "--cron"])
def test_the_command_that_sends_alerts_follows_the_run(schedule, form):
    override = "alerts.webhook=/run/hook"
    result = schedule(form, "--data", "photos", "--set", override)
    after = f"{EDGELINE} alert --workload shelf --workspace "
    (line,) = [line for line in result.out.splitlines() if after in line]
    assert line.endswith(f"--set {override}" if form == "--systemd" else f"--set {override} >/dev/null; }}")
    assert result.code == 0 and "name files for the secrets of alerts" in result.err
    assert ("systemctl edit" in result.err) == (form == "--systemd")


def test_a_warning_names_a_key_that_only_this_shell_has(schedule, monkeypatch):
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = make_key().private_bytes(*forms).decode()
    for key, is_warned in (("", False), (pem, True)):
        monkeypatch.setenv("EDGELINE_SIGNING_KEY", key)
        error = schedule("--systemd", "--data", "photos").err
        assert ("does not see EDGELINE_SIGNING_KEY" in error) == is_warned


def test_cron_gets_the_same_time_and_a_warning_names_its_limits(team, schedule):
    result = schedule("--cron", "--at", "Tue,Fri 14:30", "--data", "photos")
    assert result.out.startswith("30 14 * * 2,5 cd ") and len(result.out.splitlines()) == 1
    assert "crontab -e" in result.err and f"{team}/workspace/schedule-shelf.log" in result.err
    assert "does not repeat a run that it missed" in result.err and "--at 03:00" in result.err
    assert (team / "workspace").is_dir()


def test_the_source_of_a_run_is_scheduled_once_it_was_imported(team, schedule, command):
    rows = [f"{number * 7 % 31},{'good' if number % 2 else 'bad'}" for number in range(200)]
    (team / "pumps.csv").write_text("\n".join(["weight,state", *rows]))
    source = "pumps.csv", "--label", "state"
    result = schedule("--systemd", *source)
    assert result.code == 2 and "A first import may ask, and a timer cannot answer." in result.err
    assert command("data", "import", *source, "--data", "workspace/data/pumps").code == 0
    assert get_command(schedule("--systemd", *source).out) == (
        f'{EDGELINE} run "{team}/pumps.csv" --label state --wait'
        f' --workspace "{team}/workspace" --data "{team}/workspace/data/pumps"'
    )


def test_text_for_a_file_is_printed_without_line_breaks(team, schedule, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    place = team / "our edgeline data"
    for form in ("--cron", "--systemd"):
        output = schedule(form, "--workspace", place, "--data", "photos").out
        assert str(place) in output.replace('"', "") and ".venv/bin/edgeline data" not in output
        assert form != "--cron" or len(output.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "Exactly one of the options --systemd --cron is required"),
        (["--systemd", "--at", "Mom 03:00"], "Did you mean Mon?"),
        (["--cron", "--set", "trainer.epoch=3"], "Did you mean trainer.epochs?"),
        (["--systemd", "--data", "nowhere"], "nowhere is not a folder"),
        (["--systemd", "--install", "--remove"], "not allowed with"),
        (["--cron", "--data", "photos", "--set", "push.destination=a\nb"], "control character"),
        (["--cron", "--data", "photos", "--workspace", "a\udce4b"], "not UTF-8"),
        (["--cron", "--workload", "w.yaml"], "has no sample, and --data is not given"),
        # Edgeline changes no crontab.
        (["--cron", "--data", "photos", "--install"], "Add or remove the line with `crontab -e`"),
        (["--cron", "--data", "photos", "--remove"], "--cron does not take --remove"),
    ],
    ids=[*"0123456789"],
)
def test_a_schedule_that_could_not_run_is_refused_at_once(team, schedule, arguments, hint):
    (team / "w.yaml").write_text(BOTTLES)
    result = schedule(*arguments)
    assert (result.code, result.out) == (2, "") and hint in result.err
    assert len([line for line in result.err.splitlines() if line]) >= 2


def test_a_folder_that_systemd_could_not_go_to_is_refused(team, schedule, monkeypatch):
    (team / "ends in \\").mkdir()
    monkeypatch.chdir(team / "ends in \\")
    result = schedule("--systemd")
    assert result.code == 2 and "ends in a blank or a backslash" in result.err


def test_a_week_that_a_run_would_refuse_is_refused_before_anything_is_installed(team, schedule):
    (team / "photos" / "span-00001" / "labels.csv").write_text("photo,label\n")
    result = schedule("--systemd", "--install", "--data", "photos")
    assert result.code == 4 and "has no column lane_id" in result.err


def test_the_error_without_systemd_names_cron(schedule, tmp_path):
    result = schedule("--systemd", "--install", "--data", "photos")
    assert result.code == 1 and "systemctl" in result.err and "--cron" in result.err
    assert not (tmp_path / "system").exists() and not (tmp_path / "config").exists()


@pytest.fixture
def systemd(tmp_path):
    """A systemctl that agrees to everything, in the place of the machine's own."""
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "bin" / "systemctl").chmod(0o755)


@pytest.mark.parametrize("user", [0, 1000])
def test_a_timer_is_installed_with_what_to_look_at_and_removed(
    team, schedule, systemd, tmp_path, monkeypatch, user
):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    folder = tmp_path / "config" / "systemd" / "user" if user else tmp_path / "system"
    name = name_schedule("shelf", team / "workspace")
    text = schedule("--systemd", "--install", "--data", "photos").out
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.service", f"{name}.timer"]
    scope = " --user" if user else ""
    assert f"journalctl{scope} -u {name}.service" in text and f"systemctl{scope} start {name}.service" in text

    elsewhere = schedule("--systemd", "--remove", "--workspace", "elsewhere")
    assert elsewhere.code == 2 and f"Installed schedules: {name}." in elsewhere.err
    assert schedule("--systemd", "--remove").code == 0
    assert list(folder.iterdir()) == []


def test_a_schedule_of_a_workload_whose_file_is_gone_is_removed_by_its_name(team, schedule, systemd):
    (team / "w.yaml").write_text(BOTTLES)
    assert schedule("--systemd", "--install", "--workload", "w.yaml", "--data", "photos").code == 0
    (team / "w.yaml").unlink()
    assert schedule("--systemd", "--remove", "--workload", "bottles").code == 0
    assert systemd_units.list_installed() == []
