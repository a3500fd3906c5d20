"""The output of commands: lines for people, wrapped and coloured on a terminal, or one JSON document.

Control sequences in what is printed are shown, and a terminal does not obey them; a text that is one line for
its caller stays one, whatever the names in it contain, and no secret is shown.
"""

import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path
from shutil import get_terminal_size
from textwrap import TextWrapper
from typing import Any, TextIO

import click

from edgeline.secrets import redact
from edgeline.visible import make_one_line, make_visible

# A command in a text: its words, and the rest up to the end of the quotation or line.
_TYPED = re.compile(r"(?<![\w./-])edgeline (?P<words>--help|[a-z]+(?: [a-z]+)?)(?P<rest>[^`\n]*)")
_PLACES = ("--workspace", "--store", "--workload")
# The options that name a cluster.
_CLUSTER = ("--profile", "--settings", "--set", "--host")
_ON_CLUSTER = "kubeflow"


def name_program() -> str:
    """Returns the word or path that starts this `edgeline` in the reader's shell."""
    own = Path(sys.prefix, "bin", "edgeline")
    first = shutil.which("edgeline")
    if not own.exists() or (first is not None and os.path.samefile(first, own)):
        return "edgeline"
    if own.is_relative_to(Path.cwd()):
        own = own.relative_to(Path.cwd())
    return shlex.quote(str(own))


def make_rewriter(argv: Sequence[str], find: Callable[[str], click.Command | None]) -> Callable[[str], str]:
    """Returns a function that rewrites the commands in a text to those that have to be typed.

    `argv` are the arguments of the running command; `find` returns a command by its name, None where there
    is none.
    """
    typed = list(_read_options(argv, (*_PLACES, *(_CLUSTER if _ON_CLUSTER in argv[:1] else ()))))
    names_model = "--workload" in dict(typed)

    def replace(match: re.Match[str]) -> str:
        name, _, action = match["words"].partition(" ")
        if name == "--help":
            return f"{name_program()} --help{match['rest']}"
        command = find(name)
        if command is None:
            return match[0]
        words = [name]
        rest = match["words"].removeprefix(name) + match["rest"]
        if isinstance(command, click.Group) and action in command.commands:
            command, words, rest = command.commands[action], [name, action], match["rest"]
        accepted = set().union(*(parameter.opts for parameter in command.params))
        usable = (*_PLACES, *(_CLUSTER if name == _ON_CLUSTER else ()))
        model = [] if names_model else _model.get()
        added = [
            f"{option} {shlex.quote(value)}"
            for option, value in (*typed, *model)
            if option in accepted and option in usable and f"{option} " not in f"{rest} "
        ]
        return " ".join([name_program(), *words, *added]) + rest

    return lambda text: _TYPED.sub(replace, text) if "edgeline " in text else text


def _read_options(arguments: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the options of these names that were given, with their values."""
    for number, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option in names and (equals or number + 1 < len(arguments)):
            yield option, value if equals else arguments[number + 1]


# A command stays in one line, so that it can be copied; this stands for its spaces meanwhile.
_COMMAND = re.compile(r"\S*edgeline [a-z]+ [^`\n]*")
_KEPT_SPACE = "\x1f"

_typed: ContextVar[Callable[[str], str]] = ContextVar("typed", default=str)
# The option that names the model of what is printed.
_model: ContextVar[Sequence[tuple[str, str]]] = ContextVar("model", default=())


def prepare_line(text: str) -> str:
    """Prepares a line for people: it is one, visible, without secrets, and commands are as typed here."""
    return make_visible(make_one_line(_typed.get()(redact(text))))


def wrap(text: str, width: int) -> str:
    """Breaks lines at spaces to at most `width` columns, except in commands; later lines are indented."""
    lines = []
    for line in _COMMAND.sub(lambda match: match[0].replace(" ", _KEPT_SPACE), text).split("\n"):
        indent = line[: len(line) - len(line.lstrip(" -"))]
        wrapper = TextWrapper(
            max(20, width),
            subsequent_indent=" " * (len(indent) or 2),
            break_long_words=False,
            break_on_hyphens=False,
            expand_tabs=False,
            replace_whitespace=False,
        )
        lines += wrapper.wrap(line) or [""]
    return "\n".join(lines).replace(_KEPT_SPACE, " ")


def find_terminal_width() -> int:
    """Returns the width of the terminal in columns; 80 where it is unknown."""
    return get_terminal_size().columns or 80


def say(text: str = "", style: str = "", part: slice = slice(None)) -> None:
    """Prints one line to the standard output; on a terminal, a part of it has a style.

    Args:
        text: Secrets in it are redacted, control sequences shown, and its commands completed.
        style: A colour that click knows, alone or after `bold`, such as `bold red`; empty for none.
        part: The characters with the style, counted in the line as it is printed, wrapped; by default all.
    """
    _print(sys.stdout, text, style, part)


def say_exactly(text: str) -> None:
    """Prints text for a file: no line of it is broken, and no command in it is completed."""
    sys.stdout.write(f"{make_visible(text)}\n")


def note(text: str) -> None:
    """Prints one line to the standard error, beside the result."""
    _print(sys.stderr, text)


def _print(stream: TextIO, text: str, style: str = "", part: slice = slice(None)) -> None:
    line = prepare_line(text)
    if stream.isatty():
        line = wrap(line, find_terminal_width())
        # See no-color.org.
        if style and line[part] and not os.environ.get("NO_COLOR"):
            start, end, _ = part.indices(len(line))
            styled = click.style(line[start:end], style.split()[-1], bold="bold" in style or None)
            line = f"{line[:start]}{styled}{line[end:]}"
    stream.write(line + "\n")


def print_json(document: Any) -> int:
    """Prints a machine-readable result; returns 0, the exit code of a command that ends with it."""
    import json

    json.dump(document, sys.stdout, indent=1)
    say()
    return 0


class _Warnings(logging.Handler):
    """A handler that prints each warning once: the same unreadable file may be read several times."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record."""
        text = record.getMessage()
        if text not in self._printed:
            self._printed.add(text)
            note(f"warning: {text}")


@contextmanager
def rewrite_commands(typed: Callable[[str], str]) -> Iterator[None]:
    """Lets `typed` turn the commands in what is printed in the block into those that have to be typed."""
    before = _typed.set(typed)
    try:
        yield
    finally:
        _typed.reset(before)


@contextmanager
def name_model(model: str, models: Collection[str]) -> Iterator[None]:
    """Lets the commands that are printed in the block name their model, if it is one of several."""
    before = _model.set([("--workload", model)] if len(models) > 1 else ())
    try:
        yield
    finally:
        _model.reset(before)


@contextmanager
def prepare_output(typed: Callable[[str], str]) -> Iterator[None]:
    """Makes the streams print characters that they cannot encode as escapes; prints warnings in the block.

    `typed` turns the commands in a text into those that have to be typed here.
    """
    # Python has None for one that the caller closed, `>&-`.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = _Warnings()
    loggers = [logging.getLogger(room) for room in ("edgeline", "runners")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with rewrite_commands(typed):
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
