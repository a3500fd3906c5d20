"""`edgeline schedule`: a run every week without a cluster, started by systemd or by cron."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import click

from data.spans.layout import find_spans
from edgeline import journal
from edgeline.cli.commands import Command
from edgeline.cli.stdout import note, say, say_exactly
from edgeline.errors import EdgelineError, UsageError
from edgeline.release.signing import KEY_VARIABLE
from edgeline.store.locations import is_url
from runners.cli import options
from runners.cli.importing import IMPORT, ImportOptions, make_source_argument
from runners.cli.sources import check_options, locate_imported
from runners.shared.code import resolve_python_path
from runners.shared.run_options import RunOptions
from runners.timers import systemd_units
from runners.timers.scheduled_run import ScheduledRun, find_program, locate_log, name_schedule, render_crontab
from runners.timers.weekly_time import WeeklyTime, parse_weekly_time


@click.command(cls=Command, options_metavar="(--systemd [--install | --remove] | --cron) [OPTIONS]")
@click.option("--systemd", is_flag=True, help="use a service and a timer of systemd")
@click.option("--cron", is_flag=True, help="print a line to add with crontab -e")
@click.option(
    "--at",
    metavar="T",
    default="Mon 03:00",
    help="when: 'Mon 03:00', 'Mon..Fri 03:00', or '03:00' for every day (Mon 03:00)",
)
@click.option("--install", is_flag=True, help="install the timer, in place of the previous one")
@click.option("--remove", is_flag=True, help="remove the timer")
@options.gather("wanted", RunOptions, make_source_argument(required=False), *options.RUN)
@options.gather("importing", ImportOptions, *IMPORT)
def schedule(
    systemd: bool,
    cron: bool,
    at: str,
    install: bool,
    remove: bool,
    wanted: RunOptions,
    importing: ImportOptions,
) -> int:
    """Schedules a weekly run: prints a crontab line, or prints or installs systemd units."""
    if systemd == cron:
        raise click.UsageError("Exactly one of the options --systemd --cron is required.")
    if install and remove:
        raise click.UsageError("Option '--remove' is not allowed with '--install'.")
    if cron and (install or remove):
        raise UsageError(
            f"--cron does not take {'--install' if install else '--remove'}.",
            "Edgeline does not change your crontab.",
            "Add or remove the line with `crontab -e`; --cron alone prints it.",
        )

    check_options(wanted, importing)
    imports = importing.list_words()
    if wanted.source is not None:
        # The timer starts in another folder.
        imports.insert(0, wanted.source if is_url(wanted.source) else os.path.abspath(wanted.source))
    on_imported = _find_imported(wanted, shlex.join(imports))

    if remove:
        return _remove(on_imported.named.workload, wanted.workspace)
    run = _plan_run(parse_weekly_time(at), on_imported, imports, systemd)
    return _use_systemd(run, install) if systemd else _print_for_cron(run)


def _find_imported(wanted: RunOptions, imports: str) -> RunOptions:
    """Returns the options of a run on what an earlier one imported from the source, if there is one.

    `imports` are the words that import it. Raises UsageError where nothing was: a first import asks, and a
    timer cannot answer.
    """
    if wanted.source is None:
        return wanted
    data = locate_imported(wanted, wanted.source)
    if not find_spans(data):
        raise UsageError(
            f"{wanted.source} was not imported into {data} before.",
            "A first import may ask, and a timer cannot answer.",
            f"Run it once: `edgeline run {imports}`.",
        )
    return replace(wanted, source=None, data=data)


def _plan_run(at: WeeklyTime, wanted: RunOptions, imports: list[str], systemd: bool) -> ScheduledRun:
    """Returns the run to schedule; refuses one that could not start now, before a timer finds out."""
    from pipeline.settings import PROFILES
    from runners.shared import inputs

    named = wanted.named.with_whole_path()
    data = wanted.data
    workspace = wanted.workspace.absolute()
    workload, settings = named.load()
    inputs.check_settings(workload, settings)
    # A source has the workload of its data.
    model = ["--workload", named.workload]
    place = ["--workspace", str(workspace)]
    if named.profile is not None:
        is_built_in = (PROFILES / f"{named.profile}.yaml").is_file()
        profile = named.profile if is_built_in else str(Path(named.profile).expanduser().absolute())
        place += ["--profile", profile]
    overrides = [word for override in named.overrides for word in ("--set", override)]
    # A timer does not see the folders of a custom workload.
    folders = resolve_python_path()
    start = ["/usr/bin/env", f"PYTHONPATH={folders}", find_program()] if folders else [find_program()]
    after = [*start, "alert", *model, *place, *overrides] if settings.alerts.channels else []
    if data is None:
        inputs.locate_sample(workspace, workload)  # refuses a workload without a sample
    else:
        from data.spans.layout import find_newest_spans

        data = data.absolute()
        spans = find_newest_spans(data, settings.data.window, settings.data.until)
        inputs.check_spans(spans, workload)
        place += ["--data", str(data)]
    or_file = ", or set EnvironmentFile= with `systemctl edit`" if systemd else ""
    if is_url(str(data)) or is_url(str(settings.push.destination)):
        note(
            "A timer does not see the AWS_... variables of this shell: put keys into ~/.aws/credentials, and"
            " an endpoint (endpoint_url = ...) into ~/.aws/config."
        )
    if os.environ.get(KEY_VARIABLE) and settings.push.key is None:
        note(
            f"A timer does not see {KEY_VARIABLE} of this shell, and would sign nothing: name the file of the"
            f" key with push.key{or_file}."
        )
    if after:
        note(
            "A timer does not see the variables of this shell: name files for the secrets of"
            f" alerts{or_file}."
        )
    return ScheduledRun(
        name=name_schedule(workload.name, workspace),
        workload=workload.name,
        command=(*start, "run", *(imports or ["--if-changed", *model]), "--wait", *place, *overrides),
        after=tuple(after),
        folder=Path.cwd(),
        workspace=workspace,
        at=at,
    )


def _use_systemd(run: ScheduledRun, install: bool) -> int:
    folder = systemd_units.locate_unit_folder()
    user = "" if os.geteuid() == 0 else " --user"
    if not install:
        for name, text in systemd_units.render_units(run).items():
            say(f"# {folder / name}")
            say_exactly(text)
        note("Nothing was installed; run the same command with --install for that.")
        return 0
    systemd_units.install(run)
    say(f"{run.name}.timer starts `edgeline run` for {run.workload}, {run.at}.")
    say(f"Its next time:  systemctl{user} list-timers {run.name}.timer")
    say(f"Run it now:     systemctl{user} start {run.name}.service")
    say(f"Its log:        journalctl{user} -u {run.name}.service")
    who = journal.get_user()
    if user and not Path("/var/lib/systemd/linger", who).exists():
        say(f"It runs only while you are logged in; to run it always: loginctl enable-linger {who}")
    return 0


def _print_for_cron(run: ScheduledRun) -> int:
    # The shell opens the log before the run could create its folder.
    run.workspace.mkdir(parents=True, exist_ok=True)
    say_exactly(render_crontab(run))
    note(
        "Nothing was installed. Add that line with `crontab -e`, in place of an earlier one of this schedule."
        f" The output of the last run is in {locate_log(run)}; cron mails it when the exit code is not 0,"
        " where the machine can send mail."
    )
    note(
        "cron does not repeat a run that it missed while the machine was off. A daily run (--at 03:00)"
        " costs only seconds, because --if-changed exits at once when nothing is new."
    )
    return 0


def _remove(workload: str, workspace: Path) -> int:
    model, workspace = _find_model(workload), workspace.absolute()
    name = name_schedule(model, workspace)
    schedules = systemd_units.list_installed()
    if name not in schedules:
        raise UsageError(
            f"There is no schedule {name} of {model} in {workspace}.",
            f"Installed schedules: {', '.join(schedules)}."
            if schedules
            else "No schedule is installed for this user.",
            "Pass the --workload and --workspace that it was installed with, as the same user.",
        )
    systemd_units.remove(name)
    say(f"Removed {name}; runs and releases stay.")
    return 0


def _find_model(workload: str) -> str:
    """Returns the model's name; `workload` itself where the workload's file is gone."""
    from pipeline.workloads import find_workload

    try:
        return find_workload(workload).name
    except EdgelineError:
        return workload
