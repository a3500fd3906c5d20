"""`python -m drill`, which `make drill` calls: simulated Mondays with faults, and what holds after each.

It proves the commands of the project, and is none of them.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from drill.drill import drill as run_drill
from drill.simulation import DrillOptions
from edgeline.cli.commands import Command
from edgeline.cli.main import main as run_command
from edgeline.cli.options import gather, overrides
from runners.cli.main import COMMANDS

_EPILOG = """\
\b
exit codes:
  0  every promise held
  1  a promise was broken; the last lines name it, and the
     command that replays its week
  2  bad usage, plan of faults or settings

docs/drill.md lists the faults and the promises.
"""


@click.command(cls=Command, epilog=_EPILOG)
@gather(
    "wanted",
    DrillOptions,
    click.option("--weeks", type=click.IntRange(1, 520), required=True, metavar="N", help="number of weeks"),
    click.option(
        "--seed",
        type=click.IntRange(0, 1_000_000_000),
        required=True,
        metavar="S",
        help="the same seed draws the same faults",
    ),
    click.option(
        "--faults", type=Path, metavar="FILE", help="a YAML file of faults by week, in place of drawn ones"
    ),
    click.option(
        "--workspace",
        type=Path,
        default="workspace-drill",
        metavar="DIR",
        help="an empty or new folder (./workspace-drill)",
    ),
    click.option(
        "--photos", type=click.IntRange(60, 10_000), default=120, metavar="N", help="photos a week (120)"
    ),
    overrides,
)
def drill(wanted: DrillOptions) -> int:
    """Drills Mondays to come: real runs on drawn photos, faults on purpose, checks after each."""
    return run_drill(wanted)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the drill with these arguments of a command line; returns its exit code."""
    commands = {**COMMANDS, "drill": ("drill.__main__", "")}
    return run_command(arguments, "python -m drill", "drill", commands)


if __name__ == "__main__":
    raise SystemExit(main())
