"""Options of commands that need the settings of a run."""

import click

from edgeline.cli.options import gather, overrides, profile, workspace
from edgeline.errors import UsageError
from edgeline.store.locations import Location, locate, names_user
from runners.shared.run_options import NamedSettings


def _parse_data_place(text: str) -> Location:
    """Returns the place of examples that a text names; one with a user is refused, since runs record it."""
    if names_user(text):
        raise UsageError(
            "--data has a user or password before an @.",
            "Every run records this URL, and would record the login with it.",
            "Remove it; keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws.",
        )
    return locate(text)


_data = click.option(
    "--data", metavar="DIR_OR_URL", type=_parse_data_place, help="the spans of examples (a generated sample)"
)
_workload = click.option(
    "--workload", metavar="W", default="shelf", help="a built-in name or a workload.yaml (shelf)"
)
_workload_of_data = click.option(
    "--workload",
    metavar="W",
    default="",
    help="a built-in name or a workload.yaml (that of --data DIR; without one, shelf)",
)
_platform = click.option(
    "--settings",
    "platform",
    metavar="FILE",
    help="a YAML file of the cluster's settings, laid over the profile",
)

cluster_settings = gather("named", NamedSettings, _workload, profile, _platform, overrides)
# The options that a run depends on, shared by the commands that start, plan or schedule one.
RUN = (gather("named", NamedSettings, _workload_of_data, profile, overrides), _data, workspace)
