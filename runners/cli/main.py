"""The `edgeline` command of the project: the commands of the package, and those that need the project."""

from collections.abc import Sequence

import click

from edgeline.cli import main as package

COMMANDS = {
    "run": (
        "runners.cli.run",
        "Runs the DAG once: from labelled data to a pushed model, or to the reasons against it.",
    ),
    "plan": (
        "runners.cli.run",
        "Shows which steps a run would take from the cache, which it would run, and why.",
    ),
    "settings": (
        "runners.cli.settings",
        "Lists all settings, those of a group, or one: default, range and meaning.",
    ),
    "schedule": (
        "runners.cli.schedule",
        "Schedules a weekly run: prints a crontab line, or prints or installs systemd units.",
    ),
    "data": ("runners.cli.data", "Makes, imports, lists and excludes spans."),
    "schema": ("runners.cli.schema", "Compares a window with the curated schema, and widens the schema."),
    "status": package.COMMANDS["status"],
    "runs": package.COMMANDS["runs"],
    "show": package.COMMANDS["show"],
    "report": package.COMMANDS["report"],
    "diff": package.COMMANDS["diff"],
    "alert": (
        "runners.cli.alert",
        "Sends alerts about failed runs, old releases and full disks; run it from a timer of your own.",
    ),
    "tensorboard": (
        "runners.cli.tensorboard",
        "Starts TensorBoard on the last run that trained, or on the runs that are named.",
    ),
    "ui": ("runners.cli.ui", "Updates MLflow, and serves its pages of all runs and releases."),
    "predict": package.COMMANDS["predict"],
    "verify": package.COMMANDS["verify"],
    "rollback": package.COMMANDS["rollback"],
    "promote": package.COMMANDS["promote"],
    "keys": package.COMMANDS["keys"],
    "gc": (
        "runners.cli.gc",
        "Removes old releases, run folders, artifacts and records; never what is in use.",
    ),
    "kubeflow": ("runners.cli.kubeflow", "Runs the same DAG on Kubeflow Pipelines."),
}


def load(name: str) -> click.Command:
    """Imports and returns the command of that name."""
    command = package.Commands(COMMANDS).load(name)
    assert command is not None
    return command


def main(arguments: Sequence[str] | None = None, prog: str = "edgeline", only: str = "") -> int:
    """Runs one command of the project, or the command `only`; returns its exit code."""
    return package.main(arguments, prog, COMMANDS, only)
