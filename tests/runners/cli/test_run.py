import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Timer

import pytest

from data.spans.exclusions import read_decisions
from edgeline.release import store
from edgeline.workspace.runs import read_runs
from runners.local.lock import hold
from runners.shared.progress import print_line
from tests.edgeline.release.candidates import make_candidate, make_key
from tests.runners.cli.process import ROOT, add_week, python

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda data: None, "is not a folder"), (lambda data: data.mkdir(), "has no span-NNNNN folder")],
    ids=["missing", "empty"],
)
def test_a_folder_without_spans_ends_with_2_and_advice_and_records_no_run(tmp_path, command, make, message):
    make(tmp_path / "photos")
    result = command("run", "--data", "photos")
    assert result.code == 2
    for part in (message, "nothing to train on", "edgeline data import"):
        assert part in result.out + result.err
    assert not list(tmp_path.glob("workspace/runs/*"))
    assert command("status", "--json").json["last_run"]["id"] is None


def test_a_run_excludes_all_refused_weeks_but_the_last_if_a_setting_says_so(tmp_path, command):
    for _ in range(3):
        add_week(tmp_path / "photos", "photo,label")
    result = command("run", "--data", "photos", "--json", "--set", "gate.exclude_refused=true")
    first, second = read_decisions(tmp_path / "photos")
    assert result.code == 4 and result.json["outcome"] == "refused"
    assert first.span != second.span and f"{second.span} is excluded" in result.err
    assert "has no column lane_id" in first.reason
    assert [run.outcome for run in read_runs(tmp_path / "workspace")] == ["refused"] * 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("push.rollback_epoch=1", "phones with shelf have already seen 2"),
        ("push.rollback_epoch=2", "shelf in production is signed, but no key is set"),
        ("push.key=nowhere.pem", "nowhere.pem cannot be read"),
    ],
)
def test_a_release_that_phones_would_refuse_is_refused_before_the_training(
    tmp_path, command, setting, message
):
    add_week(tmp_path / "photos", "photo,label")
    candidate = make_candidate(tmp_path / "made", rollback_epoch=2, signing_key=make_key())
    store.push(tmp_path / "workspace/push", "shelf", candidate)
    result = command("run", "--data", "photos", "--set", setting)
    assert result.code == 2 and message in result.err and len(result.err.splitlines()) == 3


def test_if_changed_ends_at_once_and_repeats_the_reasons_of_the_last_run(tmp_path, command):
    run = "run", "--data", "photos", "--if-changed"
    add_week(tmp_path / "photos", "photo,label")
    assert command(*run[:3]).code == 4
    second = command(*run)
    assert second.code == 0
    assert "Nothing changed since run" in second.out and "has no column lane_id" in second.out
    add_week(tmp_path / "photos", "photo,label")
    assert command(*run).code == 4
    # With another release in production, the run may end otherwise.
    store.push(tmp_path / "workspace/push", "shelf", make_candidate(tmp_path / "made"))
    assert [command(*run).code for _ in range(2)] == [4, 0]
    assert len(command("runs", "--json").json) == 3


def test_if_changed_runs_again_after_the_canary_for_which_a_model_waited(tmp_path, command):
    add_week(tmp_path / "photos", "photo,label")
    push = tmp_path / "workspace/push"
    for folder, percent in (("first", None), ("second", 10)):
        store.push(push, "shelf", make_candidate(tmp_path / folder, folder, canary_percent=percent))
    run = "run", "--data", "photos", "--if-changed"
    before = [command(*run).code for _ in range(2)]
    assert command("rollback", "--reason", "worse", "--workload", "shelf").code == 0
    assert [*before, *(command(*run).code for _ in range(2))] == [4, 0, 4, 0]


def test_a_run_that_waits_names_the_one_that_holds_the_workspace_and_goes_on_after_it(
    tmp_path, command, monkeypatch
):
    with ExitStack() as stack:

        def print_and_release(*arguments):
            print_line(*arguments)
            Timer(0.5, stack.close).start()

        stack.enter_context(hold(tmp_path / "workspace")).note("20261005-091233")
        monkeypatch.setattr("runners.local.run.print_line", print_and_release)
        result = command("run", "--data", "photos", "--wait")
    assert f"waits for the end of run 20261005-091233, process {os.getpid()}" in result.out
    assert result.code == 2 and "photos is not a folder" in result.err


def start_run(tmp_path, hangup=signal.SIG_DFL):
    """Starts a run; returns its process once its worker imports TFX."""
    add_week(tmp_path / "photos")
    arguments = ["-m", "runners.cli", "run", "--data", "photos", "--set", "registry.enabled=false"]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Tests in the background of a shell ignore Ctrl-C, and the processes that they start would do so too.
        preexec_fn=lambda: (
            signal.signal(signal.SIGINT, signal.SIG_DFL),
            signal.signal(signal.SIGHUP, hangup),
        ),
    )
    deadline = time.monotonic() + 30
    while not find_workers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def find_workers(tmp_path):
    """Returns the processes of this workspace's worker."""
    mark = f"runners.local.worker\0{tmp_path}".encode()
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            pids += [int(path.parent.name)] if mark in path.read_bytes() else []
    return pids


def test_an_interrupted_run_ends_its_worker_and_is_recorded(tmp_path):
    process = start_run(tmp_path)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=100)

    assert process.returncode == 130
    assert "Interrupted" in output and "Traceback" not in output
    assert not find_workers(tmp_path)
    assert read_runs(tmp_path / "workspace")[-1].outcome == "interrupted"


# A worker that begins and ends a step again and again for five seconds.
WORKER = """
import sys, time
from pathlib import Path
from edgeline.records.events import EventWriter, Planned, StepChanged
from edgeline.records.run import Step
write = EventWriter(Path(sys.argv[1]) / "events.jsonl")
write(Planned(("ExampleGen",)))
for _ in range(50):
    write(StepChanged(Step("ExampleGen", "running")))
    write(StepChanged(Step("ExampleGen", "done", 0.1)))
    time.sleep(0.1)
"""
RUN = """
import subprocess, sys
from runners.cli.main import main
from runners.local import run as local

def start(arguments, log, environment, lock):
    command = [sys.executable, "-c", sys.argv[1], *arguments]
    streams = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log}
    return subprocess.Popen(command, env=environment, start_new_session=True, **streams)

original = local.run
local.run = lambda options, listeners: original(options, listeners, start)
sys.exit(main(["run", "--data", "photos", "--set", "registry.enabled=false"]))
"""


@pytest.mark.parametrize(
    ("make", "number"), [(os.pipe, None), (pty.openpty, signal.SIGINT)], ids=["pipe", "terminal and Ctrl-C"]
)
def test_a_run_whose_reader_goes_away_ends_as_interrupted_and_has_its_page(tmp_path, make, number):
    add_week(tmp_path / "photos")
    reader, writer = make()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, WORKER],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writer,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(writer)
    output = b""
    while b"ExampleGen" not in output:
        output += os.read(reader, 4096)
    if number:
        process.send_signal(number)
    os.close(reader)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130 and b"Traceback" not in errors
    assert read_runs(tmp_path / "workspace")[-1].outcome == "interrupted"
    assert list(tmp_path.glob("workspace/runs/*/report.html"))


def test_a_run_under_nohup_outlives_its_terminal_and_ends_when_its_pod_is_stopped(tmp_path):
    process = start_run(tmp_path, hangup=signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)

    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
    process.send_signal(signal.SIGQUIT)
    process.communicate(timeout=100)
    assert process.returncode == 130 and not find_workers(tmp_path)


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("runners.shared.inputs", "digest_inputs", ["run", "--data", "photos"]),
        ("runners.local.one_step", "run_step", ["step", "Trainer"]),
    ],
)
def test_a_command_without_a_worker_ends_as_interrupted_on_sigterm(tmp_path, module, name, arguments):
    add_week(tmp_path / "photos")
    script = (
        f"import signal, sys\nimport {module} as it\nfrom runners.cli.main import main\n"
        f"it.{name} = lambda *_: signal.raise_signal(signal.SIGTERM)\nsys.exit(main(sys.argv[1:]))"
    )
    result = python("-c", script, *arguments, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (130, "Interrupted.\n")


def test_a_password_in_the_place_of_the_data_is_refused_before_a_run_records_it(tmp_path, command):
    for arguments in (["run"], ["schedule", "--cron"]):
        result = command(*arguments, "--data", "s3://me:hunter2@bucket/x")
        assert result.code == 2 and "AWS_ACCESS_KEY_ID" in result.err
        assert "hunter2" not in result.out + result.err
    assert not (tmp_path / "workspace").exists()


def run_on_terminal(tmp_path, keys):
    """Runs `edgeline run` on a terminal, with keys as its input; returns its exit code and its output."""
    controller, terminal = pty.openpty()
    os.write(controller, keys)
    process = subprocess.run(
        [sys.executable, "-m", "runners.cli", "run", "--workspace", str(tmp_path / "workspace")],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        timeout=100,
    )
    os.close(terminal)
    output = os.read(controller, 2**16).decode()
    os.close(controller)
    return process.returncode, " ".join(output.split())


@pytest.mark.parametrize(
    ("keys", "code", "answer"), [(b"n\n", 2, "the sample was declined"), (b"\x04", 130, "Interrupted.")]
)
def test_on_a_terminal_a_run_without_data_asks_before_it_makes_a_sample(tmp_path, keys, code, answer):
    ended, output = run_on_terminal(tmp_path, keys)
    assert "Make 2,400 photos as a sample, and train on these [Y/n]" in output
    assert ended == code and answer in output and not (tmp_path / "workspace").exists()
