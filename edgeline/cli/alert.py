"""`edgeline alert`: reports trouble between runs, and tests the channels."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from pydantic import ValidationError

from edgeline.alerts.channels import Message, send
from edgeline.alerts.settings import AlertSettings
from edgeline.alerts.telling import look_at_store, look_at_workspace, name_host, send_new_alerts
from edgeline.alerts.troubles import Situation
from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import note, say
from edgeline.errors import UsageError
from edgeline.records.run import Run
from edgeline.records.served import Served
from edgeline.release.releases import models
from edgeline.settings_group import Group
from edgeline.settings_layers import describe_mistakes, merge_layers
from edgeline.store.locations import list_folders, locate
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.place import Place
from edgeline.workspace.runs import read_runs


class _Settings(Group, extra="ignore"):
    """The part of a file of settings that alerts need."""

    alerts: AlertSettings = AlertSettings()


@click.command(cls=Command)
@options.all_models_of
@options.profile
@options.overrides
@options.test_message
def alert(place: Place, profile: str | None, overrides: Sequence[str], test: bool) -> int:
    """Sends alerts about failed runs, old releases and full disks; run it from a timer of your own."""
    settings = _read_settings(profile, overrides)
    names: list[str | None] = [place.workload]
    if place.workload is None:
        names = [*sorted(_find_models(place.workspace, place.store))] or [None]
    if test:
        names = names[:1]
    codes = []
    for name in names:
        _, push, model = resolve_place(Place(place.workspace, name))
        if len(names) > 1:
            say(f"{model}:")
        codes.append(send_alerts(settings, model, push, place.workspace, place.store, test))
    return max(codes)


def _find_models(workspace: Path, store: str | None, push: str | None = None) -> set[str]:
    """Returns the models with a run in the workspace or the store, or with a release in store or `push`."""
    place = store or push
    released = models(place) if place else ()
    if store is not None:
        return {*released, *list_folders(locate(store) / "runs")}
    return {*released, *(run.workload for run in read_runs(workspace))}


def _read_settings(profile: str | None, overrides: Sequence[str]) -> AlertSettings:
    tree, mistakes = merge_layers({}, profile, None, overrides)
    try:
        settings = _Settings.model_validate(tree.values).alerts
    except ValidationError as error:
        mistakes += describe_mistakes(error, _Settings.model_json_schema(), tree)
    if mistakes:
        raise UsageError(" ".join(mistakes), "Nothing was sent.", "Correct the settings of the alerts.")
    return settings


def send_alerts(
    settings: AlertSettings,
    model: str,
    push: str,
    workspace: Path,
    store: str | None,
    test: bool,
    look_further: Callable[[], list[str]] | None = None,
    count_served: Callable[[Run], Served | None] | None = None,
) -> int:
    """Sends the alerts on a model, and prints them; returns the exit code.

    Args:
        settings: The channels, of which at least one is set, and the limits of what is trouble.
        model: Its name; only its runs and releases are looked at.
        push: The release store of the workspace; it is not read where there is a `store`.
        workspace: The folder with the runs; it need not exist where there is a `store`.
        store: Where a cluster keeps its runs and releases; None: those of `workspace` and `push` count.
        test: Only a test message is sent, through each channel; nothing is looked at.
        look_further: Called first, sends alerts of its own, and returns its warnings; with it, the place may
            have neither a run nor a release. None: there is nothing further.
        count_served: Counts what phones answered since the given run, the last; its None means unknown.

    Returns:
        1 where a message was not sent or a warning was printed, else 0, also with open troubles.

    Raises:
        UsageError: There is no channel, or nothing to look at.
    """
    if not settings.channels:
        raise UsageError(
            "Neither alerts.webhook nor alerts.email nor alerts.command is set.",
            "There is no channel to send alerts through.",
            "Set one in the workload's file, a profile, or here: --set 'alerts.webhook=$EDGELINE_WEBHOOK'.",
        )

    if test:
        return _send_test(settings, model)

    if store is None and not workspace.is_dir():
        why, do = "It has no runs to check.", "Pass another --workspace DIR, or a --store DIR_OR_URL."
        raise UsageError(f"There is no workspace {workspace}.", why, do)
    models = _find_models(workspace, store, push) if look_further is None else {model}
    if model not in models:
        raise UsageError(
            f"There is no run and no release of {model} in {store or workspace}.",
            f"It has those of {', '.join(sorted(models))}." if models else "It has none of any model.",
            "Name the model with --workload, or the right place with --workspace or --store.",
        )

    look = partial(look_at_workspace, workspace, model, push)
    if store is not None:
        look = partial(look_at_store, locate(store) / "runs" / model)

    def look_and_count() -> Situation:
        situation = look()
        if count_served is None or not situation.history:
            return situation
        return replace(situation, served=count_served(situation.history[-1].run))

    further = look_further() if look_further else []
    troubles, warnings = send_new_alerts(settings, look_and_count)
    warnings += further

    for trouble in troubles.values():
        say(trouble.what)
    for warning in warnings:
        note(warning)
    if not troubles and not warnings:
        say("No problems found.")
    return 1 if warnings else 0


def _send_test(settings: AlertSettings, model: str) -> int:
    """Sends a test message through each channel, and prints how that went; returns the exit code."""
    failures = send(settings, {channel: [Message(model, name_host())] for channel in settings.channels})
    for channel, failure in failures.items():
        say(f"{channel}: {f'not sent: {failure}' if failure else 'sent'}")
    return 1 if any(failures.values()) else 0
