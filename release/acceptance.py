"""What phones accept after the releases that they have seen, and so what may go into production."""

from datetime import datetime, timezone

from errors import EdgelineError, UsageError
from locations import Location
from release.documents import parse_time
from release.manifest import Manifest
from release.releases import Release, lowest_epoch, newest_readable, releases
from release.signing import KEY_VARIABLE


def check_push(root: str | Location, model: str, epoch: int, signed: bool) -> None:
    """Refuse a push that phones would refuse; `epoch` is its rollback epoch, `signed` whether a key is set.

    Raises:
        UsageError: The epoch is lower than that of production, or production is signed and this would not be.
        EdgelineError: The store cannot be read.
    """
    _check(newest_readable(root, model), model, epoch, signed)


def check_push_early(root: str | Location, model: str, epoch: int, signed: bool) -> str:
    """As `check_push`, where the store answers; returns why it does not, for it may do so later.

    Raises:
        UsageError: As `check_push` does.
    """
    try:
        known = newest_readable(root, model)
    except (EdgelineError, OSError) as error:
        return str(error)
    _check(known, model, epoch, signed)
    return ""


def _check(known: tuple[Release, ...], model: str, epoch: int, signed: bool) -> None:
    if epoch < (lowest := lowest_epoch(known)):
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
    """Refuse a release that every phone would refuse; returns a sentence for each reason why some would.

    Raises:
        EdgelineError: Its rollback epoch is lower than one that phones have seen.
    """
    model, manifest, known = release.model, release.manifest, newest_readable(root, release.model)
    if manifest.rollback_epoch < (lowest := lowest_epoch(known)):
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
    """Why a whole release is not to be trusted: not signed with `key`, if one is given, or expired."""
    what = f"{manifest.model} {manifest.version}"
    if key and manifest.signed_by != key:
        how = f"signed with {manifest.signed_by}" if manifest.signed_by else "not signed"
        return EdgelineError(
            f"{what} is {how}. Expected a signature with {key}.",
            "Whoever has the key that was given did not release this.",
            "If the key is right, do not use this. A run signs what it pushes with push.key=FILE.",
        )
    if is_expired(manifest):
        return EdgelineError(
            f"{what} expired at {manifest.expires}.",
            "From then on a phone should no longer trust it.",
            "Run the pipeline for a newer release; push.expires_days is how long one is good for.",
        )
    return None


def terms(manifest: Manifest) -> list[str]:
    """What phones go by besides the files, a sentence each; only what is set."""
    told = [f"Expired at {manifest.expires}." if is_expired(manifest) else f"Good until {manifest.expires}."]
    if manifest.signed_by:
        told.append(f"Signed with the key {manifest.signed_by}.")
    if manifest.min_app_version:
        told.append(f"For version {manifest.min_app_version} of the app, and later ones.")
    if manifest.rollback_epoch:
        told.append(f"Of rollback epoch {manifest.rollback_epoch}: phones that have seen it take none lower.")
    return told


def is_expired(manifest: Manifest) -> bool:
    """Whether its time is over, by this machine's clock."""
    return datetime.now(timezone.utc) >= parse_time(manifest.expires)
