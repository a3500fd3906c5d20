"""Checks that phones would accept a release after those that they have seen."""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import parse_time
from edgeline.release.history import Differing, read_history
from edgeline.release.layout import PREPROCESSING, Store, open_folder
from edgeline.release.manifest import Manifest
from edgeline.release.releases import Release, find_lowest_epoch, read_newest_readable, releases
from edgeline.release.signing import KEY_VARIABLE, Keys
from edgeline.release.state import open_state


class PushRefused(UsageError):
    """A push that phones would refuse."""


def check_writer(root: Store, model: str, keys: Keys) -> None:
    """Refuses a writer with these keys, or this clock, who cannot continue the state of a store.

    Of a missing key, `check_push` tells.

    Args:
        root: The store.
        model: Its name there.
        keys: Those of the writer; without a private one, only a store without a signature is looked at.

    Raises:
        EdgelineError: As for `open_state` and `State.check_clock`.
    """
    folder = open_folder(root)
    if keys["key"] or not read_history(folder, model).is_signed:
        open_state(folder, model, **keys).check_clock(None)


def check_push(
    root: Store,
    model: str,
    epoch: int,
    signed: bool,
    percent: float | None = None,
    contract: Mapping[str, Any] | None = None,
) -> None:
    """Refuses a push that phones would refuse, or that apps cannot feed.

    Args:
        root: The store, or the folder of the writer that pushes.
        model: Its name there.
        epoch: The rollback epoch of the push.
        signed: True if a key is set.
        percent: The share of phones if it begins as a canary, 0.01..99.99; None if all phones get it.
        contract: The content of its preprocessing.json; None before a run, when it is not known yet.

    Raises:
        PushRefused: The epoch is lower than that of production, or higher and it begins as a canary;
            production is signed and this push is not; or it reads another kind of example than production.
        EdgelineError: The store cannot be read.
    """
    newest = read_newest_readable(root, model)
    if epoch < (lowest := find_lowest_epoch(newest)):
        raise PushRefused(
            f"push.rollback_epoch is {epoch}, but phones with {model} have already seen {lowest}.",
            "Phones refuse a release with a lower epoch. Nothing was pushed.",
            f"Set push.rollback_epoch={lowest} in the profile, so that every run uses it.",
        )
    is_signed = read_history(open_folder(root), model).is_signed
    if not signed and (is_signed or any(item.manifest.signed_by for item in newest)):
        raise PushRefused(
            f"{model} in production is signed, but no key is set.",
            "Phones that check signatures refuse an unsigned release. Nothing was pushed.",
            f"Set push.key=FILE or {KEY_VARIABLE}. To stop signing, push to another place.",
        )
    if percent and newest:
        check_canary(newest[-1], epoch)
    if contract and newest:
        _check_kind(newest[-1], contract)


def check_push_early(root: Store, model: str, epoch: int, signed: bool, percent: float | None = None) -> str:
    """Does `check_push` if the store can be read; else returns the error as text: it may be so later.

    Args:
        root: The store that the run will push to.
        model: Its name there.
        epoch: The run's `push.rollback_epoch`.
        signed: True if the run has a key.
        percent: The run's `push.canary_percent`.

    Returns:
        Why the store cannot be read; empty if phones would accept the push.

    Raises:
        PushRefused: As for `check_push`.
        Differing: The parts of current.json name different things.
    """
    try:
        check_push(root, model, epoch, signed, percent)
    except (PushRefused, Differing):
        raise
    except (EdgelineError, OSError) as error:
        return str(error)
    return ""


def _check_kind(production: Release, contract: Mapping[str, Any]) -> None:
    """Raises PushRefused if a release of this contract reads another kind of example than production."""
    try:
        before = json.loads(production.read(PREPROCESSING)).get("kind")
    except (EdgelineError, ValueError):
        return  # it is damaged, which a new release repairs
    if contract.get("kind") != before:
        raise PushRefused(
            f"{production.model} in production reads examples of the kind {before}, and this model"
            f" those of the kind {contract.get('kind')}.",
            "An app that feeds the one has nothing to give to the other. Nothing was pushed.",
            "Change `name` in workload.yaml, so that it is a model of its own, or push to another place.",
        )


def check_canary(production: Release, epoch: int) -> None:
    """Raises PushRefused if phones that ran a candidate of this epoch could not go back to production."""
    if epoch > (before := production.manifest.rollback_epoch):
        raise PushRefused(
            f"The candidate has rollback epoch {epoch}, and {production.model} {production.version} in"
            f" production has {before}.",
            "A phone that ran the candidate would refuse to go back. Production was not changed.",
            f"Keep push.rollback_epoch={before}, or go without a canary: push.canary_percent=null, or"
            " `edgeline promote V --reason R`.",
        )


def check_switch(root: Store, release: Release) -> list[str]:
    """Refuses a release that every phone would refuse; returns warnings, a sentence for each reason of some.

    Raises EdgelineError if its rollback epoch is lower than one that phones have seen.
    """
    model = release.model
    manifest = release.manifest
    newest = read_newest_readable(root, release.model)
    if manifest.rollback_epoch < (lowest := find_lowest_epoch(newest)):
        accepted = [item for item in releases(root, model) if item.manifest.rollback_epoch >= lowest]
        others = ", ".join(str(item.version) for item in accepted if newest != (item,)) or "none"
        raise EdgelineError(
            f"{model} {release.version} has rollback epoch {manifest.rollback_epoch}, but phones have"
            f" already seen {lowest}.",
            "Phones would refuse it, while servers would switch to it. Production was not changed.",
            f"Phones accept these other releases: {others}. To return to an older model, exclude the bad"
            " span (`edgeline data exclude SPAN --reason R --data DIR`) and run again with"
            f" push.rollback_epoch={lowest}: this pushes a new release, which phones accept.",
        )
    warnings = []
    signers = {item.manifest.signed_by for item in newest}
    if signers and manifest.signed_by not in signers:
        how = f"signed with {manifest.signed_by}" if manifest.signed_by else "not signed"
        text = "Whoever checks manifest.sig refuses it; phones go by the pointer."
        warnings.append(f"It is {how}, unlike the release before it. {text}")
    if is_expired(manifest):
        warnings.append(f"It expired at {manifest.expires}. Phones that check the expiry refuse it.")
    return warnings


def distrust(manifest: Manifest, key: str | None) -> EdgelineError | None:
    """Returns an error for an undamaged release that is expired or, if `key` is given, not signed with it."""
    name = f"{manifest.model} {manifest.version}"
    if key and manifest.signed_by != key:
        how = f"signed with {manifest.signed_by}" if manifest.signed_by else "not signed"
        return EdgelineError(
            f"{name} is {how}. Expected a signature with {key}.",
            "The owner of that key did not sign this release.",
            "If the key is right, do not use this release. To sign releases, set push.key=FILE for the run.",
        )
    if is_expired(manifest):
        return EdgelineError(
            f"{name} expired at {manifest.expires}.",
            "Phones should not trust a release after it has expired.",
            "Run the pipeline for a newer release; push.expires_days sets how long a release is valid.",
        )
    return None


def list_terms(manifest: Manifest) -> list[str]:
    """Returns the terms of a release for phones, a sentence each; only those that are set."""
    lines = [f"{'Expired at' if is_expired(manifest) else 'Valid until'} {manifest.expires}."]
    if manifest.min_app_version:
        lines.append(f"For version {manifest.min_app_version} of the app or later.")
    if manifest.rollback_epoch:
        epoch = manifest.rollback_epoch
        lines.append(f"Rollback epoch {epoch}: phones that have seen it refuse lower ones.")
    return lines


def is_expired(manifest: Manifest) -> bool:
    """Returns true if the release has expired by this machine's clock."""
    return datetime.now(timezone.utc) >= parse_time(manifest.expires)
