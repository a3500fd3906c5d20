"""The update of MLflow by the step that ends a run, in a process that can be abandoned."""

import logging
import subprocess
import sys
import tempfile

# A run on a cluster waits so long for MLflow at its end.
_PATIENCE_S = 120.0
_log = logging.getLogger("edgeline.kubeflow")


def mirror(uri: str, place: str) -> None:
    """Sends a server of MLflow the runs and releases of a model that it lacks; never raises an error.

    `place` is the folder or URL of the records of its runs, `PUSH/runs/MODEL`. After a failure the next run
    sends them.
    """
    root, _, model = place.rpartition("/runs/")
    try:
        with tempfile.TemporaryDirectory() as workspace:
            process = subprocess.run(
                [sys.executable, "-m", "edgeline.mlflow.mirror", uri, workspace, model, root],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
        for line in process.stderr.strip().splitlines()[-1:] if process.returncode else ():
            _log.warning("%s", line)
    except subprocess.TimeoutExpired:
        _log.warning(
            "MLflow at %s lacks this run: no answer within %g s. The next run adds it.", uri, _PATIENCE_S
        )
    except OSError as error:
        _log.warning("MLflow at %s lacks this run: %s. The next run adds it.", uri, error)
