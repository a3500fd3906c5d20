"""`edgeline run, plan, step`: run the DAG on this machine, say what a run would do, or run one step again."""

from dataclasses import replace
from pathlib import Path

import click

from edgeline.cli.commands import Command
from edgeline.cli.options import EXIT_CODES, as_json, gather, overrides, workspace
from edgeline.cli.stdout import note, say
from edgeline.errors import UsageError
from edgeline.workspace.workloads import WORKLOAD
from runners.cli.importing import IMPORT, ImportOptions, import_source, make_source_argument
from runners.cli.options import RUN
from runners.cli.sources import check_options, locate_imported
from runners.shared.run_options import NamedSettings, RunOptions, StepOptions

_if_changed = click.option(
    "--if-changed", is_flag=True, help="exit at once if nothing changed since the last run"
)
_wait = click.option(
    "--wait", is_flag=True, help="wait for another run of the workspace, for 12 hours at most"
)
_sample = click.option(
    "--sample", is_flag=True, help="without --data, make the sample and train on it, and do not ask before"
)
_as_json = click.option(
    "--json", "as_json", is_flag=True, help="the result on stdout as JSON, progress on stderr"
)
_step = click.argument("step", metavar="STEP", help="the name of the step, such as Trainer")
_run = click.option(
    "--of",
    "run",
    metavar="RUN",
    default="latest",
    help="id of the run, or the beginning of one, production, or latest (latest)",
)
_out = click.option(
    "--out", metavar="DIR", type=Path, help="an empty or new folder for the outputs (./STEP-of-RUN)"
)


@click.command(cls=Command, epilog=EXIT_CODES)
@gather(
    "wanted", RunOptions, make_source_argument(required=False), *RUN, _sample, _if_changed, _wait, _as_json
)
@gather("importing", ImportOptions, *IMPORT)
def run(wanted: RunOptions, importing: ImportOptions) -> int:
    """Runs the DAG once: from labelled data to a pushed model, or to the reasons against it."""
    from runners.local import run as local
    from runners.local.listeners import make_listeners

    return local.run(_import(wanted, importing), make_listeners())


def _import(wanted: RunOptions, importing: ImportOptions) -> RunOptions:
    """Imports the source of a run, if it has one; returns the options of a run on what is imported.

    Raises as `import_source` does, and UsageError for options that cannot be those of this run.
    """
    from runners.local.lock import hold

    check_options(wanted, importing)
    if wanted.source is None:
        return wanted
    data = locate_imported(wanted, wanted.source)
    _check_settings(wanted.named, data / WORKLOAD)

    def wait(holder: str) -> None:
        note(f"This import waits for the end of {holder}.")

    # Two imports at once would add the same examples twice.
    with hold(wanted.workspace, wait if wanted.wait else None):
        report = import_source(wanted.source, data, importing, wanted.as_json)
    print_line = note if wanted.as_json else say
    for sentence in report.sentences():
        print_line(sentence)
    return replace(wanted, source=None, data=data, if_changed=True)


def _check_settings(named: NamedSettings, workload: Path) -> None:
    """Refuses settings that no run on the data can have, before an import of minutes. Raises UsageError."""
    from pipeline.settings import load_settings
    from pipeline.workloads import read_kinds
    from runners.shared import inputs

    if workload.is_file():
        inputs.check_settings(*replace(named, workload=str(workload)).load())
        return
    errors = []
    kinds = read_kinds().values()
    for kind in kinds:
        try:
            load_settings(kind.get("settings", {}), named.profile, named.overrides).push.load_keys()
        except UsageError as error:
            errors.append(error)
    if len(errors) == len(kinds):
        raise errors[0]


@click.command(cls=Command)
@gather("wanted", RunOptions, *RUN, as_json)
def plan(wanted: RunOptions) -> int:
    """Shows which steps a run would take from the cache, which it would run, and why."""
    from runners.local import plan as local

    return local.plan(wanted)


@click.command(cls=Command, epilog=EXIT_CODES)
@gather("wanted", StepOptions, _step, _run, overrides, _out, workspace, as_json)
def step(wanted: StepOptions) -> int:
    """Runs one step of a past run again, with other settings; records nothing."""
    from runners.local.one_step import print_step

    return print_step(wanted)
