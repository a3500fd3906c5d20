"""The outcome of a step or a run, on any engine, and its line in a log."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from edgeline.errors import DataRefused, EdgelineError, HeldBack, Problem
from edgeline.records.json_file import decode, encode

# The ending of a run; `running` until it ends.
Ending = Literal["running", "pushed", "unchanged", "held", "refused", "failed", "interrupted", "killed"]
# The exit code after Ctrl-C or SIGTERM, as shells use it; errors.py has the others.
INTERRUPTED_EXIT = 130
_STOPPED_BY: Mapping[int, Ending] = {
    HeldBack.exit_code: "held",
    DataRefused.exit_code: "refused",
    INTERRUPTED_EXIT: "interrupted",
}
_EXIT_CODES: Mapping[str, int] = {
    **dict.fromkeys(("done", "pushed", "unchanged"), 0),
    **{word: code for code, word in _STOPPED_BY.items()},
}
_HEADS = {"unchanged": "Nothing new to push", "held": "Held back", "refused": "Data refused"}
_NOT_DONE = {
    "held": "the model was trained and not pushed; ",
    "refused": "nothing was trained or pushed; ",
    "failed": "nothing was pushed; ",
}
# Marks our lines: other programs write to the same log, but no line with this mark and such JSON.
_MARK = "edgeline: "


@dataclass(frozen=True)
class Outcome:
    """The outcome of a step or a run; `done` is a step that succeeded and decided nothing about a release."""

    outcome: Ending | Literal["done"]
    version: int | None = None  # the version that was pushed, or existed already
    reasons: tuple[str, ...] = ()  # a sentence each
    do: str = ""  # the next thing to do; empty where there is nothing
    step: str = ""  # the name of the step; empty for a run
    error_code: int = EdgelineError.exit_code  # exit code of an outcome that has none of its own

    @classmethod
    def of_problem(cls, problem: Problem, step: str = "") -> "Outcome":
        """Returns the outcome of a step or a run that a problem ended."""
        ending = _STOPPED_BY.get(problem.exit_code, "failed")
        return cls(ending, None, (problem.found,), problem.do, step, problem.exit_code)

    @property
    def exit_code(self) -> int:
        """The exit code of a command with this outcome."""
        return _EXIT_CODES.get(self.outcome, self.error_code)

    @property
    def sentence(self) -> str:
        """The outcome and its reasons for people, on one line."""
        return " ".join(f"{self._head}: {' '.join(self.reasons)}".split())

    def headline(self, model: str, push: str | None, stays: str) -> str:
        """Returns the outcome of a run as one sentence.

        Args:
            model: The name of the model.
            push: The push destination; None or empty to leave it out.
            stays: Says what is in production after a run that pushed nothing; empty if that is not known.
        """
        if self.outcome == "pushed":
            return f"Pushed version {self.version} of {model}{f' to {push}' if push else ''}"
        detail = f"{_NOT_DONE.get(self.outcome, '')}{stays}" if stays else ""
        if self.outcome in ("interrupted", "killed"):
            detail = "the same command continues after the finished steps"
        return f"{self._head}{f': {detail}' if detail else ''}."

    @property
    def _head(self) -> str:
        return _HEADS.get(self.outcome, self.outcome.capitalize())

    def to_line(self) -> str:
        """Returns the outcome as one line for a log; ASCII, so that no character in it ends the line."""
        return _MARK + json.dumps(decode(encode(self)))


def find_outcome(log: Sequence[str], step: str) -> Outcome | None:
    """Finds the last outcome of a step in the lines of its log; None if there is none."""
    for line in reversed(log):
        _, _, text = line.partition(_MARK)
        with suppress(ValueError, RecursionError):
            outcome: Outcome = decode(text.encode(), Outcome)
            if outcome.step == step:
                return outcome
    return None
