"""Photos of all imports of a module are opened by the same processes: each takes a second to start."""

import pickle
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from data.importers import importing
from edgeline.tables.decoder_process import DecoderProcess


class _Kept:
    """A process that an import leaves to the next one."""

    def __init__(self, process: DecoderProcess) -> None:
        self._process = process

    def __call__(self, photo: bytes) -> Any:
        return self._process(photo)

    def close(self) -> None:
        pass


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "My Photos, 2026"


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[None]:
    started: dict[bytes, _Kept] = {}

    def start(*given: Any) -> _Kept:
        key = pickle.dumps(given)
        if key not in started:
            started[key] = _Kept(stack.enter_context(closing(DecoderProcess(*given))))
        return started[key]

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "DecoderProcess", start)
        yield
