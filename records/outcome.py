"""How a step or a run ended, whichever engine ran it, and the line of a log that says so."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from errors import DataRefused, EdgelineError, HeldBack
from records.json_file import decode, encode

# Of a run; `running` until it ends.
Ending = Literal["running", "pushed", "unchanged", "held", "refused", "failed", "interrupted", "killed"]
# Beyond the exit codes of errors.py: ended by Ctrl-C or SIGTERM, as a shell has it.
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
# What other programs write into the same log does not begin so and go on as JSON of this type.
_MARK = "edgeline: "


@dataclass(frozen=True)
class Outcome:
    """How a step or a run ended; `done` is a step that ended well and decided nothing about a release."""

    outcome: Ending | Literal["done"]
    version: int | None = None  # that was pushed, or was there already
    reasons: tuple[str, ...] = ()  # a sentence each
    do: str = ""  # next; empty where nothing is to be done
    step: str = ""  # whose outcome it is; empty for that of a run
    error_code: int = EdgelineError.exit_code  # of an error whose word has no exit code of its own

    @classmethod
    def of_error(cls, exit_code: int, found: str, do: str, step: str = "") -> "Outcome":
        """That of an error: of its exit code, of what was found, and of what to do."""
        return cls(_STOPPED_BY.get(exit_code, "failed"), None, (found,), do, step, exit_code)

    @property
    def exit_code(self) -> int:
        """Of the command that ends so."""
        return _EXIT_CODES.get(self.outcome, self.error_code)

    @property
    def sentence(self) -> str:
        """The outcome and its reasons, for people, on one line."""
        return " ".join(f"{self._head}: {' '.join(self.reasons)}".split())

    def headline(self, model: str, push: str | None, stays: str) -> str:
        """The outcome of a run in one sentence.

        `push` is where it is pushed to; `stays` what is in production after a run that pushed nothing, empty
        where that is not known.
        """
        if self.outcome == "pushed":
            return f"Pushed version {self.version} of {model}{f' to {push}' if push else ''}"
        said = f"{_NOT_DONE.get(self.outcome, '')}{stays}" if stays else ""
        if self.outcome in ("interrupted", "killed"):
            said = "the same command goes on from the steps that are done"
        return f"{self._head}{f': {said}' if said else ''}."

    @property
    def _head(self) -> str:
        return _HEADS.get(self.outcome, self.outcome.capitalize())

    def to_line(self) -> str:
        """As one line for a log, in ASCII, so that nothing takes a part of it for the end of a line."""
        return _MARK + json.dumps(decode(encode(self)))


def find_in(log: Sequence[str], step: str) -> Outcome | None:
    """The last outcome of a step in the lines of its log; None where there is none."""
    for line in reversed(log):
        _, _, text = line.partition(_MARK)
        with suppress(ValueError, RecursionError):
            found: Outcome = decode(text.encode(), Outcome)
            if found.step == step:
                return found
    return None
