"""Photos of all imports are opened by the same processes: each takes a second to start."""

import pickle
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from data.importers import importing
from edgeline.tables.decoder_process import DecoderProcess


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "My Photos, 2026"


@pytest.fixture(scope="session")
def started() -> Iterator[dict[bytes, DecoderProcess]]:
    processes = dict[bytes, DecoderProcess]()
    yield processes
    for process in processes.values():
        process.close()


@pytest.fixture(scope="module", autouse=True)
def processes(started: dict[bytes, DecoderProcess]) -> Iterator[None]:
    def start(*given: Any) -> DecoderProcess:
        key = pickle.dumps(given)
        if key not in started:
            started[key] = DecoderProcess(*given)
        return started[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "DecoderProcess", start)
        patch.setattr(importing, "closing", nullcontext)
        yield
