"""The record of a run on any engine, from which pages, alerts, comparisons and MLflow derive theirs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeline.errors import Problem
from edgeline.labels import format_count
from edgeline.records.ingest import SPAN_NAME, Excluded, describe_spans
from edgeline.records.json_file import JsonFile
from edgeline.records.outcome import Ending
from edgeline.records.source import Source

# Runs with these outcomes ended before a verdict, so the next run resumes from their finished steps.
UNFINISHED = ("failed", "interrupted", "killed")
_MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Step:
    """One step of the DAG in one run: wall time in seconds, start as UTC in ISO 8601, if known.

    A step that stopped the run on purpose has the state `held` or `refused`, like the run.
    """

    name: str
    state: Literal["queued", "running", "cached", "done", "failed", "held", "refused"] = "done"
    seconds: float | None = None
    started: str | None = None


@dataclass(frozen=True)
class Artifact:
    """One output of one step of a run."""

    step: str
    output: str  # its name
    uri: str  # a folder, or a URL on a cluster
    # Size in bytes by POSIX relative path, on one machine: a step whose files are gone runs again.
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run; times are UTC in ISO 8601, spans are given by their names, oldest first."""

    id: str  # on one machine the name of its folder
    workload: str  # the model's name
    engine: Literal["local", "kubeflow"] = "local"
    # The position among the runs of its model by creation: a clock may be wrong.
    number: int = 0
    outcome: Ending = "running"
    version: int | None = None  # the version that was pushed, or stays in production; None if not known
    has_pushed: bool = False  # it failed, or was interrupted, after it had pushed that version
    started_at: str = ""
    ended_at: str | None = None
    seconds: float | None = None  # wall time
    start_seconds: float | None = None  # from the start of the run to its first step: mostly importing TFX
    resumes: str | None = None  # the run whose finished steps were reused
    workload_source: str = ""  # the value of --workload
    data: str = ""  # where the examples came from
    push: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # nested by group
    changed: tuple[str, ...] = ()  # settings that differ from the workload's, by dotted name; on one machine
    # Settings found by a search, by dotted name: the model was trained with these in place of the run's own.
    tuned: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    registry: str | None = None  # URI of the MLflow server that mirrors the run
    libraries: Mapping[str, str] = field(default_factory=dict)  # version by name
    # Digests of the inputs of the run: window, settings, schema, code; production, the version of an open
    # canary, and the names of the spans that are judged for it (not compared); and the newest run where a
    # file fell by times alone.
    inputs: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    reasons: tuple[str, ...] = ()  # reasons of the outcome, a sentence each
    warnings: tuple[str, ...] = ()  # for a person to look at; they blocked nothing
    error: Problem | None = None  # the error that ended the run before its last step
    exit_code: int | None = None
    source: Source = field(default_factory=Source)  # the commit that it was started from
    log: str | None = None  # file with everything that was printed
    pid: int = 0
    process: str = ""  # tells processes with the same pid apart; see `workspace.runs.identify_process`
    host: str = ""
    spans: tuple[str, ...] = ()  # spans that it reads; on a cluster only the data of its facts has them
    new_since: str | None = None  # the last earlier run on this data that ended with a verdict
    new_spans: tuple[str, ...] = ()  # its spans that no run with a verdict has read
    missed_spans: tuple[str, ...] = ()  # spans that arrived since that run and are too old for the window
    excluded_spans: tuple[Excluded, ...] = ()  # those that it would read if nobody had excluded them
    blamed_spans: tuple[str, ...] = ()  # spans that stopped the run, if a gate or an error names any

    def __post_init__(self) -> None:
        # These names become parts of paths and sentences, and a record may be damaged.
        if not _MODEL.fullmatch(self.workload):
            raise ValueError(f"workload is {self.workload!r}, which is not a valid name")
        for span in (*self.spans, *self.new_spans, *self.missed_spans, *self.blamed_spans):
            if not SPAN_NAME.fullmatch(span):
                raise ValueError(f"{span!r} is not the name of a span")

    @property
    def order(self) -> tuple[int, str, str]:
        """The key that sorts runs in the order in which they were made."""
        return self.number, self.started_at, self.id

    @property
    def production(self) -> str:
        """Words for what was in production after a run that pushed nothing; that may have changed since."""
        if self.version:
            return f"version {self.version} stayed in production"
        if self.inputs.get("production") == "":
            return "nothing was in production"
        return "production was unchanged"  # A run that failed early has not looked, and a store may be away.

    @property
    def has_verdict(self) -> bool:
        """True for a run that judged its data or its model."""
        return self.outcome not in ("running", *UNFINISHED)

    @property
    def finished_steps(self) -> tuple[str, ...]:
        """The steps that a later run need not repeat."""
        return tuple(step.name for step in self.steps if step.state in ("done", "cached"))

    @property
    def used_settings(self) -> dict[str, Any]:
        """The settings that the model was trained with, by dotted name; those changed come first."""
        used = {**flatten(self.settings), **self.tuned}
        return {**{name: used[name] for name in (*self.changed, *self.tuned) if name in used}, **used}

    @property
    def notes(self) -> list[str]:
        """The spans that it reads and those that were excluded, a sentence each; none where it names none."""
        if not self.spans:
            return []
        window = describe_spans(self.spans)
        sentence = f"Spans: {window}."
        if self.new_since is not None and not self.new_spans:
            sentence = f"No new span since run {self.new_since}: {window}."
        elif self.new_since is not None:
            count = format_count(len(self.new_spans), "new span")
            names = describe_spans(self.new_spans)
            sentence = f"{count} since run {self.new_since}: {names} (read: {window})."
        until = self.settings.get("data", {}).get("until")
        ends = [f"No span after {until} is read (data.until)."] if until else []
        return [sentence, *ends, *(excluded.sentence for excluded in self.excluded_spans)]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested settings to dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


RUN = JsonFile[Run]("run.json", Run)
# The digest of each file that a step runs, by step and module.
CODE = JsonFile[Mapping[str, Mapping[str, str]]]("code.json", Mapping[str, Mapping[str, str]])
