"""Loads the files of a release for phones into an interpreter."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgeline.edge.runtime import EdgeModel
from edgeline.store.locations import add_path_to_errors


def load_models(contents: Mapping[str, bytes]) -> dict[str, EdgeModel]:
    """Loads edge files, by name of variant, from their content, which the caller has checked.

    Raises:
        EdgelineError: A file cannot be loaded.
    """
    models = {}
    temporary = tempfile.TemporaryDirectory(prefix="edgeline-models-")
    with temporary as folder, add_path_to_errors(Path(folder)), _silence_stderr():
        for name, content in contents.items():
            # The interpreter trusts and maps its file, so it gets a copy of the checked bytes.
            path = Path(folder, f"{name}.tflite")
            path.write_bytes(content)
            models[name] = EdgeModel(path)
    return models


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discards what libraries write to the standard error during the block."""
    sys.stderr.flush()
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
