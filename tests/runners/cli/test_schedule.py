"""`edgeline schedule` as a person uses it; systemd_units and render_crontab have tests of their own."""

import os
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from data.photos.labels_file import LabelRow, write_span
from runners.cli.main import main
from runners.shared.inputs import ROOT
from runners.timers import systemd_units
from runners.timers.scheduled_run import name_schedule
from tests.edgeline.release.candidates import make_key

EDGELINE = f"{sys.prefix}/bin/edgeline"
BOTTLES = f"name: bottles\nschema: {ROOT}/schema/shelf.pbtxt\nmodule: trainer_module.workloads.photos\n"


@pytest.fixture
def team(tmp_path, monkeypatch):
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


def get_command(output):
    """Returns the words after ExecStart=."""
    (line,) = [line for line in output.splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=")


def test_the_units_start_this_environments_command_with_absolute_paths(team, capsys):
    (team / "mine.yaml").write_text("trainer: {epochs: 3}\n")

    assert main(["schedule", "--systemd", "--data", "photos", "--profile", "mine.yaml"]) == 0

    output = capsys.readouterr()
    assert get_command(output.out) == (
        f'{EDGELINE} run --if-changed --workload shelf --wait --workspace "{team}/workspace"'
        f' --profile "{team}/mine.yaml" --data "{team}/photos"'
    )
    assert f"WorkingDirectory={team}\n" in output.out
    assert {"OnCalendar=Mon *-*-* 03:00:00", "Persistent=true", "Type=oneshot"} <= {*output.out.splitlines()}
    assert "--install" in output.err


def test_the_pythonpath_of_a_workload_of_ones_own_goes_along(team, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"gestures:{ROOT}")
    assert main(["schedule", "--systemd", "--data", "photos"]) == 0
    assert get_command(capsys.readouterr().out).startswith(
        f'/usr/bin/env "PYTHONPATH={team}/gestures:{ROOT}" {EDGELINE} run'
    )
    # An empty entry is the current folder.
    monkeypatch.setenv("PYTHONPATH", f":{ROOT}")
    assert main(["schedule", "--cron", "--data", "photos"]) == 0
    assert f"PYTHONPATH={team}:{ROOT}" in capsys.readouterr().out


def test_a_workload_of_ones_own_is_named_by_its_whole_path_and_a_named_profile_by_its_name(team, capsys):
    (team / "w.yaml").write_text(BOTTLES)

    own = ("--workload", "w.yaml", "--data", "photos")
    fits = ("--set", "model={frozen_stages: 3, weights: none}")
    assert main(["schedule", "--cron", *own, *fits, "--profile", "published"]) == 0

    output = capsys.readouterr().out
    assert f"--workload '{team}/w.yaml'" in output and "--profile published" in output
    assert f"{team}/workspace/schedule-bottles.log" in output


@pytest.mark.parametrize("form", ["--systemd", "--cron"])
def test_the_command_that_sends_alerts_follows_the_run(team, capsys, form):
    override = "alerts.webhook=/run/hook"
    assert main(["schedule", form, "--data", "photos", "--set", override]) == 0

    output = capsys.readouterr()
    after = f"{EDGELINE} alert --workload shelf --workspace "
    (line,) = [line for line in output.out.splitlines() if after in line]
    assert line.endswith(f"--set {override}" if form == "--systemd" else f"--set {override} >/dev/null; }}")
    assert "name files for the secrets of alerts" in output.err
    assert ("systemctl edit" in output.err) == (form == "--systemd")


def test_a_warning_names_a_key_that_only_this_shell_has(team, capsys, monkeypatch):
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = make_key().private_bytes(*forms).decode()
    for key, is_warned in (("", False), (pem, True)):
        monkeypatch.setenv("EDGELINE_SIGNING_KEY", key)
        assert main(["schedule", "--systemd", "--data", "photos"]) == 0
        assert ("does not see EDGELINE_SIGNING_KEY" in capsys.readouterr().err) == is_warned


def test_cron_gets_the_same_time_and_a_warning_names_its_limits(team, capsys):
    assert main(["schedule", "--cron", "--at", "Tue,Fri 14:30", "--data", "photos"]) == 0

    output = capsys.readouterr()
    assert output.out.startswith("30 14 * * 2,5 cd ") and len(output.out.splitlines()) == 1
    assert "crontab -e" in output.err and f"{team}/workspace/schedule-shelf.log" in output.err
    assert "does not repeat a run that it missed" in output.err and "--at 03:00" in output.err
    assert (team / "workspace").is_dir()


def test_the_source_of_a_run_is_scheduled_once_it_was_imported(team, capsys):
    rows = [f"{number * 7 % 31},{'good' if number % 2 else 'bad'}" for number in range(200)]
    (team / "pumps.csv").write_text("\n".join(["weight,state", *rows]))
    line = ["schedule", "--systemd", "pumps.csv", "--label", "state"]
    assert main(line) == 2
    assert "A first import may ask, and a timer cannot answer." in capsys.readouterr().err

    assert main(["data", "import", "pumps.csv", "--label", "state", "--data", "workspace/data/pumps"]) == 0
    capsys.readouterr()
    assert main(line) == 0

    assert get_command(capsys.readouterr().out) == (
        f'{EDGELINE} run "{team}/pumps.csv" --label state --wait'
        f' --workspace "{team}/workspace" --data "{team}/workspace/data/pumps"'
    )


def test_text_for_a_file_is_printed_without_line_breaks(team, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    place = team / "our edgeline data"
    for form in ("--cron", "--systemd"):
        assert main(["schedule", form, "--workspace", str(place), "--data", "photos"]) == 0
        output = capsys.readouterr().out
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
    ],
    ids=[*"01234567"],
)
def test_a_schedule_that_could_not_run_is_refused_at_once(team, capsys, arguments, hint):
    (team / "w.yaml").write_text(BOTTLES)
    assert main(["schedule", *arguments]) == 2

    output = capsys.readouterr()
    assert hint in output.err and output.out == ""
    assert len([line for line in output.err.splitlines() if line]) >= 2


def test_a_folder_that_systemd_could_not_go_to_is_refused(team, capsys, monkeypatch):
    (team / "ends in \\").mkdir()
    monkeypatch.chdir(team / "ends in \\")

    assert main(["schedule", "--systemd"]) == 2
    assert "ends in a blank or a backslash" in capsys.readouterr().err


def test_a_week_that_a_run_would_refuse_is_refused_before_anything_is_installed(team, capsys):
    (team / "photos" / "span-00001" / "labels.csv").write_text("photo,label\n")

    assert main(["schedule", "--systemd", "--install", "--data", "photos"]) == 4
    assert "has no column lane_id" in capsys.readouterr().err


def test_the_error_without_systemd_names_cron(team, tmp_path, capsys):
    assert main(["schedule", "--systemd", "--install", "--data", "photos"]) == 1

    error = capsys.readouterr().err
    assert "systemctl" in error and "--cron" in error
    assert not (tmp_path / "system").exists() and not (tmp_path / "config").exists()


def put(folder, name, script):
    """Puts a command in the place of the machine's own."""
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / name).chmod(0o755)


@pytest.mark.parametrize("user", [0, 1000])
def test_a_timer_is_installed_with_what_to_look_at_and_removed(team, tmp_path, capsys, monkeypatch, user):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    put(tmp_path, "systemctl", "exit 0")
    folder = tmp_path / "config" / "systemd" / "user" if user else tmp_path / "system"
    name = name_schedule("shelf", team / "workspace")

    assert main(["schedule", "--systemd", "--install", "--data", "photos"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.service", f"{name}.timer"]
    scope = " --user" if user else ""
    text = capsys.readouterr().out
    assert f"journalctl{scope} -u {name}.service" in text and f"systemctl{scope} start {name}.service" in text

    assert main(["schedule", "--systemd", "--remove", "--workspace", "elsewhere"]) == 2
    assert f"Installed schedules: {name}." in capsys.readouterr().err
    assert main(["schedule", "--systemd", "--remove"]) == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("change", ["--install", "--remove"])
def test_no_crontab_is_changed(team, capsys, change):
    assert main(["schedule", "--cron", change, "--data", "photos"]) == 2

    output = capsys.readouterr()
    assert change in output.err and "crontab -e" in output.err and output.out == ""


def test_a_schedule_of_a_workload_whose_file_is_gone_is_removed_by_its_name(team, tmp_path):
    put(tmp_path, "systemctl", "exit 0")
    (team / "w.yaml").write_text(BOTTLES)
    assert main(["schedule", "--systemd", "--install", "--workload", "w.yaml", "--data", "photos"]) == 0
    (team / "w.yaml").unlink()

    assert main(["schedule", "--systemd", "--remove", "--workload", "bottles"]) == 0
    assert systemd_units.list_installed() == []
