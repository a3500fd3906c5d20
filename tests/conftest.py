"""Fixtures of all tests: servers, buckets, records and workspaces. The slow tests run first."""

import gc
import os
import signal
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

import runners  # noqa: F401  # sets what gRPC reads when it is first imported
from edgeline.alerts import channels
from edgeline.records.json_file import encode
from edgeline.records.run import Run, Step
from edgeline.report.facts import Facts
from edgeline.workspace.runs import identify_process
from tests.disks import mount_disk
from tests.edgeline.alerts.servers import Hook
from tests.outputs import write_run
from tests.postgres import serve
from tests.s3 import Proxy, point_to, serve_moto, serve_versitygw

pytest_plugins = ["tests.messages", "tests.browser", "tests.times", "tests.draws"]
# The time of an example depends on the machine more than on the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
# The shell of a script starts background processes with these ignored, as nohup does, and a run keeps that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# OpenMP, OpenBLAS and TensorFlow read these when they are loaded. Where several processes share the cores,
# their threads wait for one another and use the cores meanwhile: gradient boosting takes five times the CPU.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# Pointers that tests sign are not remembered beside those of their user.
_STATE = tempfile.TemporaryDirectory(prefix="edgeline-tests-")
os.environ["XDG_STATE_HOME"] = _STATE.name
# TensorFlow reads this when it is imported; 2 keeps its errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    # Imported modules stay: to walk through them again and again took a fifth of the CPU of the quick tests.
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Each takes minutes: one that begins last would run alone while the other cores wait.
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
    items[:] = [item for item in items if not (item.get_closest_marker("moto") and "versitygw" in item.name)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Parameters of the fixture itself would be missed by a test that asks for it as it runs.
    if "s3_server" in metafunc.fixturenames:
        moto = pytest.param("moto", id=pytest.HIDDEN_PARAM)  # tests/messages.txt has the names of before
        servers = [moto, pytest.param("versitygw", marks=pytest.mark.exhaustive)]
        metafunc.parametrize("s3_server", servers, indirect=True, scope="module")


@pytest.fixture(scope="module")
def s3_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Starts an S3 server for a module, points the environment to it, and yields its address."""
    with ExitStack() as stack:
        serve_s3 = serve_versitygw if getattr(request, "param", "moto") == "versitygw" else serve_moto
        address = stack.enter_context(serve_s3())
        point_to(address, stack.enter_context(pytest.MonkeyPatch.context()))
        yield address


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Starts a PostgreSQL for a module and yields its URL, with the password."""
    yield from serve()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mounts a file system of 256 KiB, which only root may do."""
    yield from mount_disk(tmp_path / "disk")


@pytest.fixture
def bucket(s3_server: str) -> str:
    """Makes a bucket and returns its URL."""
    from edgeline.store.locations import get_filesystem, locate

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    get_filesystem(locate(f"s3://{name}")).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def start_proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """Returns a function that starts a proxy, with a fault, for all clients of S3."""
    with ExitStack() as proxies:

        def start(fault: Callable[[str, int], str | None] = lambda key, times: None) -> Proxy:
            proxy = proxies.enter_context(Proxy(s3_server, fault))
            point_to(proxy.address, monkeypatch)
            return proxy

        yield start
        point_to(s3_server, monkeypatch)


@pytest.fixture
def make_run():
    """Returns a function that builds the record of a run of the shelf; arguments replace its values."""

    def make(**values):
        run = Run(
            id="20261005-091233",
            workload="shelf",
            workload_source="shelf",
            data="/data",
            push="/push",
            settings={},
            pid=os.getpid(),
            process=identify_process(os.getpid()),
            host=socket.gethostname(),
            started_at="2026-10-05T09:12:33Z",
        )
        return replace(run, **values)

    return make


@pytest.fixture
def workspace(tmp_path, make_run):
    """Makes a workspace with one run, which was held back."""
    return make_workspace(tmp_path / "workspace", make_run)


def make_workspace(workspace, make_run, **values):
    values = {
        "push": str(workspace / "push"),
        "outcome": "held",
        "exit_code": 3,
        "seconds": 95.0,
        "ended_at": "2026-10-05T09:15:00Z",
        "steps": (Step("ExampleGen", "done", 5.0), Step("Trainer", "done", 60.0)),
        "reasons": ("Accuracy is 0.8 on 400 eval examples; at least 0.850 is needed.",),
        "warnings": ("span-00007 is dark.",),
        **values,
    }
    run = make_run(**values)
    folder = write_run(workspace, run)
    (folder.path / "report.html").write_text("<!DOCTYPE html>")
    (folder.path / "facts.json").write_bytes(encode(Facts(run)))
    return workspace


@pytest.fixture
def patient(monkeypatch):
    """Repeats attempts to send at once, and gives each enough time on a busy machine."""
    patience = channels.Patience(timeout_s=60.0, attempts=3, wait_s=0.01, bound_s=120.0)
    monkeypatch.setattr(channels, "PATIENCE", patience)


@pytest.fixture
def hook(patient, monkeypatch):
    """Starts a webhook and sets the environment variable HOOK to its URL."""
    with Hook() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        yield hook
