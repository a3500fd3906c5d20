"""One run on one machine, as its record has it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from records.json_file import JsonFile
from records.outcome import Ending

# These ended before a verdict, so the next run takes up what they left.
UNFINISHED = ("failed", "interrupted", "killed")
_MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SPAN = re.compile(r"span-[0-9]{5}")


@dataclass(frozen=True)
class Step:
    """One step of the DAG in one run: wall time in seconds, start as UTC in ISO 8601, where known.

    A step that stopped the run on purpose ends as the run does, `held` or `refused`.
    """

    name: str
    state: Literal["queued", "running", "cached", "done", "failed", "held", "refused"] = "done"
    seconds: float | None = None
    started: str | None = None


@dataclass(frozen=True)
class Problem:
    """What ended a run: what was found, why it cannot work, what to do."""

    found: str
    why: str = ""
    do: str = ""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a run went, whatever tells of it; times are UTC in ISO 8601."""

    # Its place in the order in which the runs of its model were made: a clock may be wrong. 0 for those of
    # before it was noted, which come first, by their ids.
    number: int = 0
    outcome: Ending = "running"
    version: int | None = None  # pushed, or that stays in production; None where that is not known
    started_at: str = ""
    ended_at: str | None = None
    seconds: float | None = None  # wall time
    start_seconds: float | None = None  # from the start of the run to its first step: mostly importing TFX
    resumes: str | None = None  # the run whose finished steps were taken over
    # Digests of what the run depends on: window, settings, schema, code; production, and the names of the
    # spans that are judged for it (not compared).
    inputs: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()  # of the outcome, a sentence each
    warnings: tuple[str, ...] = ()  # what a person should look at although it blocked nothing


@dataclass(frozen=True)
class Run(Course):
    """The record of one run, whole in run.json; spans by their names, oldest first."""

    id: str  # the name of its folder
    workload: str  # the model's name
    workload_source: str  # what was given to --workload
    data: str
    push: str
    settings: Mapping[str, Any]
    registry: str | None = None  # URI of the MLflow that mirrors it
    # What a search found, by dotted name: the model was trained with these in place of the settings.
    tuned: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    exit_code: int | None = None
    pid: int = 0
    process: str = ""  # which of all processes of that number; see `runners.shared.runs.process_of`
    host: str = ""
    spans: tuple[str, ...] = ()  # that it reads
    new_since: str | None = None  # the last run before it on this data that ended with a verdict
    new_spans: tuple[str, ...] = ()  # of its spans those that no run with a verdict has read
    missed_spans: tuple[str, ...] = ()  # that came since that run and are too old for the window
    # That it would read, had nobody excluded them: span, who, when, reason.
    excluded_spans: tuple[Mapping[str, str], ...] = ()
    blamed_spans: tuple[str, ...] = ()  # that stopped it, as far as a gate or an error names them
    details: str | None = None  # the command that shows more; None where the error says what to do
    error: Problem | None = None  # what ended it before its last step

    def __post_init__(self) -> None:
        # Both become parts of paths and sentences, and a record may be damaged.
        if not _MODEL.fullmatch(self.workload):
            raise ValueError(f"workload is {self.workload!r}")
        for span in (*self.spans, *self.new_spans, *self.missed_spans, *self.blamed_spans):
            if not _SPAN.fullmatch(span):
                raise ValueError(f"a span is {span!r}")

    @property
    def has_verdict(self) -> bool:
        """Whether it got as far as saying what the data or the model is worth."""
        return self.outcome not in ("running", *UNFINISHED)

    @property
    def finished_steps(self) -> int:
        """How many steps a later run need not do again."""
        return sum(step.state in ("done", "cached") for step in self.steps)


RUN = JsonFile[Run]("run.json", Run)
# The digest of each file that a step runs, by step and module.
CODE = JsonFile[Mapping[str, Mapping[str, str]]]("code.json", Mapping[str, Mapping[str, str]])
