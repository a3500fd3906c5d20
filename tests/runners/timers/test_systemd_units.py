import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError, UsageError
from edgeline.mlflow import updates
from runners.local.worker_link import GRACE_S
from runners.timers import systemd_units
from runners.timers.weekly_time import parse_weekly_time

MANAGER = "/lib/systemd/systemd"


@pytest.fixture(params=["root", "user"])
def scope(request, tmp_path, monkeypatch):
    """The units of root or of a user, in folders of the test."""
    monkeypatch.setattr(os, "geteuid", lambda: 0 if request.param == "root" else 1000)
    monkeypatch.setattr(systemd_units, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return request.param


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units_without_a_word(run, scope, tmp_path):
    run = replace(run, after=run.command)
    for name, text in systemd_units.render_units(run).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "runtime").mkdir(mode=0o700)
    flags = ["--man=no", "--recursive-errors=no", *(["--user"] if scope == "user" else [])]

    result = subprocess.run(
        ["systemd-analyze", "verify", *flags, *(tmp_path / name for name in systemd_units.render_units(run))],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "runtime")},
        capture_output=True,
        text=True,
    )

    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


def test_a_program_that_systemd_would_not_start_is_refused(run):
    with pytest.raises(UsageError, match="quote or a backslash"):
        systemd_units.render_units(replace(run, command=("/home/o'neil/edgeline",)))


def test_roots_units_run_as_the_owner_of_the_workspace(run, scope):
    import pwd

    service = systemd_units.render_units(run)[f"{run.name}.service"]

    owner = pwd.getpwuid(run.folder.stat().st_uid).pw_name
    assert (f"\nUser={owner}\n" in service) == (scope == "root")
    assert ("network-online.target" in service) == (scope == "root")


def test_a_run_that_is_stopped_has_time_for_its_worker_and_its_mirror(run):
    service = systemd_units.render_units(run)[f"{run.name}.service"]
    (minutes,) = re.findall(r"^TimeoutStopSec=(\d+)min$", service, re.MULTILINE)
    assert 60 * int(minutes) > GRACE_S + updates._PATIENCE_S + 60


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """Replaces systemctl by a script that notes its calls and fails for those that FAIL_AT names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    (folder / "systemctl").write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\n'
        'case "$*" in *"$FAIL_AT"*) [ -n "$FAIL_AT" ] && { echo "no bus here" >&2; exit 1; };; esac\nexit 0\n'
    )
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return calls


def test_installing_again_replaces_a_schedule_and_removing_leaves_the_others(run, scope, systemctl):
    other = replace(run, name="edgeline-bottles-0123abcd", workload="bottles")
    systemd_units.install(other)
    systemd_units.install(run)
    systemd_units.install(replace(run, at=parse_weekly_time("Tue 04:00")))

    assert systemd_units.list_installed() == ["edgeline-bottles-0123abcd", "edgeline-shelf-0123abcd"]
    folder = systemd_units.locate_unit_folder()
    assert "OnCalendar=Tue *-*-* 04:00:00" in (folder / f"{run.name}.timer").read_text()
    assert "OnCalendar=Mon *-*-* 03:00:00" in (folder / f"{other.name}.timer").read_text()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*systemd_units.render_units(run), *systemd_units.render_units(other)]
    )
    user = "" if scope == "root" else "--user "
    assert systemctl.read_text().splitlines()[-4:] == [
        f"{user}daemon-reload",
        f"{user}daemon-reload",
        f"{user}enable {run.name}.timer",
        f"{user}restart {run.name}.timer",
    ]

    systemd_units.remove(run.name)
    assert systemd_units.list_installed() == ["edgeline-bottles-0123abcd"]
    assert not list(systemd_units.locate_unit_folder().glob("edgeline-shelf*"))
    assert f"disable --now {run.name}.timer" in systemctl.read_text()


@pytest.mark.parametrize("step", ["daemon-reload", "restart"])
def test_a_change_that_systemd_refuses_keeps_the_earlier_schedule(run, scope, systemctl, monkeypatch, step):
    later = replace(run, at=parse_weekly_time("Tue 04:00"))
    monkeypatch.setenv("FAIL_AT", step)
    with pytest.raises(EdgelineError, match="no bus here") as caught:
        systemd_units.install(run)
    assert caught.value.why and "--cron" in caught.value.do
    assert systemd_units.list_installed() == []

    monkeypatch.setenv("FAIL_AT", "")
    systemd_units.install(run)
    monkeypatch.setenv("FAIL_AT", step)
    with pytest.raises(EdgelineError):
        systemd_units.install(later)
    assert "OnCalendar=Mon" in (systemd_units.locate_unit_folder() / f"{run.name}.timer").read_text()


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """Runs a systemd of a user for this test alone."""
    if os.geteuid() != 0 or not os.access(MANAGER, os.X_OK) or not shutil.which("unshare"):
        pytest.skip("a systemd of one's own needs root, unshare and systemd")
    home = Path(tempfile.mkdtemp(prefix="edgeline-systemd-"))  # Short, as it holds the path of a socket.
    for name, place in (("XDG_RUNTIME_DIR", home), ("XDG_CONFIG_HOME", tmp_path / "config"), ("HOME", home)):
        monkeypatch.setenv(name, str(place))
    # It starts only on a machine that was booted by systemd, which this folder in a private view claims.
    booted = "mount --make-rprivate / && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system"
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"{booted} && exec {MANAGER} --user"],
        env={**os.environ, "SYSTEMD_LOG_TARGET": "console"},
        stdout=(tmp_path / "manager.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 10
        while not call("show", "--property=Version"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"systemd does not start here: {(tmp_path / 'manager.log').read_text()[-300:]}")
            time.sleep(0.1)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def call(*arguments):
    result = subprocess.run(["systemctl", "--user", *arguments], capture_output=True, text=True)
    return result.stdout.strip()


def get_state(unit):
    return call("show", unit, "--property=Result,ExecMainStatus", "--value").split()


def test_a_real_systemd_waits_for_monday_and_runs_the_command_word_by_word(run, manager):
    systemd_units.install(run)

    assert call("is-active", f"{run.name}.timer") == "active"
    assert call("is-enabled", f"{run.name}.timer") == "enabled"
    assert "Mon " in call("show", f"{run.name}.timer", "--property=NextElapseUSecRealtime", "--value")
    assert not (run.folder / "called.json").exists()
    call("start", f"{run.name}.service")
    assert get_state(f"{run.name}.service") in (["success", "0"], ["0", "success"])
    assert json.loads((run.folder / "called.json").read_text()) == [str(run.folder), [*run.command[1:]]]

    systemd_units.remove(run.name)
    assert call("is-active", f"{run.name}.timer") == "inactive"


def test_a_week_that_is_held_back_or_refused_fails_the_unit_and_starts_its_alert(run, manager, tmp_path):
    systemd_units.install(run)
    folder = systemd_units.locate_unit_folder()
    (folder / "call.service").write_text(
        f"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo called >> {tmp_path}/called'\n"
    )
    (folder / f"{run.name}.service.d").mkdir()
    for code in (3, 4, 1, 0):
        (folder / f"{run.name}.service.d" / "mine.conf").write_text(
            f"[Unit]\nOnFailure=call.service\n[Service]\nEnvironment=CODE={code}\n"
        )
        call("daemon-reload")
        (tmp_path / "called").unlink(missing_ok=True)
        call("start", f"{run.name}.service")
        expected = [str(code), "exit-code" if code else "success"]
        assert sorted(get_state(f"{run.name}.service")) == sorted(expected)
        deadline = time.monotonic() + 5
        while code and not (tmp_path / "called").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "called").exists() == bool(code)
