"""The update of MLflow by the step that ends a run, in a process that can be abandoned."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from edgeline.errors import EdgelineError

# A run on a cluster waits so long for MLflow at its end.
_PATIENCE_S = 120.0
_log = logging.getLogger("edgeline.kubeflow")


def mirror(uri: str, place: str) -> None:
    """Sends a server of MLflow the runs and releases of a model that it lacks; never raises an error.

    `place` is the folder or URL of the records of its runs, `PUSH/runs/MODEL`. After a failure the next run
    sends them.
    """
    command = [sys.executable, "-m", "runners.kubeflow.pod.mirror", uri, place]
    try:
        process = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S
        )
        warnings = process.stderr.strip().splitlines()[-1:] if process.returncode else []
    except subprocess.TimeoutExpired:
        warnings = [
            f"MLflow at {uri} lacks this run: no answer within {_PATIENCE_S:g} s. The next run adds it."
        ]
    except OSError as error:
        warnings = [f"MLflow at {uri} lacks this run: {error}. The next run adds it."]
    for warning in warnings:
        _log.warning("%s", warning)


def _run(uri: str, place: str) -> None:
    from edgeline.mlflow.registry import bring

    root, _, model = place.rpartition("/runs/")
    with tempfile.TemporaryDirectory() as folder:
        try:
            bring(uri, Path(folder, "mlflow"), model, root, ())
        except EdgelineError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    _run(*sys.argv[1:])
