"""The one tree of errors that people see; each has the exit code of the command that raised it.

An error has three parts: what was found, why it cannot work, and what to do next.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeline.secrets import redact
from edgeline.visible import make_one_line


@dataclass(frozen=True)
class Problem:
    """The parts of an error as a value, for records, events, alerts and pages."""

    found: str  # with the value
    why: str = ""
    do: str = ""  # where possible a command
    spans: tuple[str, ...] = ()  # names of the spans that caused it
    exit_code: int = 1  # of a command or a run that ends with it


class EdgelineError(Exception):
    """An error that ends a run or a command; its arguments are the parts of a `Problem`.

    Each part is one line, whatever the names in it contain; `found` may be several, a heading and a list. No
    part shows a secret.
    """

    exit_code = 1

    def __init__(
        self, found: str | Sequence[str], why: str = "", do: str = "", spans: tuple[str, ...] = ()
    ) -> None:
        lines = [found] if isinstance(found, str) else found
        self.found = "\n".join(make_one_line(redact(line)) for line in lines)
        self.why, self.do = make_one_line(redact(why)), make_one_line(redact(do))
        self.spans = spans
        between = "\n" if len(lines) > 1 else " "
        super().__init__(between.join(part for part in (self.found, self.why, self.do) if part))

    @classmethod
    def from_problem(cls, problem: Problem) -> "EdgelineError":
        """Returns an error with the parts of a problem, and its exit code."""
        error = cls(problem.found.split("\n"), problem.why, problem.do, problem.spans)
        error.exit_code = problem.exit_code
        return error

    @property
    def problem(self) -> Problem:
        """The parts of the error as a value."""
        return Problem(self.found, self.why, self.do, self.spans, self.exit_code)

    def __reduce__(self) -> tuple[type["EdgelineError"], tuple[object, ...], dict[str, int]]:
        parts = (self.found.split("\n"), self.why, self.do, self.spans)
        return type(self), parts, {"exit_code": self.exit_code}


class UsageError(EdgelineError):
    """An error in the command line or the settings."""

    exit_code = 2


class HeldBack(EdgelineError):
    """The end of a run whose trained model was stopped by a gate."""

    exit_code = 3


class DataRefused(EdgelineError):
    """The refusal of the data, before any training."""

    exit_code = 4


class WorkspaceLocked(EdgelineError):
    """A workspace that another run holds."""

    exit_code = 5


# Words that people type, and the names that stand for them.
_SYNONYMS = {
    **dict.fromkeys(("last", "newest", "today", "yesterday"), "latest"),
    **dict.fromkeys(("current", "live", "prod"), "production"),
    "train": "run",
    "import": "data",
    "history": "runs",
    "serve": "phone",
    "undo": "rollback",
    "deploy": "promote",
}


def find_nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Returns the name that is most like a word, in any case; None if none is near.

    Args:
        word: The name as somebody wrote it.
        names: The names that exist, as they are returned.
        cutoff: The least likeness, 0..1, as difflib has it.
    """
    by_lower = {name.lower(): name for name in names}
    if (synonym := _SYNONYMS.get(word.lower())) in by_lower:
        return by_lower[synonym]
    near = difflib.get_close_matches(word.lower(), by_lower, 1, cutoff)
    return by_lower[near[0]] if near else None


def suggest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Asks whether the nearest of `names` was meant; empty if none is near.

    Args:
        word: The name as somebody wrote it.
        names: The names that exist.
        cutoff: As of `find_nearest`.
    """
    nearest = find_nearest(word, names, cutoff)
    return f"Did you mean {nearest}?" if nearest else ""
