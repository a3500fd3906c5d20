"""The one tree of errors that people see; each has the exit code of the command that raised it.

An error has three parts: what was found, why it cannot work, and what to do next.
"""


class EdgelineError(Exception):
    """An error that ends a run or a command.

    Args:
        found: What was found, with the value.
        why: Why that cannot work.
        do: What to do next, where possible a command.
        spans: Names of the spans that caused it.
    """

    exit_code = 1

    def __init__(self, found: str, why: str = "", do: str = "", spans: tuple[str, ...] = ()) -> None:
        super().__init__(" ".join(part for part in (found, why, do) if part))
        self.found, self.why, self.do, self.spans = found, why, do, spans

    def __reduce__(self) -> tuple[type["EdgelineError"], tuple[str, str, str, tuple[str, ...]]]:
        return type(self), (self.found, self.why, self.do, self.spans)


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
