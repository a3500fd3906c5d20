import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from edgeline.errors import EdgelineError, WorkspaceLocked
from runners.local.lock import hold
from runners.shared.inputs import ROOT

HOLD = """
import subprocess, sys, time
from pathlib import Path
from runners.local.lock import hold
with hold(Path(sys.argv[1])) as lock:
    lock.note("20261005-091233")
    if "child" in sys.argv:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.descriptor,))
        print(child.pid, flush=True)
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def hold_in_process(workspace, *options):
    """Holds a workspace in another process; yields the process and the lines that it prints before."""
    command = [sys.executable, "-c", HOLD, str(workspace), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process, [*iter(lambda: next(process.stdout).strip(), "held")]
        finally:
            process.kill()


def test_a_second_process_is_refused_with_the_name_of_the_first_until_that_is_killed(tmp_path):
    with hold_in_process(tmp_path) as (first, _):
        with pytest.raises(WorkspaceLocked) as caught, hold(tmp_path):
            pass
        assert caught.value.exit_code == 5
        assert f"run 20261005-091233, process {first.pid} on " in caught.value.found
    with hold(tmp_path) as lock:
        assert lock.descriptor > 0


def test_a_child_that_inherited_the_lock_keeps_it_when_its_parent_is_killed(tmp_path):
    with hold_in_process(tmp_path, "child") as (_, [child]):
        pass
    try:
        with pytest.raises(WorkspaceLocked), hold(tmp_path):
            pass
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_the_note_of_an_earlier_holder_does_not_outlive_it(tmp_path):
    with hold(tmp_path) as lock:
        lock.note("a-run-with-a-very-long-name")
    with hold(tmp_path):
        pass

    assert "very-long-name" not in (tmp_path / "lock").read_text()


def test_a_workspace_that_is_a_file_is_refused_in_three_parts(tmp_path):
    (tmp_path / "workspace").write_text("")

    with pytest.raises(EdgelineError) as caught, hold(tmp_path / "workspace"):
        pass

    assert "cannot be written to" in caught.value.found
    assert caught.value.why and "--workspace" in caught.value.do


def test_a_mount_without_locks_is_refused_in_three_parts(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(EdgelineError) as caught, hold(tmp_path):
        pass

    assert "cannot be locked (No locks available)" in caught.value.found
    assert "network mounts" in caught.value.why and "--workspace" in caught.value.do
