"""The `edgeline` command: imports the called command, runs it, and turns errors into exit codes."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from edgeline.cli.commands import Command, Group, explain
from edgeline.cli.stdout import note, prepare_output, print_json
from edgeline.cli.typed import make_rewriter
from edgeline.errors import EdgelineError
from runners.cli.options import EXIT_CODES

# The file of each command, and its summary (its function's docstring), which is shown without importing it.
COMMANDS = {
    "run": ("run", "Runs the DAG once: from labelled data to a pushed model, or to the reasons against it."),
    "plan": ("run", "Shows which steps a run would take from the cache, which it would run, and why."),
    "settings": ("settings", "Lists all settings, those of a group, or one: default, range and meaning."),
    "schedule": (
        "schedule",
        "Schedules a weekly run: prints a crontab line, or prints or installs systemd units.",
    ),
    "data": ("data", "Makes, imports, lists and excludes spans."),
    "schema": ("schema", "Compares a window with the curated schema, and widens the schema."),
    "status": ("releases", "Shows what is in production, and how the last run ended."),
    "runs": ("releases", "Lists all runs, newest first."),
    "show": ("releases", "Shows one run: steps, verdicts, reasons."),
    "report": ("report", "Prints the path of a run's page, and writes the page if it is missing."),
    "diff": (
        "diff",
        "Compares two runs: settings, data, metrics and their significance, edge files, time.",
    ),
    "alert": (
        "alert",
        "Sends alerts about failed runs, old releases and full disks; run it from a timer of your own.",
    ),
    "tensorboard": (
        "tensorboard",
        "Starts TensorBoard on the last run that trained, or on the runs that are named.",
    ),
    "ui": ("ui", "Updates MLflow, and serves its pages of all runs and releases."),
    "predict": (
        "predict",
        "Predicts the labels of photos, rows and texts with the model in production, as a phone would.",
    ),
    "verify": (
        "verify",
        "Checks the files, the signature and the predictions of releases, or of a copied bundle.",
    ),
    "rollback": ("releases", "Puts an earlier release back in production."),
    "promote": ("releases", "Puts a given release in production."),
    "keys": ("keys", "Makes and shows the keys that releases are signed and checked with."),
    "gc": ("gc", "Removes old releases, run folders, artifacts and records; never what is in use."),
    "kubeflow": ("kubeflow", "Runs the same DAG on Kubeflow Pipelines."),
}


class _Commands(Group):
    """The group of all commands, known by name and summary until one of them is called."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Imports the command that is called."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest


def load(name: str) -> click.Command:
    """Imports and returns the command of that name."""
    command: click.Command = getattr(import_module(f"runners.cli.{COMMANDS[name][0]}"), name)
    return command


_EDGELINE = _Commands(
    commands=[Command(name, help=summary) for name, (_, summary) in COMMANDS.items()],
    help="From labelled field data to a blessed model on every phone.",
    epilog=EXIT_CODES,
    no_args_is_help=False,
    subcommand_metavar="COMMAND ...",
)


def main(
    arguments: Sequence[str] | None = None, prog: str = "edgeline", command: click.Command = _EDGELINE
) -> int:
    """Runs one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with prepare_output(make_rewriter(words, lambda name: load(name) if name in COMMANDS else None)):
        return _run_command(words, prog, command)


def _run_command(words: list[str], prog: str, command: click.Command) -> int:
    as_json = "--json" in words
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
    try:
        with command.make_context(prog, words, **settings) as context:
            return int(command.invoke(context))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        return _print_error(explain(error), as_json)
    except EdgelineError as error:
        return _print_error(error, as_json)
    except KeyboardInterrupt:
        note("Interrupted.")
        return 130
    except BrokenPipeError:
        # The reader closed the pipe; without this, Python prints an error when it exits.
        sys.stdout = None
        return 1
    except OSError as error:
        from edgeline.failures import describe

        event = describe(error, None)
        return _print_error(EdgelineError(event["found"], event["why"], event["do"]), as_json)


def _print_error(error: EdgelineError, as_json: bool) -> int:
    for part in (error.found, error.why, error.do):
        if part:
            note(part.strip("\n"))
    if as_json:
        parts = {"found": error.found, "why": error.why, "do": error.do}
        print_json({"outcome": "failed", "exit_code": error.exit_code, "error": parts})
    return error.exit_code
