"""The `edgeline` command: parses arguments, calls what they name, turns errors into exit codes."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from errors import EdgelineError, UsageError
from locations import Location, is_url, locate
from runners.shared.stdout import note, print_json, speaking

EXIT_CODES = """\
exit codes:
  0  pushed, or nothing changed
  1  failed
  2  bad usage or settings
  3  trained, and held back by a gate
  4  data refused before training
  5  another run holds the workspace
  130  ended by Ctrl-C or SIGTERM
"""

# Named here, because importing the renderer for a help text takes longer than the help.
FAULTS = """\
faults: corrupt, truncated, huge, unlabelled, unknown-label, duplicate, dark-lens,
blurred, null-lane, new-lane, label-shift
"""

ACCESS = """\
who asks: KFP_TOKEN (a bearer token), KFP_COOKIES (of a session in a browser), or the token
that a pod is given (KF_PIPELINES_SA_TOKEN_PATH); else what kfp's own client finds.
SSL_CERT_FILE names certificates to trust, KF_PIPELINES_UI_ENDPOINT the user interface where
that is another host.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are UsageErrors that name the nearest thing known."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        """Raises instead of ending the process."""
        import difflib
        import re

        near: list[str] = []
        unknown = re.search(r"unrecognized arguments: (\S+)|invalid choice: '([^']*)'", message)
        if unknown:
            word = (unknown[1] or unknown[2]).partition("=")[0]
            near = difflib.get_close_matches(word, self._known(), 1)
        raise UsageError(
            f"{self.prog}: {message}.",
            f"Did you mean {near[0]}?" if near else "",
            f"See `{self.prog} --help`.",
        )

    def _known(self) -> list[str]:
        known: list[str] = []
        for action in self._actions:
            known += action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                known += action.choices
        return known

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it, but an unknown option is judged by the command that it was given to."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parsed.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed


def main(arguments: Sequence[str] | None = None, prog: str = "edgeline") -> int:
    """Runs one command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with speaking():
        return _main(given, prog)


def _main(given: list[str], prog: str) -> int:
    try:
        parsed = _parser(prog).parse_args(given)
        return int(parsed.call(parsed))
    except EdgelineError as error:
        return _report(error, "--json" in given)
    except KeyboardInterrupt:
        note("Interrupted.")
        return 130
    except BrokenPipeError:
        # The reader of a pipe has seen enough; without this, Python complains while it ends.
        sys.stdout = None
        return 1
    except OSError as error:
        from runners.shared.failures import describe

        event = describe(error, None)
        return _report(EdgelineError(event["found"], event["why"], event["do"]), "--json" in given)


def _report(error: EdgelineError, as_json: bool) -> int:
    for part in (error.found, error.why, error.do):
        if part:
            note(part.strip("\n"))
    if as_json:
        parts = {"found": error.found, "why": error.why, "do": error.do}
        print_json({"outcome": "failed", "exit_code": error.exit_code, "error": parts})
    return error.exit_code


def _parser(prog: str) -> _Parser:
    """The whole command line; `local_runner.py` shows `run` alone."""
    parser = _Parser(
        prog="edgeline",
        description="From labelled field data to a blessed model on every phone.",
        epilog=EXIT_CODES,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands, prog)
    _add_schedule(commands)
    _add_data(commands)
    _add_releases(commands)
    _add_kubeflow(commands)
    return parser


def _add(commands: Any, name: str, summary: str, call: Any, **kwargs: Any) -> _Parser:
    parser: _Parser = commands.add_parser(name, help=summary, description=summary, **kwargs)
    parser.set_defaults(call=call, parser=parser)
    return parser


def _workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        type=Path,
        default=Path("workspace"),
        help="where runs live (./workspace)",
    )


def _add_run(commands: Any, prog: str) -> None:
    name = {} if prog == "edgeline" else {"prog": prog}
    summary = "One run of the DAG: from labelled photos to a pushed model, or to why not."
    parser = _add(commands, "run", summary, _run, epilog=EXIT_CODES, **name)
    _run_options(parser)
    parser.add_argument("--if-changed", action="store_true", help="end at once when nothing changed")
    parser.add_argument(
        "--json", action="store_true", help="the result on stdout as JSON, progress on stderr"
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    """What a run depends on, for those who start one and those who have it started."""
    parser.add_argument(
        "--workload", default="shelf", metavar="W", help="a built-in name or a workload.yaml (shelf)"
    )
    parser.add_argument(
        "--profile", metavar="P", help="a YAML file of settings, or the name of one: published"
    )
    parser.add_argument(
        "--data", type=_recorded, metavar="DIR_OR_URL", help="spans of photos (a sample, rendered once)"
    )
    _workspace(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=c", help="one setting, in YAML; may be repeated"
    )


def _recorded(text: str) -> Location:
    """A place to read from, which every run records."""
    from pipeline.secret_values import names_user

    if names_user(text):
        raise UsageError(
            "--data has a user or password before an @.",
            "Every run records where its photos came from.",
            "Take it out; keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws.",
        )
    return locate(text)


def _run(arguments: argparse.Namespace) -> int:
    from runners.local.run import RunOptions, run

    return run(
        RunOptions(
            workload=arguments.workload,
            profile=arguments.profile,
            data=arguments.data,
            workspace=arguments.workspace,
            overrides=arguments.set,
            if_changed=arguments.if_changed,
            as_json=arguments.json,
        )
    )


def _add_schedule(commands: Any) -> None:
    from runners.cli import schedule

    summary = "Starts a run every week, by systemd or cron; prints what would be installed."
    parser = _add(commands, "schedule", summary, schedule.schedule)
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--systemd", action="store_true", help="a service and a timer of systemd")
    by.add_argument("--cron", action="store_true", help="lines of your crontab")
    parser.add_argument(
        "--at", default="Mon 03:00", metavar="T", help="'Mon 03:00', 'Mon..Fri 03:00', or '03:00' (Mon 03:00)"
    )
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--install", action="store_true", help="put it in place, instead of the one before")
    does.add_argument("--remove", action="store_true", help="take it away again")
    _run_options(parser)


def _add_data(commands: Any) -> None:
    from runners.cli import data_commands

    data = commands.add_parser("data", help="spans: render a sample, import photos, list, exclude")
    actions = data.add_subparsers(metavar="ACTION", required=True)
    summary = "Renders weekly spans of shelf photos."
    generate = _add(actions, "generate", summary, data_commands.generate, epilog=FAULTS)
    generate.add_argument(
        "--data", type=_folder_here, required=True, metavar="DIR", help="the folder of spans"
    )
    generate.add_argument("--weeks", type=int, default=1, metavar="N", help="spans to add (1)")
    generate.add_argument("--photos-per-week", type=int, default=300, metavar="N", help="photos a span (300)")
    generate.add_argument(
        "--seed", type=int, default=20, metavar="N", help="the same seed, the same bytes (20)"
    )
    generate.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=RATE",
        help="a fault for drills and its share of the photos, 0 to 1; may be repeated",
    )
    load = _add(actions, "import", "Turns labelled photos into a span.", data_commands.load)
    load.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="a folder a class, a CSV or JSONL manifest, or TFRecord files",
    )
    load.add_argument("--data", type=_folder_here, required=True, metavar="DIR", help="the folder of spans")
    summary = "The spans of a data folder, and which are excluded and why."
    listed = _add(actions, "list", summary, data_commands.list_spans)
    listed.add_argument("--data", type=locate, required=True, metavar="DIR_OR_URL", help="the spans")
    listed.add_argument("--json", action="store_true", help="machine-readable, on stdout")
    summary = "Leaves a span out of all coming runs, for the record with who, when and why."
    exclude = _add(actions, "exclude", summary, data_commands.exclude)
    exclude.add_argument("span", metavar="SPAN", help="its name: span-00042")
    exclude.add_argument("--data", type=locate, required=True, metavar="DIR_OR_URL", help="the spans")
    exclude.add_argument("--reason", required=True, metavar="R", help="why, for the record")
    exclude.add_argument("--undo", action="store_true", help="read it again from now on")


def _folder_here(text: str) -> Path:
    """A folder to write spans to: on a disk that is one rename, in an object store it could end halfway."""
    if is_url(text):
        raise UsageError(
            f"--data is {text}.",
            "Spans are written to a folder on this machine, each whole or not at all.",
            f"Name a folder, and copy its new span to {text} afterwards, labels.csv last.",
        )
    return Path(text)


def _add_releases(commands: Any) -> None:
    from runners.cli import release_commands as does

    def add(name: str, summary: str, call: Any, store: bool = True, as_json: bool = True) -> _Parser:
        parser = _add(commands, name, summary, call)
        _workspace(parser)
        parser.add_argument("--workload", metavar="W", help="name of the model (that of the last run)")
        if store:
            parser.add_argument(
                "--store", metavar="DIR_OR_URL", help="where releases lie (where the last run pushed)"
            )
        if as_json:
            parser.add_argument("--json", action="store_true", help="machine-readable, on stdout")
        return parser

    add("status", "What is in production, and how the last run ended.", does.status)
    add("runs", "All runs, newest first.", does.list_runs, store=False)
    show = add("show", "One run: steps, verdicts, reasons.", does.show, store=False)
    show.add_argument("run", metavar="RUN", help="the id of a run, or latest")
    report = add("report", "The page of a run: makes it where it is missing, prints its path.", _report_page)
    report.add_argument(
        "run", nargs="?", default="latest", metavar="RUN", help="the id of a run, or latest (latest)"
    )
    report.add_argument("--index", action="store_true", help="one page of all runs instead")
    add("verify", "Compares every file of every release with its manifest.", does.verify)
    rollback = add("rollback", "Puts an earlier release back in production.", does.rollback, as_json=False)
    rollback.add_argument("--to", type=int, metavar="V", help="the version (the one before)")
    promote = add("promote", "Puts a named release in production.", does.promote, as_json=False)
    promote.add_argument("version", type=int, metavar="V", help="the version")
    for parser in (rollback, promote):
        parser.add_argument("--reason", required=True, metavar="R", help="why, for the audit log")


def _report_page(arguments: argparse.Namespace) -> int:
    from runners.cli.report_command import report

    return report(arguments)


def _add_kubeflow(commands: Any) -> None:
    from runners.kubeflow import commands as does

    kubeflow = commands.add_parser("kubeflow", help="the same DAG on Kubeflow Pipelines")
    actions = kubeflow.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, summary: str, call: Any) -> _Parser:
        parser = _add(actions, name, summary, call)
        parser.add_argument(
            "--workload", default="shelf", metavar="W", help="a built-in name or a workload.yaml (shelf)"
        )
        parser.add_argument(
            "--profile", metavar="P", help="a YAML file of settings, or the name of one: published"
        )
        parser.add_argument(
            "--settings", metavar="FILE", help="a YAML file laid over the profile, for what is the cluster's"
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="a.b=c",
            help="one setting, in YAML; may be repeated",
        )
        return parser

    output = add("compile", "Writes the DAG as a pipeline of Kubeflow.", does.compile_dag)
    output.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the pipeline, as YAML"
    )
    _add_cluster(add)


def _add_cluster(add: Callable[..., _Parser]) -> None:
    """What speaks with a cluster; `add` makes a parser with the options for settings."""
    from runners.kubeflow import runs as does
    from runners.kubeflow.schedule import schedule

    def reach(name: str, summary: str, call: Any) -> _Parser:
        parser = add(name, summary, call)
        parser.epilog = ACCESS
        parser.add_argument(
            "--host", metavar="URL", help="Kubeflow Pipelines (kubeflow.host, or KFP_ENDPOINT)"
        )
        parser.add_argument("--json", action="store_true", help="machine-readable, on stdout")
        return parser

    def package(parser: _Parser) -> None:
        help_ = "what `compile` wrote, instead of compiling now"
        parser.add_argument("--package", type=Path, metavar="FILE", help=help_)

    def waiting(parser: _Parser, option: bool = True) -> None:
        if option:
            parser.add_argument(
                "--wait", action="store_true", help="follow it to its end; the exit code is how it ended"
            )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            metavar="S",
            help="stop following after so many seconds; the run goes on",
        )
        parser.epilog = f"{EXIT_CODES}\n{ACCESS}"

    submit = reach("submit", "Uploads the DAG and starts a run of it.", does.submit)
    package(submit)
    waiting(submit)
    watch = reach("watch", "Follows a run to its end.", does.watch)
    watch.add_argument("run", metavar="RUN", help="the id that submit printed")
    waiting(watch, option=False)
    retry = reach(
        "retry", "Makes the steps of a run again that failed or were lost, and goes on from them.", does.retry
    )
    retry.add_argument("run", metavar="RUN", help="the id that submit printed")
    waiting(retry)
    recurring = reach("schedule", "One recurring run a workload and experiment.", schedule)
    package(recurring)
    does_what = recurring.add_mutually_exclusive_group(required=True)
    cron = "when, in six fields, seconds first: '0 0 3 * * 1' is Monday 03:00; replaces what is there"
    does_what.add_argument("--cron", metavar="C", help=cron)
    does_what.add_argument("--list", action="store_true", help="all that were made by this command")
    does_what.add_argument("--disable", action="store_true", help="keep it from firing")
    does_what.add_argument("--enable", action="store_true", help="let it fire again")
    does_what.add_argument("--delete", action="store_true", help="remove it, unless a run of it is going on")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value
