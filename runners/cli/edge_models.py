"""The files of a release for phones, loaded into an interpreter."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge.runtime import EdgeModel
from locations import naming


def load_models(contents: Mapping[str, bytes]) -> dict[str, EdgeModel]:
    """Loads edge files by the name of their variant from their content, which was checked before.

    Raises:
        EdgelineError: One cannot be loaded.
    """
    models = {}
    temporary = tempfile.TemporaryDirectory(prefix="edgeline-models-")
    with temporary as folder, naming(Path(folder)), _quiet():
        for name, content in contents.items():
            # A copy of the bytes that were checked; the interpreter trusts its file, and maps it.
            path = Path(folder, f"{name}.tflite")
            path.write_bytes(content)
            models[name] = EdgeModel(path)
    return models


@contextmanager
def _quiet() -> Iterator[None]:
    """Meanwhile, what libraries write to the standard error by themselves goes nowhere."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
