"""Rewrites the commands in messages to those that have to be typed in this shell.

Messages say `edgeline show latest`. Where `edgeline` is not on the PATH, its path is printed instead. Options
that were typed to say where things are, such as `--workspace`, are added to a command that takes them too.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

# A command in a text: its words, and the rest up to the end of the quotation or line.
_COMMAND = re.compile(r"(?<![\w./-])edgeline (?P<words>[a-z]+(?: [a-z]+)?)(?P<rest>[^`\n]*)")
_PLACES = ("--workspace", "--store")
# The options that name a cluster and the model on it.
_CLUSTER = ("--workload", "--profile", "--settings", "--set", "--host")
_ON_CLUSTER = "kubeflow"


def program() -> str:
    """Returns the word or path that starts this `edgeline` in the reader's shell."""
    own, first = Path(sys.prefix, "bin", "edgeline"), shutil.which("edgeline")
    if not own.exists() or (first is not None and os.path.samefile(first, own)):
        return "edgeline"
    if own.is_relative_to(Path.cwd()):
        own = own.relative_to(Path.cwd())
    return shlex.quote(str(own))


def make_rewriter(given: Sequence[str], find: Callable[[str], click.Command | None]) -> Callable[[str], str]:
    """Returns a function that rewrites the commands in a text to those that have to be typed.

    `given` are the arguments of the running command; `find` returns a command by its name, None where there
    is none.
    """
    names = (*_PLACES, *(_CLUSTER if _ON_CLUSTER in given[:1] else ()))
    typed = list(_read_options(given, names))

    def replace(match: re.Match[str]) -> str:
        name, _, action = match["words"].partition(" ")
        command = find(name)
        if command is None:
            return match[0]
        words, rest = [name], match["words"].removeprefix(name) + match["rest"]
        if isinstance(command, click.Group) and action in command.commands:
            command, words, rest = command.commands[action], [name, action], match["rest"]
        accepted = {option for parameter in command.params for option in parameter.opts}
        usable = (*_PLACES, *(_CLUSTER if name == _ON_CLUSTER else ()))
        added = [
            f"{option} {shlex.quote(value)}"
            for option, value in typed
            if option in accepted and option in usable and f"{option} " not in f"{rest} "
        ]
        return " ".join([program(), *words, *added]) + rest

    return lambda text: _COMMAND.sub(replace, text) if "edgeline " in text else text


def _read_options(arguments: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the options of these names that were given, with their values."""
    for number, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option in names and (equals or number + 1 < len(arguments)):
            yield option, value if equals else arguments[number + 1]
