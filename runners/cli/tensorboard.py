"""`edgeline tensorboard`: runs TensorBoard on the trainings of a workspace, also on running ones."""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import say
from edgeline.errors import UsageError
from edgeline.records.events import EventReader, LogOpened
from edgeline.records.run import Run
from edgeline.records.training import TENSORBOARD
from edgeline.workspace.place import Place
from edgeline.workspace.runs import RunFolder, find_run, read_all
from runners.cli.server import LOOK_S, port, serve

# TensorBoard reads these logs without TensorFlow, which it imports unless there is a module of this name, and
# whose messages no variable silences: nobody can act on them, or on warnings while libraries are imported.
_START = """
import sys
import types

from absl import app, logging

sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
from tensorboard import default, program

logging.set_verbosity(logging.WARNING)
server = program.TensorBoard(default.get_plugins())
app.run(server.main, flags_parser=server.configure)
"""
_QUIET = {"PYTHONWARNINGS": "ignore"}


@click.command(cls=Command)
@click.argument(
    "run_ids", nargs=-1, metavar="[RUN]...", help="ids of runs, latest, or production (the last that trained)"
)
@options.runs_of
@click.option("--all", "every", is_flag=True, help="show every run that trained, including later ones")
@port(None, "6006, or the next free")
def tensorboard(run_ids: Sequence[str], place: Place, every: bool, port: int | None) -> int:
    """Starts TensorBoard on the last run that trained, or on the runs that are named."""

    def find_logs() -> dict[str, Path]:
        if run_ids and not every:
            return _find_named(place, run_ids)
        trained = _find_all(place)
        return trained if every else dict(list(trained.items())[-1:])

    logs = find_logs()
    if not logs:
        raise UsageError(
            f"No run in {place.workspace} has logs for TensorBoard.",
            "The Trainer writes them; a run that ended before that step has none.",
            "Run `edgeline run`, or pass another workspace with --workspace DIR.",
        )
    for run, folder in logs.items():
        say(f"{run}: {folder}")
    # Without --all, the choice of runs stays the same while this command runs.
    return _serve(logs, find_logs if every else lambda: _find_named(place, list(logs)), port)


def find_log_folder(folder: RunFolder, run: Run) -> Path | None:
    """Returns the folder where the Trainer of a run left its log, or writes it now; None for none."""
    places = [Path(event.folder) for event in EventReader(folder.events) if isinstance(event, LogOpened)]
    places += [
        Path(artifact.uri, TENSORBOARD)
        for artifact in run.artifacts
        if (artifact.step, artifact.output) == ("Trainer", "model_run")
    ]
    return places[-1] if places and places[-1].is_dir() else None


def _find_all(place: Place) -> dict[str, Path]:
    """Returns the folders of logs by run; a training that later runs took from the cache counts once."""
    runs: dict[Path, str] = {}
    for folder, run in read_all(place.workspace):
        if place.workload in (None, run.workload) and (logs := find_log_folder(folder, run)) is not None:
            # A log is the first run's, or that of a running one, which may resume a killed run in its folder.
            if run.outcome == "running":
                runs.pop(logs, None)
            runs.setdefault(logs, run.id)
    return {run: logs for logs, run in runs.items()}


def _find_named(place: Place, run_ids: Sequence[str]) -> dict[str, Path]:
    folders = {}
    for run_id in run_ids:
        folder, run = find_run(place.workspace, run_id, place.workload)
        if (logs := find_log_folder(folder, run)) is None:
            raise UsageError(
                f"Run {run.id} has no logs for TensorBoard.",
                "The run ended before the Trainer wrote them, or they were removed.",
                f"See `edgeline show {run.id}`, or leave out RUN for the last run that trained.",
            )
        folders[run.id] = logs
    return folders


def _serve(logs: Mapping[str, Path], find_logs: Callable[[], Mapping[str, Path]], port: int | None) -> int:
    """Runs TensorBoard on a folder of links, named by run, until it or this process ends."""
    with tempfile.TemporaryDirectory(prefix="edgeline-tensorboard-") as links:
        _link(Path(links), logs)
        # TensorBoard looks for new points as often as this command for new folders of logs.
        command = [sys.executable, "-c", _START, "--logdir", links]
        command += ["--reload_interval", str(LOOK_S), *(["--port", str(port)] if port is not None else [])]

        def look() -> None:
            # The end of a training moves its log to its artifact.
            with suppress(UsageError):
                _link(Path(links), find_logs())

        return serve("TensorBoard", command, look, env={**os.environ, **_QUIET})


def _link(links: Path, logs: Mapping[str, Path]) -> None:
    for run, folder in logs.items():
        link = links / run
        if not link.is_symlink() or link.readlink() != folder.absolute():
            link.unlink(missing_ok=True)
            link.symlink_to(folder.absolute())
