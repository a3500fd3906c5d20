"""Commands that messages name, as they have to be typed where they are read.

Messages say `edgeline show latest`. Where `edgeline` is not on the PATH, its path is printed; and what the
person has just typed to say where things are, such as `--workspace`, goes with a command that takes it too.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

# A command in a text: its words, and what stands behind them up to the end of the quotation or line.
_COMMAND = re.compile(r"(?<![\w./-])edgeline (?P<words>[a-z]+(?: [a-z]+)?)(?P<rest>[^`\n]*)")
_PLACES = ("--workspace", "--store")
# What names a cluster and the model on it.
_CLUSTER = ("--workload", "--profile", "--settings", "--set", "--host")
_ON_CLUSTER = "kubeflow"


def program() -> str:
    """Returns what starts this `edgeline` in the shell of whoever reads it."""
    own, first = Path(sys.prefix, "bin", "edgeline"), shutil.which("edgeline")
    if not own.exists() or (first is not None and os.path.samefile(first, own)):
        return "edgeline"
    below = own.is_relative_to(Path.cwd())
    return shlex.quote(str(own.relative_to(Path.cwd()) if below else own))


def typing(given: Sequence[str], find: Callable[[str], click.Command | None]) -> Callable[[str], str]:
    """Returns what turns the commands in a text into what has to be typed.

    `given` are the arguments of the command that speaks; `find` returns a command by its name, None where
    there is none.
    """
    names = (*_PLACES, *(_CLUSTER if _ON_CLUSTER in given[:1] else ()))
    carried = list(_options(given, names))

    def replace(match: re.Match[str]) -> str:
        name, _, action = match["words"].partition(" ")
        command = find(name)
        if command is None:
            return match[0]
        words, rest = [name], match["words"].removeprefix(name) + match["rest"]
        if isinstance(command, click.Group) and action in command.commands:
            command, words, rest = command.commands[action], [name, action], match["rest"]
        takes = {option for parameter in command.params for option in parameter.opts}
        usable = (*_PLACES, *(_CLUSTER if name == _ON_CLUSTER else ()))
        more = [
            f"{option} {shlex.quote(value)}"
            for option, value in carried
            if option in takes and option in usable and f"{option} " not in f"{rest} "
        ]
        return " ".join([program(), *words, *more]) + rest

    return lambda text: _COMMAND.sub(replace, text) if "edgeline " in text else text


def _options(given: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields those of the options that were given, with their values."""
    for number, word in enumerate(given):
        option, equals, value = word.partition("=")
        if option in names and (equals or number + 1 < len(given)):
            yield option, value if equals else given[number + 1]
