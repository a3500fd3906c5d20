"""`edgeline tensorboard`: TensorBoard on the trainings of a workspace, those that go on too."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click

from errors import EdgelineError, UsageError
from records.training import TENSORBOARD
from runners.cli import options
from runners.cli.commands import Command
from runners.cli.options import Place
from runners.local import artifact_records
from runners.shared.events import EventReader
from runners.shared.runs import RunFolder, find_run, read_all
from runners.shared.stdout import say

# How often TensorBoard looks for new points, and this command for where they are written.
_LOOK_S = 5
# What its libraries say while they are imported, nobody can act on.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


@click.command(cls=Command)
@click.argument("run_ids", nargs=-1, metavar="[RUN]...", help="ids of runs, latest, or production")
@options.runs_of
@click.option("--all", "every", is_flag=True, help="every run that trained, and those to come")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="0 picks a free one (6006, or the next free)"
)
def tensorboard(run_ids: Sequence[str], place: Place, every: bool, port: int | None) -> int:
    """TensorBoard on the training of a run (the last that trained), or of several; Ctrl-C ends it."""

    def chosen() -> dict[str, Path]:
        if run_ids and not every:
            return _named(place, run_ids)
        found = _all(place)
        return found if every else dict(list(found.items())[-1:])

    logs = chosen()
    if not logs:
        raise UsageError(
            f"No run in {place.workspace} has left anything for TensorBoard.",
            "The Trainer writes it; a run that ended before that step has nothing, nor has one of a version"
            " that did not write it.",
            "Train: `python runners/local_runner.py`, or name another workspace with --workspace DIR.",
        )
    for run, folder in logs.items():
        say(f"{run}: {folder}")
    # A run that goes on while this looks at it stays the one.
    return _serve(logs, chosen if every else lambda: _named(place, list(logs)), port)


def log_folder(folder: RunFolder) -> Path | None:
    """Where the Trainer of a run left its log, or writes it now; None where there is none."""
    for record in artifact_records.read(folder.artifacts):
        if (record.step, record.key) == ("Trainer", "model_run"):
            kept = Path(record.uri, TENSORBOARD)
            return kept if kept.is_dir() else None
    said = [event.get("folder") for event in EventReader(folder.events) if event.get("event") == TENSORBOARD]
    live = Path(str(said[-1])) if said else None
    return live if live is not None and live.is_dir() else None


def _all(place: Place) -> dict[str, Path]:
    """By run; a training that later runs took from the cache is the first one's."""
    found: dict[Path, str] = {}
    for folder, run in read_all(place.workspace):
        if place.workload in (None, run.workload) and (logs := log_folder(folder)) is not None:
            # One that goes on after a kill writes where the run that was killed did.
            found[logs] = run.id if run.outcome == "running" else found.get(logs, run.id)
    return {run: logs for logs, run in found.items()}


def _named(place: Place, run_ids: Sequence[str]) -> dict[str, Path]:
    found = {}
    for run_id in run_ids:
        folder, run = find_run(place.workspace, run_id, place.workload)
        if (logs := log_folder(folder)) is None:
            raise UsageError(
                f"Run {run.id} has left nothing for TensorBoard.",
                "The Trainer writes it: the run did not come so far, or its files were removed.",
                f"`edgeline show {run.id}` says how far it came; without RUN, it is the last that trained.",
            )
        found[run.id] = logs
    return found


def _serve(logs: Mapping[str, Path], look: Callable[[], Mapping[str, Path]], port: int | None) -> int:
    """Runs TensorBoard on a folder of links, named by run, until it or this process is asked to end."""
    with tempfile.TemporaryDirectory(prefix="edgeline-tensorboard-") as links:
        _link(Path(links), logs)
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", links]
        command += ["--reload_interval", str(_LOOK_S), *(["--port", str(port)] if port is not None else [])]
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        server = subprocess.Popen(command, env={**os.environ, **_QUIET})
        try:
            while server.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    server.wait(_LOOK_S)
                # A training that ends takes its log from where it was written to its artifact.
                with suppress(UsageError):
                    _link(Path(links), look())
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
            try:
                server.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                server.kill()  # it has nothing to lose
                server.wait()
    raise EdgelineError(
        f"TensorBoard ended with exit code {server.returncode}.",
        "What it says of that stands above.",
        "Where its port is taken, let it pick another one: --port 0.",
    )


def _link(links: Path, logs: Mapping[str, Path]) -> None:
    for run, folder in logs.items():
        link = links / run
        if not link.is_symlink() or link.readlink() != folder.absolute():
            link.unlink(missing_ok=True)
            link.symlink_to(folder.absolute())
