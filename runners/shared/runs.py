"""What a run is on disk: `runs/<id>/` with run.json, events.jsonl, artifacts.jsonl and run.log."""

import json
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from data.spans.names import describe_spans
from errors import UsageError
from report.reading import fit, read_as
from runners.shared.events import EventReader

Outcome = Literal["running", "pushed", "unchanged", "held", "refused", "failed", "interrupted", "killed"]
# Beyond the exit codes of errors.py: ended by Ctrl-C or SIGTERM, as a shell has it.
INTERRUPTED_EXIT = 130
OUTCOME_OF_ERROR: dict[int, Outcome] = {3: "held", 4: "refused", INTERRUPTED_EXIT: "interrupted"}
# These ended before a verdict, so the next run takes up what they left.
UNFINISHED = ("failed", "interrupted", "killed")
_MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Step:
    """One node of the DAG in one run."""

    name: str
    state: Literal["queued", "running", "cached", "done", "failed"]
    seconds: float | None = None


@dataclass(frozen=True)
class Run:
    """The record of one run, whole in run.json.

    Attributes:
        id: The name of its folder.
        number: Its place in the order in which the runs of its workspace were made: a clock may be wrong. 0
            for those of before it was noted, which come first, by their ids.
        workload: The model's name.
        workload_source: What was given to --workload.
        outcome: `running` until it ends.
        started_at: UTC, ISO 8601.
        seconds: Wall time.
        inputs: Digests of what the run depends on: window, settings, schema, code; production (not compared).
        version: The version pushed, or the one that stays in production.
        start_seconds: From the start of the run to its first step: mostly importing TFX.
        resumes: The run whose finished steps were taken over.
        spans: Names of the spans that it reads, oldest first.
        new_since: The last run before it on this data that ended with a verdict.
        new_spans: Those of its spans that no run with a verdict has read.
        missed_spans: Those that came since that run and are too old for the window.
        excluded_spans: Those that it would read, had nobody excluded them: span, who, when, reason.
    """

    id: str
    workload: str
    workload_source: str
    data: str
    push: str
    settings: Mapping[str, Any]
    number: int = 0
    outcome: Outcome = "running"
    exit_code: int | None = None
    pid: int = 0
    host: str = ""
    started_at: str = ""
    ended_at: str | None = None
    seconds: float | None = None
    start_seconds: float | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    resumes: str | None = None
    spans: tuple[str, ...] = ()
    new_since: str | None = None
    new_spans: tuple[str, ...] = ()
    missed_spans: tuple[str, ...] = ()
    excluded_spans: tuple[Mapping[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    version: int | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    look_closer: str | None = None
    error: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        # Both become parts of paths and sentences, and a record may be damaged.
        if not _MODEL.fullmatch(self.workload):
            raise ValueError(f"workload is {self.workload!r}")
        describe_spans((*self.spans, *self.new_spans, *self.missed_spans))

    def to_json(self) -> dict[str, Any]:
        """The record as run.json and `--json` have it."""
        return asdict(self)

    @property
    def has_verdict(self) -> bool:
        """Whether it got as far as saying what the data or the model is worth."""
        return self.outcome not in ("running", *UNFINISHED)

    @property
    def finished_steps(self) -> int:
        """How many steps a later run need not do again."""
        return sum(step.state in ("done", "cached") for step in self.steps)


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "run.json"
        self.events = path / "events.jsonl"
        self.artifacts = path / "artifacts.jsonl"
        self.log = path / "run.log"

    def write(self, run: Run) -> None:
        """Replaces the record, whole or not at all."""
        scratch = self.record.with_suffix(".json.new")
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(run.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, self.record)

    def read(self) -> Run | None:
        """The record; None where there is none, or, with a warning, none that can be read."""
        run: Run | None = read_as(self.record, Run)
        if run is None:
            return None
        run = replace(run, id=self.path.name)
        if run.outcome != "running":
            return run
        steps = self.read_steps()
        if run.host == socket.gethostname() and not _alive(run.pid):
            return replace(run, outcome="killed", steps=steps)
        return replace(run, steps=steps)

    def read_steps(self) -> tuple[Step, ...]:
        """The steps as the events have them."""
        steps: dict[str, Step] = {}
        for event in EventReader(self.events):
            with suppress(ValueError):  # As torn as a line that is none.
                if event.get("event") == "plan":
                    names = fit(event.get("steps"), tuple[str, ...])
                    steps |= {name: Step(name, "queued") for name in names}
                elif event.get("event") == "step":
                    step = fit({**event, "name": event.get("step")}, Step)
                    steps[step.name] = step
        return tuple(steps.values())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def utc_now() -> str:
    """Now, as records write it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def create_folder(workspace: Path) -> RunFolder:
    """A new run's folder, named by the second it was made in."""
    base = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    (workspace / "runs").mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = workspace / "runs" / (base if number == 1 else f"{base}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return RunFolder(path)
    raise AssertionError("a thousand runs in one second")


def folders(workspace: Path) -> list[RunFolder]:
    """All run folders of a workspace, by their names."""
    runs = workspace / "runs"
    if not runs.is_dir():
        return []
    return [RunFolder(path) for path in sorted(runs.iterdir(), key=_age) if path.is_dir()]


def _age(path: Path) -> tuple[str, int]:
    second, number = path.name[:15], path.name[16:]
    return second, int(number) if number.isdecimal() else 1


def read_all(workspace: Path) -> list[tuple[RunFolder, Run]]:
    """All readable runs of a workspace with their folders, in the order in which they were made."""
    found = [(folder, run) for folder in folders(workspace) if (run := folder.read()) is not None]
    return sorted(found, key=lambda item: item[1].number)


def read_runs(workspace: Path, workload: str | None = None) -> list[Run]:
    """All readable runs of a workspace, oldest first; of one workload where it is named."""
    return [run for _, run in read_all(workspace) if workload in (None, run.workload)]


def find_run(workspace: Path, run_id: str, workload: str | None = None) -> tuple[RunFolder, Run]:
    """The run of that id, or the newest one for `latest`, of one workload where it is named.

    Raises:
        UsageError: There is none.
    """
    runs = {run.id: (folder, run) for folder, run in read_all(workspace)}
    if not runs:
        raise UsageError(
            f"The workspace {workspace} holds no run.",
            "Nothing has been run there yet.",
            "Run `python runners/local_runner.py`, or name another workspace with --workspace DIR.",
        )
    if run_id == "latest":
        newest = list(runs.values())[-1]
        found = [item for item in runs.values() if workload in (None, item[1].workload)]
        if not found:
            raise UsageError(
                f"The workspace {workspace} holds no run of {workload}.",
                f"Its newest run is one of {newest[1].workload}.",
                "`edgeline runs` lists what it holds.",
            )
        return found[-1]
    if run_id not in runs:
        import difflib

        near = difflib.get_close_matches(run_id, runs, 1, cutoff=0.5)
        raise UsageError(
            f"There is no run {run_id!r} in {workspace}.",
            f"It holds {len(runs)} runs; the newest is {list(runs)[-1]}.",
            f"Did you mean {near[0]}?" if near else "`edgeline runs` lists them.",
        )
    return runs[run_id]


def mark_killed(workspace: Path) -> list[Run]:
    """Ends the records of runs that never did; only for the one who holds the workspace's lock.

    Returns:
        The runs that were marked.
    """
    marked = []
    for folder, run in read_all(workspace):
        # Whoever holds the lock knows that nobody else runs here, even where the number is in use again.
        if run.ended_at is None:
            run = replace(run, outcome="killed", exit_code=1, ended_at=utc_now(), steps=folder.read_steps())
            folder.write(run)
            marked.append(run)
    return marked
