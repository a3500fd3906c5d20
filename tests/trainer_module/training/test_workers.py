"""Several workers on this machine: real processes that TensorFlow joins over its own protocol."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from drill.harm import list_children
from edgeline.errors import EdgelineError, UsageError
from runners.kubeflow.pod.meeting import meet
from tests.docstrings import ROOT
from tests.trainer_module.samples import CALM, assert_same, run_arguments
from tests.trainer_module.test_run_fn import read_history, read_training, read_weights
from tests.warm import WarmRun
from trainer_module import run_fn
from trainer_module.training import workers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def meet_all(folder: Path, count: int = 2) -> list[str]:
    """Returns the TF_CONFIG of each of several pods, which are processes of this machine here."""
    # Unlike a pod, a machine may not know its own name.
    with mock.patch("socket.gethostname", return_value="localhost"), ThreadPoolExecutor(count) as pool:
        return list(pool.map(partial(meet, folder, count=count), range(count)))


RUN = """
import json, sys, types
from trainer_module import run_fn
from trainer_module.networks import backbones
backbones.DROPOUT = 0.0  # as in the training with two replicas
run_fn.run_fn(types.SimpleNamespace(**json.loads(sys.argv[1])))
"""
TWO_WORKERS = {"strategy": "multi_worker", "batch_size": 4, **CALM}


def start(arguments: SimpleNamespace, config: str = "") -> WarmRun:
    """Starts a training in a forked process, which forks its workers."""
    with mock.patch.dict(os.environ, TF_CONFIG=config):
        return WarmRun([RUN, json.dumps(vars(arguments))], ROOT, stderr=get_log(arguments), job="python")


def get_log(arguments: SimpleNamespace) -> Path:
    return Path(f"{arguments.serving_model_dir}.log")


def wait_for_checkpoint(folder: Path, training: WarmRun, log: Path) -> None:
    deadline = time.monotonic() + 200
    while not list(folder.glob("checkpoints/*/checkpoint.npz")):
        assert training.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


def finish(arguments: SimpleNamespace) -> None:
    assert start(arguments).wait() == 0, get_log(arguments).read_text()


@pytest.fixture(scope="module")
def resumed(files, transform_output, tmp_path_factory) -> Path:
    """Trains with two workers, one of which dies, and then goes on from there."""
    folder = tmp_path_factory.mktemp("workers")
    arguments = run_arguments(files, transform_output, folder, **TWO_WORKERS)
    training = start(arguments)
    wait_for_checkpoint(folder, training, get_log(arguments))
    workers = list_children(training.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    assert training.wait(60) == 1
    assert "worker 1 of the training ended with SIGKILL." in get_log(arguments).read_text()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)

    finish(arguments)
    return folder


def test_after_the_death_of_a_worker_ended_the_other_the_next_run_goes_on_as_two_replicas_do(
    resumed, replicas
):
    """The tolerance is that of two replicas beside one device."""
    mirrored = read_history(replicas.folder / "mirrored")
    for ours, theirs in zip(read_history(resumed), mirrored, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-2)
    training = read_training(resumed)
    assert 1 <= training["resumed_from_epoch"] <= 3
    assert training["devices"] == ["CPU:0", "CPU:0"]
    assert training["global_batch_size"] == 8


@pytest.mark.exhaustive
def test_a_training_that_went_on_ends_as_an_unbroken_one(resumed, files, transform_output, tmp_path):
    finish(run_arguments(files, transform_output, tmp_path, **TWO_WORKERS))
    assert read_history(resumed) == read_history(tmp_path)
    assert_same(read_weights(resumed), read_weights(tmp_path))


@pytest.mark.exhaustive
def test_workers_end_with_the_process_that_started_them(files, transform_output, tmp_path):
    training = start(run_arguments(files, transform_output, tmp_path, strategy="multi_worker"))
    deadline = time.monotonic() + 300  # On a busy machine TensorFlow alone takes a minute to import.
    while len(workers := list_children(training.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    training.send_signal(signal.SIGKILL)
    training.wait(300)
    while any(Path(f"/proc/{worker}/exe").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_error_of_a_worker_is_raised_unchanged(files, transform_output, tmp_path, monkeypatch):
    """This worker is not forked; it is alone, since it fails before it connects to another."""
    monkeypatch.setenv("TF_CONFIG", workers.format_tf_config(["localhost:1", "localhost:2"], 0))
    arguments = run_arguments(files, transform_output, tmp_path, strategy="multi_worker", require_gpu=True)
    with pytest.raises(EdgelineError, match="sees no GPU") as error:
        run_fn.run_fn(arguments)
    assert "require_gpu=false" in error.value.do


@pytest.mark.exhaustive
def test_the_loss_of_a_worker_on_another_machine_ends_the_others(files, transform_output, tmp_path):
    """The two trainings know of each other only through TensorFlow, as on two machines."""
    changes = {"strategy": "multi_worker", "batch_size": 4, "epochs": 1000}
    folders = [tmp_path / "0", tmp_path / "1"]
    for folder in folders:
        folder.mkdir()
    arguments = [run_arguments(files, transform_output, folder, **changes) for folder in folders]
    trainings = [start(*pair) for pair in zip(arguments, meet_all(tmp_path / "meeting"), strict=True)]
    survivor, victim = trainings
    wait_for_checkpoint(folders[0], survivor, get_log(arguments[0]))
    for pid in (*list_children(victim.pid), victim.pid):
        os.kill(pid, signal.SIGKILL)
    victim.wait(60)
    assert survivor.wait(60) == 1
    assert "Worker 1 of the training can no longer be reached." in get_log(arguments[0]).read_text()


@pytest.mark.parametrize(
    "config", ["[]", '{"cluster": {"worker": ["h:1"]}, "task": {"type": "worker", "index": 1}}']
)
def test_a_tf_config_that_does_not_name_this_machine_is_refused(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UsageError, match="TF_CONFIG is"):
        workers.run(partial(print, "not run"), 1)


def test_a_tf_config_without_a_cluster_is_one_machine(monkeypatch, capfd):
    monkeypatch.setenv("TF_CONFIG", '{"environment": "cloud"}')
    workers.run(partial(print, "works"), 2)
    assert capfd.readouterr().out.count("works") == 2
