"""Upkeep of a release store that no run needs: another key, a person's vouching, and collecting old releases.

Each is a change like those of `store.py`, under the same lock, and all or nothing.
"""

from collections.abc import Collection

from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import clean_reason
from edgeline.release import writing
from edgeline.release.history import (
    Collected,
    append_change,
    find_previous_version,
    read_history,
    read_pointer,
)
from edgeline.release.layout import PushFolder, Root
from edgeline.release.memory import remember
from edgeline.release.pointer import Pointer
from edgeline.release.releases import list_released_versions, releases
from edgeline.release.signing import Key, format_public_key
from edgeline.release.state import open_state
from edgeline.release.trust import Claim, make_claim
from edgeline.store.locations import locate, measure_size


def rotate(root: Root, model: str, old: Key, new: Key, trusted: Collection[str] = ()) -> Pointer | None:
    """Hands a store over from one key to another: the pointer is signed with both, and the log says so.

    Phones that trust either key accept it, until the next change or renewal is signed with the new one alone.

    Args:
        root: The store.
        model: Its name there.
        old: The key that signed the pointer; not None.
        new: The key that signs from now on; not None.
        trusted: Public keys whose signatures both continue beside their own.

    Returns:
        The pointer; None if nothing is in production.

    Raises:
        UsageError: The new key has signed the pointer already.
        EdgelineError: As for `renew`.
    """
    assert old is not None and new is not None
    place = locate(root)
    own = format_public_key(old.public_key())
    if open_state(PushFolder(place), model, old, trusted).last is None:
        return None
    doing = f"Changing the key of {model}"
    with writing.open_for_writing(place, doing, model, new, (*trusted, own)) as (folder, state):
        assert state.last is not None
        if not state.is_handover:
            raise UsageError(
                f"The pointer to {model} is signed with {state.own_key} already.",
                "There is no other key to change from.",
                "Go on with that key: set push.key to its file.",
            )
        production, candidate = state.last.production, state.last.candidate
        reason = f"the key changes from {state.signer} to {state.own_key}"
        change = state.make_change("rotate", production, reason, candidate=candidate)
        signed = state.seal(change, also=old)
        writing.put_in_production(folder, model, change, signed)
    return signed.read()[0]


def find_claim(root: Root, model: str, key: Key, trusted: Collection[str] = ()) -> Claim | None:
    """Returns what `trust` would sign though nobody has signed it; None if everything is signed.

    Args:
        root: The store.
        model: Its name there.
        key: The key that would sign; None where there is none.
        trusted: Public keys whose signatures count as its own.

    Raises:
        EdgelineError: The store cannot be read.
    """
    return make_claim(PushFolder(locate(root)), PushFolder(locate(root)), model, key, trusted)


def trust(
    root: Root, model: str, key: Key, claim: Claim, reason: str, trusted: Collection[str] = ()
) -> Pointer:
    """Signs what a person has looked at, and writes into the log that they did.

    Args:
        root: The store.
        model: Its name there.
        key: Signs the pointer.
        claim: As `find_claim` returned it and the person saw it.
        reason: For the log, by that person; not empty.
        trusted: The same as for `find_claim`.

    Returns:
        The pointer that is signed now.

    Raises:
        EdgelineError: The store is not as it was when the person looked, or it cannot be written.
        WorkspaceLocked: Another writer held the push folder for too long.
    """
    reason = clean_reason(reason)
    place = locate(root)
    with writing.lock_folder(place, f"Signing {model} in {place}") as (folder, publish):
        if make_claim(folder, PushFolder(place), model, key, trusted) != claim:
            raise EdgelineError(
                f"{model} in {place} changed meanwhile.",
                "What would be signed is not what was shown. Nothing was changed.",
                "Run the command again, and look again.",
            )
        state = claim.make_state(key)
        state.check_clock(writing.read_store_clock(place))
        append_change(folder, model, claim.last)
        with writing.keep_in_line(place, folder, publish):
            change = claim.make_change(state, reason)
            signed = state.seal(change)
            writing.put_in_production(folder, model, change, signed)
        remember(place, folder, model)
    return signed.read()[0]


def collect_releases(
    root: Root, model: str, keep: int, dry_run: bool = False, key: Key = None, trusted: Collection[str] = ()
) -> dict[int, int]:
    """Removes all but the newest `keep` releases, production, a candidate, and the one a rollback goes to.

    Args:
        root: The store.
        model: Its name there; one that is not there has nothing to remove.
        keep: At least 1; production and the others count if they are among the newest.
        dry_run: True removes nothing, and needs no key.
        key: As for `promote`.
        trusted: As for `promote`.

    Returns:
        The size in bytes of each version that is removed, or would be.

    Raises:
        UsageError: The pointer is signed and no key is given.
        EdgelineError: The release in production, or the one before it, is not known, or the push folder
            cannot be written.
        WorkspaceLocked: Another writer held the push folder for too long.
    """
    place = locate(root)
    if (sizes := _measure_removable(PushFolder(place), model, keep)) and not dry_run:
        doing = f"Collecting releases of {model} in {place}"
        with writing.open_for_writing(place, doing, model, key, trusted) as (folder, state):
            released = writing.of_releases(place, folder)
            sizes = _measure_removable(released, model, keep)  # again, now that no other writer can interfere
            last = state.last
            assert last is not None
            identities = {release.version: release.identity for release in releases(released, model)}
            removed = [Collected(version, identities.get(version)) for version in sizes]
            reason = f"all but the newest {keep}, production and the one before it"
            change = state.make_change("collect", last.production, reason, removed, last.candidate)
            writing.put_in_production(folder, model, change, state.seal(change))
    return sizes


def _measure_removable(folder: PushFolder, model: str, keep: int) -> dict[int, int]:
    """Returns the size in bytes of each version that `collect_releases` removes, by rising version."""
    if model not in folder.models():
        return {}
    history = read_history(folder, model)
    pointer = read_pointer(folder, model)
    changes = [change for change in history.changes if change.number >= history.first]
    numbers = [change.number for change in changes]
    if pointer is None or numbers != list(range(history.first, pointer.number + 1)):
        raise EdgelineError(
            f"{folder.relative(folder.edge(model))}: it is unknown which releases were in production.",
            "current.json or lines of history.jsonl are missing or cannot be read. Nothing was collected.",
            "Run `edgeline verify` for details; restore the file from a backup, or put a release in"
            " production with `edgeline promote V --reason R`.",
        )

    released = list_released_versions(folder, model)
    needed = {*pointer.versions, find_previous_version(changes), *sorted(released)[-keep:]}
    return {
        version: sum(map(measure_size, folder.parts(model, version).values()))
        for version in sorted(released - needed)
    }
