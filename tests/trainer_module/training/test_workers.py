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

from edgeline.errors import EdgelineError, UsageError
from runners.drill.harm import list_children
from runners.kubeflow.pod.meeting import meet
from tests.trainer_module.samples import CALM, assert_same, run_arguments
from tests.trainer_module.test_run_fn import read_history, read_weights
from tests.warm import WarmRun
from trainer_module import run_fn
from trainer_module.training import workers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[3]


def met(folder: Path, count: int = 2) -> list[str]:
    """Returns what each of several pods, processes of this machine, is told of the others."""
    # Unlike a pod, a machine may not know its own name.
    with mock.patch("socket.gethostname", return_value="localhost"), ThreadPoolExecutor(count) as pool:
        return list(pool.map(partial(meet, folder, count=count), range(count)))


RUN = """
import json, sys, types
from trainer_module import run_fn
from trainer_module.networks import backbones
backbones.DROPOUT = 0.0  # as where two replicas train
run_fn.run_fn(types.SimpleNamespace(**json.loads(sys.argv[1])))
"""


JOINED = {"strategy": "multi_worker", "batch_size": 4, **CALM}


@pytest.fixture(scope="module")
def joined(files, transform_output, tmp_path_factory) -> Path:
    """A training of two workers."""
    folder = tmp_path_factory.mktemp("joined")
    finish(run_arguments(files, transform_output, folder, **JOINED))
    return folder


def test_two_workers_learn_what_two_replicas_of_one_process_do(joined, replicas):
    """And these what one device does. Sums of float32 in another order differ by 1e-7 a step."""
    for ours, theirs in zip(read_history(joined), read_history(replicas.folder / "mirrored"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    training = json.loads((joined / "run" / "training.json").read_text())
    assert training["devices"] == ["CPU:0", "CPU:0"]
    assert training["global_batch_size"] == 8


def started(arguments: SimpleNamespace, config: str = "") -> WarmRun:
    """A training in a process of its own, forked as its workers are; they start cold in one test below."""
    with mock.patch.dict(os.environ, TF_CONFIG=config):
        return WarmRun([RUN, json.dumps(vars(arguments))], ROOT, stderr=log_of(arguments), job="python")


def log_of(arguments: SimpleNamespace) -> Path:
    return Path(f"{arguments.serving_model_dir}.log")


def finish(arguments: SimpleNamespace) -> None:
    assert started(arguments).wait() == 0, log_of(arguments).read_text()


def test_a_worker_that_dies_ends_the_other_and_the_next_run_goes_on(
    joined, files, transform_output, tmp_path
):
    arguments = run_arguments(files, transform_output, tmp_path, **JOINED)
    training = started(arguments)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("checkpoints/*/checkpoint.npz")):
        assert training.poll() is None, log_of(arguments).read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = list_children(training.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    assert training.wait(60) == 1
    assert "worker 1 of the training ended with SIGKILL." in log_of(arguments).read_text()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)

    finish(arguments)
    resumed = json.loads((tmp_path / "run" / "training.json").read_text())["resumed_from_epoch"]
    assert 1 <= resumed <= 3
    assert read_history(tmp_path) == read_history(joined)
    assert_same(read_weights(tmp_path), read_weights(joined))


def test_workers_end_with_the_process_that_started_them(files, transform_output, tmp_path):
    training = started(run_arguments(files, transform_output, tmp_path, strategy="multi_worker"))
    deadline = time.monotonic() + 300  # On a busy machine TensorFlow alone takes a minute to import.
    while len(workers := list_children(training.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    training.send_signal(signal.SIGKILL)
    training.wait(300)
    while any(Path(f"/proc/{worker}/exe").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_worker_refuses_is_raised_as_it_said_it(files, transform_output, tmp_path, monkeypatch):
    """The worker starts cold, and alone, since it refuses before it looks for another."""
    monkeypatch.setenv("TF_CONFIG", workers.format_tf_config(["localhost:1", "localhost:2"], 0))
    arguments = run_arguments(files, transform_output, tmp_path, strategy="multi_worker", require_gpu=True)
    with pytest.raises(EdgelineError, match="sees no GPU") as refused:
        run_fn.run_fn(arguments)
    assert "require_gpu=false" in refused.value.do


def test_a_worker_elsewhere_that_is_lost_ends_the_others(files, transform_output, tmp_path):
    """On several machines, nothing but TensorFlow sees the others."""
    changes = {"strategy": "multi_worker", "batch_size": 4, "epochs": 1000}
    folders = [tmp_path / "0", tmp_path / "1"]
    for folder in folders:
        folder.mkdir()
    arguments = [run_arguments(files, transform_output, folder, **changes) for folder in folders]
    trainings = [started(*pair) for pair in zip(arguments, met(tmp_path / "meeting"), strict=True)]
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("0/checkpoints/*/checkpoint.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stays, goes = trainings
    for pid in (*list_children(goes.pid), goes.pid):
        os.kill(pid, signal.SIGKILL)
    goes.wait(60)
    assert stays.wait(60) == 1
    assert "Worker 1 of the training can no longer be reached." in log_of(arguments[0]).read_text()


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
