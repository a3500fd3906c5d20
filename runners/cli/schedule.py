"""`edgeline schedule`: a run every week without a cluster, started by systemd or by cron."""

import argparse
import getpass
import os
from pathlib import Path
from types import ModuleType

from errors import EdgelineError, UsageError
from locations import is_url
from runners.shared.stdout import note, say
from runners.timers import crontab, systemd_units
from runners.timers.scheduled_run import ScheduledRun, program, schedule_name
from runners.timers.weekly_time import parse_weekly_time


def schedule(arguments: argparse.Namespace) -> int:
    """Prints, installs or removes a schedule."""
    if arguments.remove:
        return _remove(arguments)
    run = _plan(arguments)
    if arguments.systemd:
        return _systemd(run, arguments.install)
    return _cron(run, arguments.install)


def _plan(arguments: argparse.Namespace) -> ScheduledRun:
    """The run that is to be started, checked as far as a run is before its first step.

    Raises:
        EdgelineError: It could not start now, so it could not on Monday.
    """
    from pipeline.settings_layers import PROFILES
    from runners.local.run import RunOptions, settle
    from runners.shared import inputs

    at = parse_weekly_time(arguments.at)
    options = RunOptions(
        workload=arguments.workload,
        profile=arguments.profile,
        data=arguments.data,
        workspace=arguments.workspace,
        overrides=arguments.set,
        if_changed=True,
        as_json=False,
    )
    source, workload, settings = settle(options)
    command = [program(), "run", "--if-changed", "--workload", source]
    command += ["--workspace", str(options.workspace.absolute())]
    if options.profile is not None:
        named = (PROFILES / f"{options.profile}.yaml").is_file()
        profile = options.profile if named else str(Path(options.profile).expanduser().absolute())
        command += ["--profile", profile]
    if options.data is not None:
        from data.spans.layout import newest_spans

        data = options.data.absolute()
        inputs.check_labels(newest_spans(data, settings.data.window))
        command += ["--data", str(data)]
    if is_url(str(options.data)) or is_url(str(settings.push.destination)):
        note(
            "A timer does not see the AWS_... variables of this shell: keys belong in ~/.aws/credentials, and"
            " an endpoint (endpoint_url = ...) in ~/.aws/config."
        )
    for override in options.overrides:
        command += ["--set", override]
    return ScheduledRun(
        name=schedule_name(workload.name, options.workspace),
        workload=workload.name,
        command=tuple(command),
        folder=Path.cwd(),
        workspace=options.workspace.absolute(),
        at=at,
    )


def _systemd(run: ScheduledRun, install: bool) -> int:
    folder = systemd_units.unit_folder()
    user = "" if os.geteuid() == 0 else " --user"
    if not install:
        for name, text in systemd_units.unit_texts(run).items():
            say(f"# {folder / name}")
            say(text)
        note("Nothing was installed; the same command with --install does that.")
        return 0
    systemd_units.install(run)
    say(f"{run.name}.timer starts `edgeline run` for {run.workload}, {run.at}.")
    say(f"Its next time:  systemctl{user} list-timers {run.name}.timer")
    say(f"Run it now:     systemctl{user} start {run.name}.service")
    say(f"Its log:        journalctl{user} -u {run.name}.service")
    who = getpass.getuser()
    if user and not Path("/var/lib/systemd/linger", who).exists():
        say(f"It runs while you are logged in; to have it run always: loginctl enable-linger {who}")
    return 0


def _cron(run: ScheduledRun, install: bool) -> int:
    if install:
        # The shell opens the log before the run could make its folder.
        run.workspace.mkdir(parents=True, exist_ok=True)
        crontab.install(run)
        say(f"cron starts `edgeline run` for {run.workload}, {run.at}: see `crontab -l`.")
        say(f"Its last output: {run.workspace / f'schedule-{run.workload}.log'}")
        say("cron mails that output when the exit code is not 0, where the machine can send mail.")
    else:
        say(crontab.block(run).rstrip("\n"))
        note("Nothing was installed; the same command with --install does that.")
    note(
        "cron does not catch up on a time at which the machine was off. A line for every day (--at 03:00)"
        " costs seconds a day, since --if-changed ends at once when nothing is new."
    )
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    manager: ModuleType = systemd_units if arguments.systemd else crontab
    model, workspace = _model(arguments.workload), arguments.workspace.absolute()
    name = schedule_name(model, workspace)
    known = manager.installed()
    if name not in known:
        raise UsageError(
            f"There is no schedule {name}, of {model} in {workspace}.",
            f"Installed are: {', '.join(known)}." if known else "None is installed for this user.",
            "Name the --workload and --workspace that it was installed with, as the same user.",
        )
    manager.remove(name)
    say(f"Removed {name}; runs and releases stay.")
    return 0


def _model(workload: str) -> str:
    """The model's name; that of a workload whose file is gone is what was given."""
    from pipeline.workloads import find_workload

    try:
        return find_workload(workload).name
    except EdgelineError:
        return workload
