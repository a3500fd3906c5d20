"""An MLflow that tests start, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """The URL of one that keeps its database and files in `folder`, at this address of the machine."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", "0", "--workers", "1"]
    command += ["--allowed-hosts", f"{host}:*,{host}", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "files")]
    log, environment = folder / "log", {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as file:
        made = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        until = time.monotonic() + 400
        while not (found := re.search(r"running on (http://\S+)", log.read_text())):
            assert made.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield found[1]
    finally:
        os.killpg(made.pid, signal.SIGKILL)
        made.wait()
