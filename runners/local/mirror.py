"""MLflow brought up to date by a process of its own: only importing it takes seconds."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from errors import EdgelineError
from locations import Location
from records.run import Run
from runners.shared.code import ROOT
from runners.shared.runs import read_all

if TYPE_CHECKING:
    from report.facts import Facts

# So long a run waits at its end for MLflow, and so long that may take where nobody waits.
_PATIENCE_S, _LONGEST_S = 120.0, 600


def mirror(uri: str, workspace: Path, model: str, root: str) -> None:
    """Brings to MLflow what it lacks of a model: of its runs, here or on a cluster, and of its releases.

    Raises:
        EdgelineError: MLflow cannot be imported or reached, or does not take it.
    """
    from runners.shared.registry import bring

    bring(uri, workspace.absolute() / "mlflow", model, root, _ended(workspace, model, root))


def _ended(workspace: Path, model: str, root: str) -> Iterator[tuple[Location, "Facts"]]:
    """The runs of the workspace that release there."""
    from runners.local.report import read_facts

    for folder, run in read_all(workspace):
        if (run.workload, run.push) == (model, root) and run.outcome != "running":
            yield folder.path, read_facts(run, folder)


def log_of(workspace: Path) -> Path:
    """What the last process said that mirrored a workspace; empty where all went well."""
    return workspace / "mlflow" / "mirror.log"


def start(run: Run, workspace: Path, told: bool = False) -> "subprocess.Popen[bytes]":
    """Has a process mirror the model of a run; one that is `told` imports MLflow, and waits for `finish`."""
    assert run.registry is not None
    log = log_of(workspace)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "runners.local.mirror"]
    command += [run.registry, str(workspace.absolute()), run.workload, run.push, *(["told"] if told else [])]
    stdin = subprocess.PIPE if told else subprocess.DEVNULL
    with log.open("wb") as file:
        # A session of its own: it goes on when the terminal is closed, or the run is asked to end.
        return subprocess.Popen(
            command, cwd=ROOT, stdin=stdin, stdout=file, stderr=file, start_new_session=True
        )


def finish(process: "subprocess.Popen[bytes]", workspace: Path) -> str:
    """Has it mirror what there is now, and waits for it; returns what went wrong."""
    try:
        process.communicate(timeout=_PATIENCE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
        return "MLflow lacks this run: it took too long. The next run or `edgeline ui` brings it."
    return log_of(workspace).read_text(errors="replace").strip() if process.returncode else ""


def _main(uri: str, workspace: str, model: str, root: str, told: str = "") -> None:
    if told:
        # While the run goes on: the imports, the tables, and what was missed before.
        with suppress(Exception):
            mirror(uri, Path(workspace), model, root)
            from runners.shared.registry import warm_up

            warm_up()
        sys.stdin.read()
    signal.alarm(_LONGEST_S)  # A database that hangs must not hold the lock for ever.
    try:
        mirror(uri, Path(workspace), model, root)
    except EdgelineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
