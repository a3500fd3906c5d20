import signal
import subprocess

import pytest

from runners.local.deaths import CANNOT_WRITE, describe_death, find_last_words


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "memory"), (signal.SIGABRT, "native library"), (signal.SIGSEGV, "crashed")],
)
def test_the_signal_that_ended_a_worker_is_explained(tmp_path, number, words):
    worker = subprocess.Popen(["sleep", "60"])
    worker.send_signal(number)

    problem = describe_death(worker.wait(), "Trainer", tmp_path / "run.log")

    name = signal.Signals(number).name
    assert problem.found == f"The worker process was ended by {name} in the step Trainer."
    assert words in problem.why


def test_a_worker_that_reported_no_error_is_described_by_its_exit_code(tmp_path):
    problem = describe_death(CANNOT_WRITE, "Trainer", tmp_path / "run.log")
    assert "could not write" in problem.found and "quota" in problem.do
    found = describe_death(9, "Trainer", tmp_path / "run.log").found
    assert found == "The worker process ended with exit code 9 in the step Trainer and reported no error."


def test_the_last_words_of_the_log_are_repeated(tmp_path):
    log = tmp_path / "run.log"
    log.write_text(
        "2026-10-05 INFO all is well\n"
        "F0000 00:00:1 tensor.cc:12] Check failed: dims == 4 (3 vs. 4)\n"
        "*** stack trace ***\n@ 0x7f\n"
    )

    assert find_last_words(log).startswith("F0000")
    assert "Check failed: dims == 4" in describe_death(-signal.SIGABRT, None, log).found
