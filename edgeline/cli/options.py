"""Options that several commands share."""

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from edgeline.errors import UsageError
from edgeline.store.locations import is_url, locate, name_place
from edgeline.workspace.place import Place

EXIT_CODES = """\
\b
exit codes:
  0  pushed, or nothing changed
  1  failed
  2  bad usage or settings
  3  trained, and held back by a gate
  4  data refused before training
  5  another run holds the workspace
  130  ended by Ctrl-C or SIGTERM
"""

Decorator = Callable[[Callable[..., int]], Callable[..., int]]


def gather(name: str, into: Any, *options: Decorator) -> Decorator:
    """Returns a decorator that adds options to a command, which gets them as one dataclass `into`."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def call(**named: Any) -> int:
            values = {field.name: named.pop(field.name) for field in fields(into) if field.name in named}
            return command(**{name: into(**values)}, **named)

        decorated: Callable[..., int] = call
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate


def _parse_store(text: str) -> str:
    """Returns the place of releases as a run records it: without a last slash, a folder absolute."""
    if not text.strip():
        raise UsageError(
            "The name after --store is empty.",
            "It may come from a variable that is not set; the store of the last run may be another one.",
            "Pass a folder or a URL, or leave out --store for the store of the last run.",
        )
    return name_place(text) if is_url(text) else str(locate(text).absolute())


def _parse_workspace(text: str) -> Path:
    """Returns the folder of a workspace, which need not exist."""
    if Path(text).is_file():
        raise UsageError(
            f"The workspace {text} is a file.",
            "A workspace is the folder of runs.",
            "Name the folder with --workspace DIR.",
        )
    return Path(text)


as_json = click.option("--json", "as_json", is_flag=True, help="print JSON on stdout")
workspace = click.option(
    "--workspace",
    metavar="DIR",
    type=_parse_workspace,
    default="workspace",
    help="folder of the runs (./workspace)",
)
profile = click.option(
    "--profile", metavar="P", help="a YAML file of settings, or the name of a built-in one: published"
)
overrides = click.option(
    "--set", "overrides", metavar="a.b=c", multiple=True, help="one setting, in YAML; may be repeated"
)
_model = click.option("--workload", metavar="W", help="a model, or its workload.yaml (the only one)")
_one_model = click.option("--workload", metavar="W", help="a model, or its workload.yaml (each that was run)")
store = click.option(
    "--store",
    metavar="DIR_OR_URL",
    type=_parse_store,
    help="place of the releases (where the last run pushed)",
)
key = click.option(
    "--key", metavar="FILE", help="private key that signs the pointer (push.key of the last run)"
)
test_message = click.option(
    "--test", is_flag=True, help="send a test message through each channel, and print whether it worked"
)

runs_of = gather("place", Place, workspace, _model)
all_models_of = gather("place", Place, workspace, _one_model, store)
releases_of = gather("place", Place, workspace, _model, store)
