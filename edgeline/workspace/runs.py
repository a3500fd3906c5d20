"""The folders of runs: `runs/<id>/` with run.json, run.log and, while the run goes on, events.jsonl."""

import os
import shutil
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

from edgeline.errors import EdgelineError, UsageError, suggest
from edgeline.journal import utc_now
from edgeline.labels import format_count, join_names
from edgeline.records.events import EventReader, Planned, StepChanged
from edgeline.records.run import RUN, Artifact, Run, Step
from edgeline.records.verdict import PUSH
from edgeline.release.manifest import find_files
from edgeline.release.releases import current, find_version_of_run, models
from edgeline.report.sources import Sources
from edgeline.store.locations import open_regular_file

# The names by which commands take the newest run, and the one that pushed the release in production.
LATEST, PRODUCTION = "latest", "production"
# The file of a workspace that its run locks, with what is known of the process that holds it.
LOCK = "lock"


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / RUN.name
        self.events = path / "events.jsonl"
        self.log = path / "run.log"

    def write(self, run: Run) -> None:
        """Replaces the record atomically."""
        RUN.write(self.path, run, sync=True)

    def read(self) -> Run | None:
        """Reads the record; None where there is none, or, with a warning, where it cannot be read."""
        run = RUN.find_readable(self.path)
        if run is None or run.outcome != "running":
            return run and replace(run, id=self.path.name)
        run = self.add_events(replace(run, id=self.path.name))
        is_gone = run.host == socket.gethostname() and run.process != identify_process(run.pid)
        # Processes of another container are not seen here, but the lock that they hold is.
        return _end_killed(run) if is_gone and not is_locked(self.path.parent.parent) else run

    def add_events(self, run: Run) -> Run:
        """Returns the record of a run with what its worker reported so far: steps, artifacts, and the log."""
        steps: dict[str, Step] = {}
        artifacts: list[Artifact] = []
        for event in EventReader(self.events):
            if isinstance(event, Planned):
                steps |= {name: Step(name, "queued") for name in event.steps}
            elif isinstance(event, StepChanged):
                steps[event.step.name] = event.step
                artifacts += event.artifacts
        log = str(self.log) if self.log.exists() else None
        return replace(run, steps=tuple(steps.values()), artifacts=tuple(artifacts), log=log)


def _end_killed(run: Run) -> Run:
    """Returns the record of a run that was killed, which may have pushed before that."""
    version = find_pushed_version(run)
    return replace(run, outcome="killed", version=version, has_pushed=version is not None)


def find_pushed_version(run: Run) -> int | None:
    """Returns the version that a run pushed; None if it pushed none, or its store cannot be read."""
    pushed = Sources.of(run).pushed_model
    if (push := PUSH.find_readable(pushed) if pushed else None) is not None:
        return push.version if push.outcome == "pushed" else None
    if any(step.name == "Pusher" and step.state in ("running", "failed") for step in run.steps):
        # It may have ended between its push and its report of it.
        with suppress(EdgelineError, OSError):
            return find_version_of_run(run.push, run.workload, run.id)
    return None


def identify_process(pid: int) -> str:
    """Returns the id of the system's boot and the clock tick at which a process started; empty for none.

    The pid alone is not enough: after a restart, above all of a container, another process soon has it.
    """
    try:
        # proc(5): the program's name is in brackets and may have any characters; the 22nd field is the start.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"
    except (OSError, IndexError):
        return ""


def is_locked(workspace: Path) -> bool:
    """Returns whether a run holds the workspace's lock; false where files have no locks."""
    try:
        fcntl = import_module("fcntl")  # Windows has none, and no run goes on there
        with open(workspace / LOCK, "rb", opener=open_regular_file) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def create_folder(workspace: Path) -> RunFolder:
    """Makes a new run's folder, named by the current second in UTC."""
    base = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    (workspace / "runs").mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = workspace / "runs" / (base if number == 1 else f"{base}-{number}")
        with suppress(FileExistsError):
            path.mkdir()
            return RunFolder(path)
    raise AssertionError("a thousand runs in one second")


def list_run_folders(workspace: Path) -> list[RunFolder]:
    """Returns all run folders of a workspace, oldest first by their names."""
    runs = workspace / "runs"
    if not runs.is_dir():
        return []
    return [RunFolder(path) for path in sorted(runs.iterdir(), key=_order) if path.is_dir()]


def _order(path: Path) -> tuple[str, int]:
    second, number = path.name[:15], path.name[16:]
    return second, int(number) if number.isdecimal() else 1


def read_all(workspace: Path) -> list[tuple[RunFolder, Run]]:
    """Returns all readable runs of a workspace with their folders, oldest first."""
    runs = [(folder, run) for folder in list_run_folders(workspace) if (run := folder.read()) is not None]
    return sorted(runs, key=lambda item: item[1].number)


def read_runs(workspace: Path, workload: str | None = None) -> list[Run]:
    """Returns all readable runs of a workspace, or those of one workload, oldest first."""
    return [run for _, run in read_all(workspace) if workload in (None, run.workload)]


def find_run(workspace: Path, run_id: str, workload: str | None = None) -> tuple[RunFolder, Run]:
    """Returns the run of that id, the newest for `latest`, or the one that pushed the release in production.

    Args:
        workspace: The folder whose runs are searched.
        run_id: An id or its beginning, if no other run has it; `latest`, or `production`.
        workload: The model of `latest`, by default any, and of `production`, by default the released one.

    Raises:
        UsageError: There is no such run, or several may be meant.
    """
    runs = {run.id: (folder, run) for folder, run in read_all(workspace)}
    if not runs:
        raise UsageError(
            f"The workspace {workspace} has no run.",
            "Nothing has been run there yet.",
            "Run `edgeline run`, or name another workspace with --workspace DIR.",
        )
    known_as = ""
    if run_id in (LATEST, PRODUCTION):
        matches = [item for item in runs.values() if workload in (None, item[1].workload)]
        if not matches:
            raise UsageError(
                f"The workspace {workspace} has no run of {workload}.",
                f"It has those of {join_names(sorted({run.workload for _, run in runs.values()}), 10)}.",
                "Pass one of these with --workload.",
            )
        if run_id == LATEST:
            return matches[-1]
        model = choose_released_model([run for _, run in matches], workspace)
        newest = next(run for _, run in reversed(matches) if run.workload == model)
        run_id = find_run_in_production(find_push(newest, workspace), newest.workload)
        known_as = ", which pushed the release in production,"
    run_id = complete_id(run_id, runs)
    if run_id not in runs:
        raise UsageError(
            f"There is no run {run_id!r}{known_as} in {workspace}.",
            f"The newest of its {format_count(len(runs), 'run')} is {list(runs)[-1]}.",
            suggest(run_id, (*runs, LATEST, PRODUCTION), 0.5) or "Run `edgeline runs` to list them.",
        )
    return runs[run_id]


def choose_model(names: Collection[str], where: str | Path) -> str | None:
    """Returns the only one of the models in a place; None if it has none. Raises UsageError for several."""
    if len(names) > 1:
        raise UsageError(
            f"{where} has the models {join_names(sorted(names), 10)}.",
            "It is not known which one is meant.",
            "Name one of these with --workload.",
        )
    return next(iter(names), None)


def choose_released_model(runs: Iterable[Run], workspace: Path) -> str:
    """Returns the model of these runs, of several the only one with a release.

    Raises UsageError if several have one.
    """
    newest = {run.workload: run for run in runs}
    names = list(newest)
    if len(names) > 1:
        names = [name for name in names if name in models(find_push(newest[name], workspace))] or names
    choose_model(names, workspace)
    return names[0]


def complete_id(beginning: str, ids: Collection[str]) -> str:
    """Returns the id that begins so; without one the beginning. Raises UsageError if several begin so."""
    matches = [name for name in ids if beginning and name.startswith(beginning)]
    if beginning in ids or not matches:
        return beginning
    if len(matches) > 1:
        raise UsageError(
            f"{len(matches):,} runs begin with {beginning!r}: {join_names(matches, 5)}.",
            "It is ambiguous which one is meant.",
            "Write more of its id.",
        )
    return matches[0]


def find_push(last: Run | None, workspace: Path) -> str:
    """Returns the release store of the last run, or, if it pushed into its own workspace, of this one.

    A workspace may have been copied or moved since: the record has the place of then.
    """
    push = last.settings.get("push") if last and last.engine == "local" else None
    is_inside = isinstance(push, Mapping) and push.get("destination", "") is None
    if last and not is_inside:
        return last.push
    return str(workspace.absolute() / "push")


def locate_registry(workspace: Path) -> str:
    """Returns the URI of a workspace's own MLflow."""
    return f"sqlite:///{workspace.absolute() / 'mlflow.db'}"


def find_registry(last: Run | None, workspace: Path) -> str | None:
    """Returns MLflow's URI in the last run's record; if that is in its workspace, the one in `workspace`."""
    if last is None:
        return locate_registry(workspace)
    # Settings of MLflow are not recorded. The log was in the workspace of then: WORKSPACE/runs/ID/run.log.
    then = Path(last.log).parents[2] if last.log and last.engine == "local" else None
    return locate_registry(workspace) if then and last.registry == locate_registry(then) else last.registry


def find_run_in_production(push: str, model: str) -> str:
    """Returns the id of the run that pushed the release in production. Raises UsageError if there is none."""
    if (release := current(push, model)) is None:
        raise UsageError(
            f"No release of {model} is in production in {push}.",
            "`production` is the run that pushed the release in production.",
            "Name a run by its id, or latest; `edgeline runs` lists them.",
        )
    return release.manifest.run


def mark_killed(workspace: Path) -> None:
    """Marks runs without an end as killed; only for a caller that holds the workspace's lock."""
    for folder, run in read_all(workspace):
        # The holder of the lock knows that no other run is alive, even where another process has its pid.
        if run.ended_at is None:
            run = _end_killed(folder.add_events(run))
            folder.write(replace(run, exit_code=1, ended_at=utc_now()))


def list_files(uri: str) -> dict[str, int]:
    """Returns the size in bytes of every file below a folder, by POSIX relative path."""
    return {name: path.stat().st_size for name, path in find_files(Path(uri)).items()}


def discard_damaged(workspace: Path) -> list[str]:
    """Removes the folder of each artifact that lost files or bytes, so that its step runs again.

    Returns a sentence for each. TFX reuses a cached step when its output folders exist, whether or not they
    are complete; it detects itself that they are missing altogether.
    """
    root = (workspace / "artifacts").resolve()
    newest = {artifact.uri: artifact for run in read_runs(workspace) for artifact in run.artifacts}
    sentences = []
    for artifact in newest.values():
        path = Path(artifact.uri)
        if not os.path.isdir(path) or root not in path.resolve().parents:
            continue
        if damage := describe_damage(artifact):
            shutil.rmtree(path)
            sentences.append(f"{artifact.step} runs again: {damage}")
    return sentences


def describe_damage(artifact: Artifact) -> str:
    """Returns a sentence on the files or bytes that the folder of an artifact lost; empty if it is whole."""
    sizes = list_files(artifact.uri)
    damaged = sorted(name for name, size in artifact.files.items() if sizes.get(name) != size)
    if not damaged:
        return ""
    damage = "is gone" if damaged[0] not in sizes else "has a different size"
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    return f"{damaged[0]} of its {artifact.output} {damage}{more}."
