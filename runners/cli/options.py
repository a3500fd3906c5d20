"""Options that several commands share."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from edgeline.errors import UsageError
from edgeline.store.locations import Location, locate
from runners.shared.run_options import NamedSettings

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


@dataclass(frozen=True)
class Place:
    """The place of runs and releases, and their model; None stands for what the last run had."""

    workspace: Path
    workload: str | None
    store: str | None = None


def gather(name: str, into: Any, *options: Decorator) -> Decorator:
    """Returns a decorator that adds options to a command, which gets them as one dataclass `into`."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def call(**given: Any) -> int:
            values = {field.name: given.pop(field.name) for field in fields(into) if field.name in given}
            return command(**{name: into(**values)}, **given)

        decorated: Callable[..., int] = call
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate


def _parse_data_place(text: str) -> Location:
    """Returns the place of examples that a text names; one with a user is refused, since runs record it."""
    from edgeline.secret_values import names_user

    if names_user(text):
        raise UsageError(
            "--data has a user or password before an @.",
            "Every run records this URL, and would record the login with it.",
            "Remove it; keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws.",
        )
    return locate(text)


as_json = click.option("--json", "as_json", is_flag=True, help="print JSON on stdout")
workspace = click.option(
    "--workspace", metavar="DIR", type=Path, default="workspace", help="folder of the runs (./workspace)"
)
_data = click.option(
    "--data", metavar="DIR_OR_URL", type=_parse_data_place, help="the spans of examples (a generated sample)"
)
_workload = click.option(
    "--workload", metavar="W", default="shelf", help="a built-in name or a workload.yaml (shelf)"
)
_profile = click.option(
    "--profile", metavar="P", help="a YAML file of settings, or the name of a built-in one: published"
)
_overrides = click.option(
    "--set", "overrides", metavar="a.b=c", multiple=True, help="one setting, in YAML; may be repeated"
)
_platform = click.option(
    "--settings",
    "platform",
    metavar="FILE",
    help="a YAML file of the cluster's settings, laid over the profile",
)
_model = click.option("--workload", metavar="W", help="name of the model (that of the last run)")
_one_model = click.option("--workload", metavar="W", help="name of one model (every model that was run here)")
store = click.option(
    "--store", metavar="DIR_OR_URL", help="place of the releases (where the last run pushed)"
)

settings = gather("named", NamedSettings, _workload, _profile, _overrides)
cluster_settings = gather("named", NamedSettings, _workload, _profile, _platform, _overrides)
# The options that a run depends on, shared by the commands that start, plan or schedule one.
RUN = (settings, _data, workspace)
runs_of = gather("place", Place, workspace, _model)
all_models_of = gather("place", Place, workspace, _one_model, store)
releases_of = gather("place", Place, workspace, _model, store)
