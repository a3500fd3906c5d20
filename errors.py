"""The one tree of errors that people see, each with the exit code of the command that raised it.

An error has three parts: what was found, why it cannot work, and what to do next.
"""


class EdgelineError(Exception):
    """A run or a command cannot go on.

    Args:
        found: What was found, with the value.
        why: Why that cannot work.
        do: What to do next, where possible a command.
        spans: Names of the spans that are to blame.
    """

    exit_code = 1

    def __init__(self, found: str, why: str = "", do: str = "", spans: tuple[str, ...] = ()) -> None:
        super().__init__(" ".join(part for part in (found, why, do) if part))
        self.found, self.why, self.do, self.spans = found, why, do, spans

    def __reduce__(self) -> tuple[type["EdgelineError"], tuple[str, str, str, tuple[str, ...]]]:
        return type(self), (self.found, self.why, self.do, self.spans)


class UsageError(EdgelineError):
    """The command line or the settings are wrong."""

    exit_code = 2


class HeldBack(EdgelineError):
    """A model was trained, and a gate did not let it pass."""

    exit_code = 3


class DataRefused(EdgelineError):
    """The data was refused before a second of training was spent."""

    exit_code = 4


class WorkspaceLocked(EdgelineError):
    """Another run holds the workspace."""

    exit_code = 5
