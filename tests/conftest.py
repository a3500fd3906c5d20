"""What all tests share: a quiet TensorFlow, two servers, and the order in which they end soonest."""

import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

import runners  # noqa: F401  # sets what gRPC reads when it is first imported
from tests.disks import mounted
from tests.postgres import serve
from tests.s3 import Proxy, point_to

pytest_plugins = ["tests.messages"]
# How long an example takes says more of the machine than of the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
# A script's shell begins what it puts into the background deaf to these, and a run honours that.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# Read when TensorFlow is first imported; 2 keeps its errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Minutes each: begun last, one would run alone at the end while the other cores wait.
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of an S3 server of this module's own, which the environment points to."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        point_to(address, patch)
        yield address
    server.stop()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL of this module's own, with its password."""
    yield from serve()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, which only root may mount."""
    yield from mounted(tmp_path / "disk")


@pytest.fixture
def bucket(s3_server: str) -> str:
    """The URL of a new bucket."""
    from edgeline.store.locations import get_filesystem, locate

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    get_filesystem(locate(f"s3://{name}")).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def through(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """Starts a proxy, with a fault, which all clients of S3 go through."""
    with ExitStack() as proxies:

        def start(fault: Callable[[str, int], str | None] = lambda key, times: None) -> Proxy:
            proxy = proxies.enter_context(Proxy(s3_server, fault))
            point_to(proxy.address, monkeypatch)
            return proxy

        yield start
        point_to(s3_server, monkeypatch)
