"""Options of commands that need the settings of a run."""

import click

from edgeline.cli.options import gather, overrides, profile, workspace
from edgeline.store.locations import locate
from runners.shared.run_options import NamedSettings

_data = click.option(
    "--data", metavar="DIR_OR_URL", type=locate, help="the spans of examples (a generated sample)"
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
