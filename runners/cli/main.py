"""The command `edgeline` of the project: its own commands, which need TFX or its files, and the package's."""

from collections.abc import Sequence

from edgeline.cli import main as package

_SUMMARIES = {
    "run": "Runs the DAG once: from labelled data to a pushed model, or to the reasons against it.",
    "plan": "Shows which steps a run would take from the cache, which it would run, and why.",
    "step": "Runs one step of a past run again, with other settings; records nothing.",
    "settings": "Lists all settings, those of a group, or one: default, range and meaning.",
    "schedule": "Schedules a weekly run: prints a crontab line, or prints or installs systemd units.",
    "data": "Makes, inspects, imports, lists, excludes and relabels spans.",
    "schema": "Compares a window with the curated schema, and widens the schema.",
    "alert": "Sends alerts about failed runs, old releases and full disks; run it from a timer of your own.",
    "reproduce": "Prints the commit, settings and spans that make version V again, or runs them.",
    "tensorboard": "Starts TensorBoard on the last run that trained, or on the runs that are named.",
    "ui": "Updates MLflow, and serves its pages of all runs and releases.",
    "gc": "Removes old releases, run folders, artifacts and records; never what is in use.",
    "kubeflow": "Runs the same DAG on Kubeflow Pipelines.",
}
_OWN = {name: (f"runners.cli.{name}", summary) for name, summary in _SUMMARIES.items()}
_OWN |= {name: ("runners.cli.run", _SUMMARIES[name]) for name in ("plan", "step")}
COMMANDS = {
    name: _OWN.get(name) or package.COMMANDS[name] for names in package.SECTIONS.values() for name in names
}


def main(arguments: Sequence[str] | None = None, prog: str = "edgeline", only: str = "") -> int:
    """Runs one command; returns its exit code.

    Args:
        arguments: The words of the command line; by default those of this process.
        prog: What starts the command, for its help.
        only: The command to run, if it is not the first argument.
    """
    return package.main(arguments, prog, only, COMMANDS)
