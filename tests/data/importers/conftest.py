"""All imports open photos in the same processes, as each takes a second to start."""

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
def process_pool() -> Iterator[dict[bytes, DecoderProcess]]:
    processes = dict[bytes, DecoderProcess]()
    yield processes
    for process in processes.values():
        process.close()


@pytest.fixture(scope="module", autouse=True)
def processes(process_pool: dict[bytes, DecoderProcess]) -> Iterator[None]:
    def start(*arguments: Any) -> DecoderProcess:
        key = pickle.dumps(arguments)
        if key not in process_pool:
            process_pool[key] = DecoderProcess(*arguments)
        return process_pool[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "DecoderProcess", start)
        patch.setattr(importing, "closing", nullcontext)
        yield
