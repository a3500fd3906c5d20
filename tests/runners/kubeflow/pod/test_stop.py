"""The end of steps that are asked to stop, in processes of their own."""

import os
import signal
import subprocess
import sys

import pytest

from edgeline.records.outcome import Outcome
from runners.shared.inputs import ROOT

NATIVE = """
import hashlib, os, pathlib, sys
from runners.kubeflow.pod.stop import end_when_told_to
end_when_told_to("Trainer", pathlib.Path(sys.argv[2]))
if sys.argv[1] == "fork" and os.fork() == 0:
    os.write(1, b"%d\\n" % os.getpid())
    __import__("time").sleep(60)
os.write(1, b"%d\\n" % os.getpid())
hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)
"""
LAUNCHER = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"


def assert_reported(log, name):
    """Checks that the log ends with a sentence for people and its outcome for programs."""
    reason = f"the pod was asked to stop ({name}) before the step was done."
    outcome = Outcome("failed", reasons=(reason,), step="Trainer")
    assert log.splitlines()[-2:] == [outcome.to_line(), f"Failed: {reason}"]


def start(tmp_path, kind, *launcher):
    return subprocess.Popen(
        [*launcher, sys.executable, "-c", NATIVE, kind, str(tmp_path / "signal")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM], ids=str)
def test_a_deleted_pod_ends_its_step_with_a_failure_also_in_the_middle_of_native_code(tmp_path, number):
    process = start(tmp_path, "alone")
    os.kill(int(process.stdout.readline()), number)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert_reported(log, number.name)


def test_a_signal_in_the_file_of_argo_ends_the_launcher_before_argo_does(tmp_path):
    launcher = start(tmp_path, "alone", sys.executable, "-c", LAUNCHER)
    launcher.stdout.readline()
    assert launcher.poll() is None
    (tmp_path / "signal").write_text("15")
    _, log = launcher.communicate(timeout=20)
    assert launcher.returncode == -signal.SIGQUIT
    assert_reported(log, "SIGQUIT")


def test_a_process_that_a_step_forked_can_be_ended_without_ending_the_step(tmp_path):
    process = start(tmp_path, "fork")
    for pid in {int(process.stdout.readline()), int(process.stdout.readline())} - {process.pid}:
        os.kill(pid, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    process.communicate()
