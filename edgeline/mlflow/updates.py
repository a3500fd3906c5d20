"""Updates of MLflow by a process of their own, because its import alone takes seconds."""

import faulthandler
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.end_signals import handle_end_signals
from edgeline.errors import EdgelineError
from edgeline.records.run import Run
from edgeline.release.durable import only_writer
from edgeline.store.locations import Location, locate
from edgeline.workspace.runs import find_push, read_all

if TYPE_CHECKING:
    from edgeline.report.facts import Facts

_ROOT = Path(__file__).parents[2]  # the folder in which Python finds this package
_LONGEST_S = 600  # of an update: a database that hangs must not hold the lock for ever
_PATIENCE_S = 120.0  # how long a run waits for MLflow at its end
_GRACE_S = 5.0  # and then for the removal of temporary folders


def mirror_workspace(uri: str, workspace: Path, model: str, root: str) -> str:
    """Sends MLflow the runs of a model, here or on a cluster, and the releases that it lacks.

    Args:
        uri: The tracking server or database of MLflow.
        workspace: Has the runs of this machine; files for MLflow go to its folder `mlflow`.
        model: The name of the workload, and of the model in the store.
        root: The store; runs that push elsewhere are left out, and runs on a cluster are read from it.

    Returns:
        The path of the table of runs on an MLflow server.

    Raises:
        EdgelineError: MLflow cannot be imported or reached, or refuses the data.
    """
    from edgeline.mlflow.registry import Registry
    from edgeline.report import archive

    artifacts = workspace.absolute() / "mlflow"
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        with only_writer(artifacts / ".lock", _LONGEST_S):
            registry = Registry(uri, artifacts, model)
            on_cluster = archive.read_all(locate(root) / "runs" / model)
            registry.copy_runs(chain(_read_ended_runs(workspace, model, root), on_cluster))
            registry.register_releases(root)
            return registry.page
    except Exception as error:  # Anything of MLflow, its database or the network: no decision rests on them.
        text = " ".join(str(getattr(error, "found", error)).partition("[SQL:")[0].split())[:600]
        server = "" if isinstance(error, ImportError) else _describe_server(uri)
        raise EdgelineError(
            f"MLflow at {uri} lacks runs or releases: {text.rstrip('.') or type(error).__name__}.",
            f"{server}MLflow only mirrors them: no run, push or rollback is affected.",
            f"{error.do if isinstance(error, EdgelineError) else ''} The next run, promote, rollback or"
            " `edgeline ui` adds what is missing.".lstrip(),
        ) from error


def _describe_server(uri: str) -> str:
    """Returns a sentence on a server of another version than the installed MLflow; else an empty text."""
    if not uri.startswith("http"):
        return ""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking._tracking_service.utils import get_default_host_creds
    from mlflow.utils.rest_utils import http_request
    from requests import RequestException

    own = version("mlflow")
    theirs = ""
    login = get_default_host_creds(uri)
    # As a stream, of which only the beginning is read: the server may be anything.
    options = {"timeout": 5, "max_retries": 0, "stream": True}
    with (
        suppress(MlflowException, RequestException),
        http_request(login, "/version", "GET", **options) as answer,
    ):
        theirs = next(answer.iter_content(100), b"").decode(errors="replace").strip()
    if theirs == own or not re.fullmatch(r"\d+\.[\w.+-]+", theirs):
        return ""
    return f"The server is MLflow {theirs}, and the installed one is {own}. "


def _read_ended_runs(workspace: Path, model: str, root: str) -> Iterator[tuple[Location, "Facts"]]:
    """Yields the ended runs of a model in the workspace that release to `root`, with their facts."""
    from edgeline.workspace.known_runs import read_facts

    for folder, run in read_all(workspace):
        if (run.workload, find_push(run, workspace)) == (model, root) and run.outcome != "running":
            yield folder.path, read_facts(run, folder)


def locate_log(workspace: Path) -> Path:
    """Returns the log of the last process that mirrored a workspace; the file is empty if all went well."""
    return workspace / "mlflow" / "mirror.log"


def start(run: Run, workspace: Path, wait: bool = False) -> "subprocess.Popen[bytes]":
    """Starts a process that mirrors the model of a run; with `wait` it prepares, and waits for `finish`.

    Args:
        run: Its `registry` is not None, and names MLflow.
        workspace: The workspace of the run, which gets the log of the process.
        wait: True while the run goes on: its end is mirrored sooner then.
    """
    assert run.registry is not None
    log = locate_log(workspace)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "edgeline.mlflow.updates"]
    command += [run.registry, str(workspace.absolute()), run.workload, run.push, *(["wait"] if wait else [])]
    stdin = subprocess.PIPE if wait else subprocess.DEVNULL
    with log.open("wb") as file:
        # In a session of its own it goes on when the terminal is closed, or the run is asked to end.
        return subprocess.Popen(
            command, cwd=_ROOT, stdin=stdin, stdout=file, stderr=file, start_new_session=True
        )


def finish(process: "subprocess.Popen[bytes]", workspace: Path) -> str:
    """Tells a waiting process to mirror, and waits for its end; returns what went wrong, or an empty text."""
    try:
        process.communicate(timeout=_PATIENCE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        _end(process)
        return "MLflow lacks this run: the update took too long. The next run or `edgeline ui` adds it."
    return locate_log(workspace).read_text(errors="replace").strip() if process.returncode else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process, which may first remove its temporary folders."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _run(uri: str, workspace: str, model: str, root: str, wait: str = "") -> None:
    from edgeline.mlflow.model import warm_up

    if wait:
        # Imports, tables and earlier runs are dealt with while the run goes on.
        with suppress(Exception):
            mirror_workspace(uri, Path(workspace), model, root)
            warm_up()
        sys.stdin.read()
    faulthandler.dump_traceback_later(_LONGEST_S, exit=True)
    try:
        mirror_workspace(uri, Path(workspace), model, root)
    except EdgelineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    with handle_end_signals(), suppress(KeyboardInterrupt):
        _run(*sys.argv[1:])
