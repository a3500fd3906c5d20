"""MLflow brought up to date by the step that ends a run: in a process that can be given up."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from errors import EdgelineError

# So long a run on a cluster waits at its end for MLflow.
_PATIENCE_S = 120.0
_log = logging.getLogger("edgeline.kubeflow")


def mirror(uri: str, place: str) -> None:
    """Brings to a server of MLflow what it lacks of a model; raises nothing, whatever goes wrong.

    `place` is the folder or URL of the records of its runs, `PUSH/runs/MODEL`. What could not be brought
    stays there for the next run.
    """
    command = [sys.executable, "-m", "runners.kubeflow.pod.mirror", uri, place]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S
        )
        said = ended.stderr.strip().splitlines()[-1:] if ended.returncode else []
    except subprocess.TimeoutExpired:
        said = [
            f"MLflow at {uri} lacks this run: it took more than {_PATIENCE_S:g} s. The next run brings it."
        ]
    except OSError as error:
        said = [f"MLflow at {uri} lacks this run: {error}. The next run brings it."]
    for line in said:
        _log.warning("%s", line)


def _main(uri: str, place: str) -> None:
    from runners.shared.registry import bring

    root, _, model = place.rpartition("/runs/")
    with tempfile.TemporaryDirectory() as folder:
        try:
            bring(uri, Path(folder, "mlflow"), model, root, ())
        except EdgelineError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
