"""Switching production between existing releases: promotions, rollbacks, and canaries before them."""

import logging
from collections.abc import Collection

from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import clean_reason
from edgeline.release import releases
from edgeline.release.acceptance import check_canary, check_switch
from edgeline.release.history import Action, Change, find_pointer, find_previous_version, read_history
from edgeline.release.layout import HISTORY, PushFolder, Root, check_name
from edgeline.release.pointer import MAX_PERCENT, MIN_PERCENT, Canary
from edgeline.release.signing import Key
from edgeline.release.state import State, Unvouched, make_no_key_error
from edgeline.release.verify import find_release_problems
from edgeline.release.writing import of_releases, open_for_writing, put_in_production
from edgeline.store.locations import locate

_LOG = logging.getLogger(__name__)


def promote(
    root: Root,
    model: str,
    version: int,
    reason: str,
    key: Key = None,
    seen: Change | None = None,
    trusted: Collection[str] = (),
) -> releases.Release:
    """Puts an existing release, newer or older than the current one, in production; takes milliseconds.

    While a canary is open, that is its candidate, which ends it.

    Args:
        root: The store.
        model: Its name there.
        version: Of the release.
        reason: For the log; not empty.
        key: Signs the pointer; None where it is not signed.
        seen: The change that opened the canary on which the caller decided, if it did not decide just now.
        trusted: Public keys whose signatures `key` continues beside its own.

    Raises:
        UsageError: The model or release does not exist, it is in production already, a canary of another one
            is open, the reason is empty, or the pointer is signed and no key is given.
        Unvouched: The key would sign what no key of its owner has signed, or nobody signed that release.
        EdgelineError: The release is damaged, phones would refuse its rollback epoch, the canary ended while
            this waited for the lock, or the push folder cannot be written. Production is as it was before.
    """
    return _switch_to(root, model, "promote", version, reason, key, seen=seen, trusted=trusted)


def rollback(
    root: Root,
    model: str,
    reason: str,
    to: int | None = None,
    key: Key = None,
    seen: Change | None = None,
    trusted: Collection[str] = (),
) -> releases.Release:
    """Goes back to an earlier release; takes milliseconds.

    While a canary is open, it withdraws the candidate: all phones go back to the release in production.

    Args:
        root: The store.
        model: Its name there.
        reason: For the log; not empty.
        to: The version; None for the one in production before the current one, but never one that was itself
            rolled back. While a canary is open, None or the version in production.
        key: As for `promote`.
        seen: As for `promote`.
        trusted: As for `promote`.

    Raises:
        UsageError: As for `promote`.
        EdgelineError: As for `promote`; also if there is no earlier release, or another user put one in
            production while this waited for the lock.
    """
    return _switch_to(root, model, "rollback", to, reason, key, seen=seen, trusted=trusted)


def rollout(
    root: Root,
    model: str,
    version: int,
    percent: float,
    reason: str,
    key: Key = None,
    trusted: Collection[str] = (),
) -> releases.Release:
    """Opens a canary: a share of phones runs an existing release until `promote` or `rollback` ends it.

    Args:
        root: The store.
        model: Its name there.
        version: The candidate; while a canary is open, the same one.
        percent: The share of phones, 0.01..99.99; an open canary can only be widened.
        reason: For the log; not empty.
        key: As for `promote`.
        trusted: As for `promote`.

    Raises:
        UsageError: As for `promote`; also if `percent` is out of its bounds.
        EdgelineError: As for `promote`; also if the release has a higher rollback epoch than production.
    """
    if not MIN_PERCENT <= percent <= MAX_PERCENT:
        raise UsageError(
            f"A canary cannot have {percent:g} % of the phones.",
            f"Some phones run the candidate, and some production: {MIN_PERCENT} to {MAX_PERCENT} %.",
            f"Pass such a share. For all phones: `edgeline promote {version} --reason R`; for none of them:"
            " `edgeline rollback --reason R`.",
        )
    return _switch_to(root, model, "rollout", version, reason, key, percent, trusted=trusted)


def _switch_to(
    root: Root,
    model: str,
    action: Action,
    version: int | None,
    reason: str,
    key: Key,
    percent: float = 0,
    seen: Change | None = None,
    trusted: Collection[str] = (),
) -> releases.Release:
    check_name(model, "model name")
    reason = clean_reason(reason)
    place = locate(root)
    if model not in releases.models(place):
        raise releases.make_missing_model_error(PushFolder(place), model)
    seen = seen or find_pointer(PushFolder(place), model)
    with open_for_writing(place, f"{action.capitalize()} of {model}", model, key, trusted) as (folder, state):
        target = _choose_target(folder, state, action, version, percent, seen)
        released = of_releases(place, folder)
        release = _check_target(released, state, action, target)

        if action == "rollout":
            production = read_production(released, state)
            check_canary(production, release.manifest.rollback_epoch)
            opened = Canary(target, release.manifest_sha256, float(percent))
            change = state.make_change(action, production.named, reason, candidate=opened)
        else:
            # Nothing vouches for a manifest that was changed since: production keeps the digest of its push.
            last = state.last
            named = last.production if last and last.to_version == target else release.named
            change = state.make_change(action, named, reason)
        put_in_production(folder, model, change, state.seal(change))
    return release


def _choose_target(
    folder: PushFolder, state: State, action: Action, version: int | None, percent: float, seen: Change | None
) -> int:
    """Returns the version that a change of production goes to. Raises EdgelineError if it may not be made.

    `seen` is the change on which the caller decided.
    """
    model, last = state.model, state.last
    pointer = find_pointer(folder, model)  # may be damaged: a promote repairs it, by the log
    tried = last.candidate if last else None
    _refuse_if_changed(model, pointer, seen, tried, version)

    current_version = pointer.to_version if pointer else None
    released = releases.list_released_versions(folder, model)
    others = released - {current_version}
    choice = f"Other releases: {', '.join(map(str, sorted(others))) or 'none'}."
    target = version
    if target is None:
        target = last.to_version if last and tried else find_previous_version(state.changes)
    if target is None:
        log_state = " ".join(read_history(folder, model).problems) or "The audit log is intact."
        raise EdgelineError(
            f"{model} has no release in production before the current one.",
            f"A rollback returns to the release that was in production before. {log_state} {choice}",
            "Pass one with `edgeline rollback --to V --reason R`, or run the pipeline for a better one.",
        )

    if last and tried:
        is_wider = action != "rollout" or percent > tried.percent
        if not (_ends_canary(state, action, target) and is_wider):
            raise make_open_error(model, last.to_version, tried)
    if target not in released:
        how = " with --to V" if action == "rollback" else ""
        raise releases.make_missing_release_error(model, target, state.history, others, how)
    if target == current_version and not tried:
        raise UsageError(
            f"{model} {target} is in production already.", choice, "Pass another release, if any."
        )
    return target


def _refuse_if_changed(
    model: str, pointer: Change | None, seen: Change | None, tried: Canary | None, version: int | None
) -> None:
    """Refuses a change that was decided on a state that is over, of a canary or before a rollback."""
    canary = seen.candidate if seen else None
    is_over = canary is not None and (tried is None or tried.version != canary.version)
    if pointer is None or not (is_over or (version is None and pointer != seen)):
        return
    why = "The canary is over." if is_over else "A rollback from there would go back one release too far."
    raise EdgelineError(
        f"{pointer.who} put {model} {pointer.to_version} in production meanwhile: {pointer.action}.",
        f"{why} Nothing was changed.",
        "Look with `edgeline status`, and repeat the command if you still want to.",
    )


def _ends_canary(state: State, action: Action, target: int) -> bool:
    """Returns true if a change ends the open canary, or widens it."""
    if state.last is None or state.last.candidate is None:
        return False
    return target == (state.last.to_version if action == "rollback" else state.last.candidate.version)


def _check_target(folder: PushFolder, state: State, action: Action, target: int) -> releases.Release:
    """Reads the release that is put in production. Raises EdgelineError if it may not be."""
    model = state.model
    if state.signer and target not in state.history.manifests:
        raise Unvouched(
            f"{model} {target} is named by no signed line of {HISTORY}.",
            "Nobody with the key put it there, so its files may be anybody's. Production was not changed.",
            "Pass another release. If you know where it comes from, look with"
            " `edgeline repair --trust-unsigned --reason R`, which shows what it would sign, and asks.",
        )

    problems = find_release_problems(folder, model, target, state.history)
    if problems and _ends_canary(state, action, target) and action == "rollback":
        _LOG.warning("%s %s, in production, is damaged: %s", model, target, " ".join(problems))
    elif problems:
        others = sorted(releases.list_released_versions(folder, model) - {target})
        raise EdgelineError(
            f"{model} {target} is damaged: {' '.join(problems)}",
            "Phones and servers would refuse it or misbehave. Production was not changed.",
            f"Pass another release (other releases: {', '.join(map(str, others)) or 'none'}), or restore"
            " those files from a backup.",
        )

    release = releases.read_release(folder, model, target)
    for warning in check_switch(folder, release):
        _LOG.warning("%s %s: %s", model, target, warning)
    if state.key is None and release.manifest.signed_by and state.pointer is None:
        raise make_no_key_error(model)
    return release


def read_production(folder: PushFolder, state: State) -> releases.Release:
    """Reads the release that phones without the candidate of a canary run."""
    assert state.last is not None  # a model without a pointer or a history has no release to try
    named = state.last.production
    return releases.read_release(folder, state.model, named.version, named.manifest_sha256)


def make_open_error(model: str, production: int, tried: Canary) -> UsageError:
    """Returns the error for a change that has to wait until the canary ends.

    Args:
        model: Its name in the store.
        production: The version in production, to which a rollback returns.
        tried: The open canary.
    """
    return UsageError(
        f"A canary is open: {tried.share} run {model} {tried.version}.",
        "There is one canary at a time, and it ends before anything else gets into production.",
        f"End it with `edgeline promote {tried.version} --reason R` or `edgeline rollback --to {production}"
        f" --reason R`, or widen it with `edgeline rollout {tried.version} --percent P --reason R`.",
    )
