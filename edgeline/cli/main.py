"""The `edgeline` command: imports the called command, runs it, and turns errors into exit codes."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click
from click.shell_completion import shell_complete

from edgeline.cli.commands import Command, Group, explain_usage_error
from edgeline.cli.options import EXIT_CODES
from edgeline.cli.stdout import make_rewriter, note, prepare_output, print_json
from edgeline.end_signals import handle_end_signals
from edgeline.errors import EdgelineError
from edgeline.project import make_missing_error

# The summary of each command (its function's docstring), which is shown without importing it.
_SUMMARIES = {
    "status": "Shows what is in production, and how the last run ended.",
    "runs": "Lists all runs, newest first.",
    "show": "Shows one run: steps, verdicts, reasons.",
    "report": "Prints the path of a run's page, and writes the page if it is missing.",
    "diff": "Compares two runs: settings, data, metrics and their significance, edge files, time.",
    "alert": "Sends alerts about failed runs, old releases and full disks; run it from a timer of your own.",
    "predict": (
        "Predicts the labels of photos, rows and texts with the model in production, as a phone would."
    ),
    "phone": "Serves a page that checks the model in production and runs it on phones, also offline.",
    "edge": "Times the files of a release on this machine.",
    "verify": "Checks the files, the signature and the predictions of releases, or of a copied bundle.",
    "rollback": "Puts an earlier release back in production, or withdraws a candidate.",
    "rollout": "Lets a share of phones run a given release, until `promote` or `rollback`.",
    "promote": "Puts a given release in production.",
    "renew": "Signs the pointer to production again, as every run does.",
    "repair": "Completes what a killed writer left; signs what nobody has signed, once you have looked.",
    "keys": "Makes and changes the keys that releases are signed and checked with.",
}
# The modules of commands that are not in one of their own name.
_MODULES = dict.fromkeys(("runs", "show", "rollback", "rollout", "promote", "renew"), "releases")
_MODULES |= {"keys": "verify"}
# The module of each command, and its summary.
COMMANDS: Mapping[str, tuple[str, str]] = {
    name: (f"edgeline.cli.{_MODULES.get(name, name)}", summary) for name, summary in _SUMMARIES.items()
}
# A shell sets this variable to ask for completions of a word, as click's pages on completion describe.
_COMPLETE = "_EDGELINE_COMPLETE"
# All commands in the order of the list, also those of the project around this package.
SECTIONS = {
    "Used most": ("run", "status", "report", "predict", "phone"),
    "Start": ("data", "plan", "step"),
    "Look": ("runs", "show", "diff", "reproduce", "tensorboard", "ui"),
    "Release": ("verify", "rollback", "rollout", "promote", "renew", "repair", "edge"),
    "Operate": ("schedule", "alert", "gc", "kubeflow"),
    "Set up": ("settings", "schema", "keys"),
}


class Commands(Group):
    """The group of all commands, known by name and summary until one of them is called."""

    def __init__(self, table: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(
            commands=[Command(name, help=summary) for name, (_, summary) in table.items()],
            help="From labelled field data to a blessed model on every phone.",
            epilog=EXIT_CODES,
            subcommand_metavar="COMMAND ...",
        )
        message = f"edgeline %(version)s, Python {platform.python_version()}"
        add_version = click.version_option(package_name="edgeline", message=message, help="print the version")
        add_version(self)
        self._table = table

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Imports the called command. Raises UsageError for one of the project that is not there."""
        has_name = bool(args) and any(args[0] in names for names in SECTIONS.values())
        if has_name and args[0] not in self._table:
            raise make_missing_error(f"The command {args[0]}")
        name, _, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name else None, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands section by section."""
        width = max(map(len, self._table))
        for title, names in SECTIONS.items():
            rows = [(f"{name:<{width}}", self._table[name][1]) for name in names if name in self._table]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def load(self, name: str) -> click.Command | None:
        """Imports and returns the command of that name; None where there is none."""
        if name not in self._table:
            return None
        command: click.Command = getattr(import_module(self._table[name][0]), name)
        return command


def main(
    arguments: Sequence[str] | None = None,
    prog: str = "edgeline",
    only: str = "",
    commands: Mapping[str, tuple[str, str]] = COMMANDS,
) -> int:
    """Runs one command of a table like `COMMANDS`; returns its exit code.

    Args:
        arguments: The words of the command line; by default those of this process.
        prog: What starts the command, for its help.
        only: The command to run, if it is not the first argument.
        commands: The module and the summary of each command.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"] and not only:
        words = [*words[1:], "--help"]
    group = Commands(commands)
    if instruction := os.environ.get(_COMPLETE):
        return shell_complete(group, {}, prog, _COMPLETE, instruction)
    with prepare_output(make_rewriter(words, group.load)):
        try:
            code = _run_command(words, prog, group.load(only) or group)
            sys.stdout.flush()  # Python would do it when it exits, and end with 120 if that fails
            return code
        except BrokenPipeError:
            # The reader closed the pipe; without this, Python prints an error when it exits.
            sys.stdout = None
            return 1
        except OSError as error:
            return _print_os_error(error, "--json" in words)


def _run_command(words: list[str], prog: str, command: click.Command) -> int:
    as_json = "--json" in words
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
    try:
        with handle_end_signals(), command.make_context(prog, words, **settings) as context:
            return int(command.invoke(context))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()  # with the code of bad usage, as other programs have it
        return error.exit_code
    except click.UsageError as error:
        return print_error(explain_usage_error(error), as_json)
    except EdgelineError as error:
        return print_error(error, as_json)
    except (KeyboardInterrupt, click.exceptions.Abort):
        note("Interrupted.")
        return 130


def _print_os_error(error: OSError, as_json: bool) -> int:
    from edgeline.failures import describe_error

    explained = EdgelineError.from_problem(describe_error(error))
    try:
        print_error(explained, as_json)
        sys.stdout.flush()
    except OSError:  # it is the standard output that cannot be written
        sys.stdout = None
    return explained.exit_code


def print_error(error: EdgelineError, as_json: bool = False) -> int:
    """Prints an error, a line for each part; returns its exit code."""
    for part in (*error.found.split("\n"), error.why, error.do):
        if part:
            note(part)
    if as_json:
        parts = {"found": error.found, "why": error.why, "do": error.do}
        print_json({"outcome": "failed", "exit_code": error.exit_code, "error": parts})
    return error.exit_code
