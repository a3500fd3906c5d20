"""Errors for callers from Python: they name parameters where those of a command name options."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from edgeline.errors import EdgelineError

# An option in a sentence, with the word that stands for its value, or a whole command.
_OPTION = re.compile(r"`[^`]*`|(?<![\w-])--(?P<option>[a-z]+)\b(?: [A-Z][A-Z_]+\b)?")


@contextmanager
def speak_python(**parameters: str) -> Iterator[None]:
    """Lets the errors of a function that Python calls name its parameters where they name options.

    `parameters` are those that are not called like their option, by the name of the option.
    """

    def replace(match: re.Match[str]) -> str:
        option = match["option"]
        return f"{parameters.get(option, option)}=..." if option else match[0]

    try:
        yield
    except EdgelineError as error:
        found, why, do = (_OPTION.sub(replace, part) for part in (error.found, error.why, error.do))
        reworded = type(error)(found.split("\n"), why, do, error.spans)
        reworded.exit_code = error.exit_code
        raise reworded from error.__cause__
