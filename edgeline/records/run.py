"""The record of one run on one machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeline.records.json_file import JsonFile
from edgeline.records.outcome import Ending

# Runs with these outcomes ended before a verdict, so the next run resumes from their finished steps.
UNFINISHED = ("failed", "interrupted", "killed")
_MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SPAN = re.compile(r"span-[0-9]{5}")


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
class Problem:
    """The error that ended a run: what was found, why it cannot work, what to do."""

    found: str
    why: str = ""
    do: str = ""


@dataclass(frozen=True, kw_only=True)
class Course:
    """The course of a run, common to all records of runs; times are UTC in ISO 8601."""

    # The position among the runs of its model by creation: a clock may be wrong. Old records have 0; these
    # come first, in the order of their ids.
    number: int = 0
    outcome: Ending = "running"
    version: int | None = None  # the version that was pushed, or stays in production; None if not known
    started_at: str = ""
    ended_at: str | None = None
    seconds: float | None = None  # wall time
    start_seconds: float | None = None  # from the start of the run to its first step: mostly importing TFX
    resumes: str | None = None  # the run whose finished steps were reused
    # Digests of the inputs of the run: window, settings, schema, code; production, and the names of the
    # spans that are judged for it (not compared).
    inputs: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()  # reasons of the outcome, a sentence each
    warnings: tuple[str, ...] = ()  # for a person to look at; they blocked nothing


@dataclass(frozen=True)
class Run(Course):
    """The complete record of one run, in run.json; spans by their names, oldest first."""

    id: str  # the name of its folder
    workload: str  # the model's name
    workload_source: str  # the value of --workload
    data: str
    push: str
    settings: Mapping[str, Any]
    registry: str | None = None  # URI of the MLflow server that mirrors the run
    # Settings found by a search, by dotted name: the model was trained with these in place of the run's own.
    tuned: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    exit_code: int | None = None
    pid: int = 0
    process: str = ""  # tells processes with the same pid apart; see `edgeline.workspace.runs.process_of`
    host: str = ""
    spans: tuple[str, ...] = ()  # spans that it reads
    new_since: str | None = None  # the last earlier run on this data that ended with a verdict
    new_spans: tuple[str, ...] = ()  # its spans that no run with a verdict has read
    missed_spans: tuple[str, ...] = ()  # spans that arrived since that run and are too old for the window
    # Spans that it would read if nobody had excluded them: span, who, when, reason.
    excluded_spans: tuple[Mapping[str, str], ...] = ()
    blamed_spans: tuple[str, ...] = ()  # spans that stopped the run, if a gate or an error names any
    details: str | None = None  # the command that shows more; None if the error says what to do
    error: Problem | None = None  # the error that ended the run before its last step

    def __post_init__(self) -> None:
        # These names become parts of paths and sentences, and a record may be damaged.
        if not _MODEL.fullmatch(self.workload):
            raise ValueError(f"workload is {self.workload!r}, which is not a valid name")
        for span in (*self.spans, *self.new_spans, *self.missed_spans, *self.blamed_spans):
            if not _SPAN.fullmatch(span):
                raise ValueError(f"{span!r} is not the name of a span")

    @property
    def has_verdict(self) -> bool:
        """True for a run that judged its data or its model."""
        return self.outcome not in ("running", *UNFINISHED)

    @property
    def finished_steps(self) -> int:
        """The number of steps that a later run need not repeat."""
        return sum(step.state in ("done", "cached") for step in self.steps)


RUN = JsonFile[Run]("run.json", Run)
# The digest of each file that a step runs, by step and module.
CODE = JsonFile[Mapping[str, Mapping[str, str]]]("code.json", Mapping[str, Mapping[str, str]])
