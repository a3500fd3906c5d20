"""Checks that phones would accept a release after those that they have seen."""

from datetime import datetime, timezone

from errors import EdgelineError, UsageError
from locations import Location
from release.documents import parse_time
from release.manifest import Manifest
from release.releases import Release, find_lowest_epoch, read_newest_readable, releases
from release.signing import KEY_VARIABLE


def check_push(root: str | Location, model: str, epoch: int, signed: bool) -> None:
    """Refuses a push that phones would refuse; `epoch` is its rollback epoch, `signed` says if a key is set.

    Raises:
        UsageError: The epoch is lower than that of production, or production is signed and this push is not.
        EdgelineError: The store cannot be read.
    """
    _check_terms(read_newest_readable(root, model), model, epoch, signed)


def check_push_early(root: str | Location, model: str, epoch: int, signed: bool) -> str:
    """Does `check_push` if the store can be read; else returns the error as text: it may be readable later.

    Raises:
        UsageError: As in `check_push`.
    """
    try:
        known = read_newest_readable(root, model)
    except (EdgelineError, OSError) as error:
        return str(error)
    _check_terms(known, model, epoch, signed)
    return ""


def _check_terms(known: tuple[Release, ...], model: str, epoch: int, signed: bool) -> None:
    if epoch < (lowest := find_lowest_epoch(known)):
        raise UsageError(
            f"push.rollback_epoch is {epoch}, and phones have seen {lowest} of {model}.",
            "They refuse what has a lower one. Nothing was pushed.",
            f"Set push.rollback_epoch={lowest}, in the profile for every run.",
        )
    if not signed and any(release.manifest.signed_by for release in known):
        raise UsageError(
            f"{model} in production is signed, and no key is set.",
            "Phones that check signatures refuse a release that has none. Nothing was pushed.",
            f"Set push.key=FILE or {KEY_VARIABLE}. To go on without one, promote an unsigned release first.",
        )


def check_switch(root: str | Location, release: Release) -> list[str]:
    """Refuses a release that every phone would refuse; returns warnings, a sentence for each reason of some.

    Raises:
        EdgelineError: The rollback epoch is lower than one that phones have seen.
    """
    model, manifest, known = release.model, release.manifest, read_newest_readable(root, release.model)
    if manifest.rollback_epoch < (lowest := find_lowest_epoch(known)):
        accepted = [each for each in releases(root, model) if each.manifest.rollback_epoch >= lowest]
        others = ", ".join(str(each.version) for each in accepted if known != (each,)) or "none"
        raise EdgelineError(
            f"{model} {release.version} has the rollback epoch {manifest.rollback_epoch}, and phones have"
            f" seen {lowest}.",
            "They refuse it and keep what they have, while servers would go back. Production is as it was.",
            f"Of the other releases, phones take {others}. For an older model, leave the bad"
            " week out (`edgeline data exclude SPAN --reason R --data DIR`) and run again with"
            f" push.rollback_epoch={lowest}: it becomes a new release, which they take.",
        )
    warnings = []
    signers = {each.manifest.signed_by for each in known}
    if signers and manifest.signed_by not in signers:
        how = f"signed with {manifest.signed_by}" if manifest.signed_by else "not signed"
        warnings.append(f"It is {how}, other than what it replaces: phones that know another key refuse it.")
    if is_expired(manifest):
        warnings.append(f"It expired at {manifest.expires}: phones that heed that refuse it.")
    return warnings


def distrust(manifest: Manifest, key: str | None) -> EdgelineError | None:
    """Returns an error for an undamaged release that is expired or, if `key` is given, not signed with it."""
    name = f"{manifest.model} {manifest.version}"
    if key and manifest.signed_by != key:
        how = f"signed with {manifest.signed_by}" if manifest.signed_by else "not signed"
        return EdgelineError(
            f"{name} is {how}. Expected a signature with {key}.",
            "Whoever has the key that was given did not release this.",
            "If the key is right, do not use this. A run signs what it pushes with push.key=FILE.",
        )
    if is_expired(manifest):
        return EdgelineError(
            f"{name} expired at {manifest.expires}.",
            "From then on a phone should no longer trust it.",
            "Run the pipeline for a newer release; push.expires_days is how long one is good for.",
        )
    return None


def terms(manifest: Manifest) -> list[str]:
    """Returns the terms of a release for phones, a sentence each; only those that are set."""
    lines = [f"Expired at {manifest.expires}." if is_expired(manifest) else f"Good until {manifest.expires}."]
    if manifest.signed_by:
        lines.append(f"Signed with the key {manifest.signed_by}.")
    if manifest.min_app_version:
        lines.append(f"For version {manifest.min_app_version} of the app, and later ones.")
    if manifest.rollback_epoch:
        epoch = manifest.rollback_epoch
        lines.append(f"Of rollback epoch {epoch}: phones that have seen it take none lower.")
    return lines


def is_expired(manifest: Manifest) -> bool:
    """Returns true if the release has expired by this machine's clock."""
    return datetime.now(timezone.utc) >= parse_time(manifest.expires)
