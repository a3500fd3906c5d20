"""Pushing releases, and switching production between them: always all or nothing.

Readers go by `edge/<model>/current.json`: a release is in production from the instant at which that file
names it, and it is replaced by one rename. So every step before that rename is invisible to readers, and
every step after it is bookkeeping that can be redone:

1. Lock the push folder (flock, which the system frees when a process ends), open the state that the change
   follows from (`state.py`), and repair what a crashed writer left (`writing.py`).
2. Copy everything into `.scratch/push@<model>@<version>/`, then the manifest. Files, then folders, are synced
   to disk. Nearly all failures for lack of space happen here, where nothing is visible yet.
3. Write the next models.config and current.json into `.scratch/switch/`, synced. From here on there are only
   renames.
4. Rename the two parts to `serving/<model>/<version>` and `edge/<model>/<version>`. Each is complete from its
   first instant, and nothing names it. The scratch folder stays: it marks the version as unfinished.
5. Rename models.config into place. TF Serving loads the new version, which is complete, or still has the old
   one.
6. Rename current.json into place, with the signed pointer in it: the release is in production.
7. Append the audit line (current.json already holds it), and remove the scratch folders.

A kill before 6 leaves the old release in production; the next writer resets the pin, and then removes the
version of each push whose scratch folder is left and that no pointer and no history names. A kill after 6
leaves the new release in production, and the next writer does step 7. Between 5 and 6 TF Serving and phones
may differ by one release, both complete, until then. Folders without such a mark are removed only if
the audit log says that they were collected: `collect_releases` first makes that change by the same rename,
and then removes the folders. After a kill in between they count as gone, and the next writer removes the
rest.

In an object store all this happens to a local copy, and `mirror.py` writes the difference back, the pointer
last; `lease.py` is the lock there.
"""

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edgeline.errors import HeldBack
from edgeline.journal import parse_time
from edgeline.release import durable, writing
from edgeline.release.acceptance import check_push
from edgeline.release.candidate import Candidate, check_candidate, stage
from edgeline.release.layout import PushFolder, Root, check_name, hash_bytes
from edgeline.release.pointer import Canary, Pointer, Production
from edgeline.release.releases import Release, read_release
from edgeline.release.releases import current as current
from edgeline.release.releases import find_collected as find_collected
from edgeline.release.releases import find_rollout as find_rollout
from edgeline.release.releases import find_version as find_version
from edgeline.release.releases import get as get
from edgeline.release.releases import models as models
from edgeline.release.releases import releases as releases
from edgeline.release.signing import Key
from edgeline.release.state import State, open_state
from edgeline.release.switch import make_open_error, read_production
from edgeline.release.switch import promote as promote
from edgeline.release.switch import rollback as rollback
from edgeline.release.switch import rollout as rollout
from edgeline.release.verify import list_known_versions as list_known_versions
from edgeline.release.verify import verify as verify
from edgeline.store.locations import locate


def push(root: Root, model: str, candidate: Candidate) -> Release:
    """Pushes a copy of `candidate`, never links, as the next version of `model`, and puts it in production.

    With its `canary_percent` it opens a canary instead, unless it is the first release. A missing push folder
    is made; in an object store, the bucket has to exist.

    Args:
        root: The store.
        model: Its name there; a new one begins with version 1.
        candidate: Its files stay the caller's, and have to stay as they are until this returns.

    Returns:
        The release, as it is read from the store after the push.

    Raises:
        UsageError: Phones would refuse the candidate after the release in production, see `check_push`; or a
            canary is open.
        HeldBack: A newer version than the one that it was compared with is in production.
        EdgelineError: The candidate cannot be released, the disk is full, read-only or failing, or the
            object store cannot be used. Production is as it was before.
        WorkspaceLocked: Another writer held the push folder for too long.
    """
    check_name(model, "model name")
    check_candidate(candidate)
    place = locate(root)
    doing = f"Pushing {model} to {place}"
    if isinstance(place, Path):
        with durable.explain_errors(place, doing):
            durable.make_folders(place)
    key, percent = candidate.signing_key, candidate.canary_percent
    with writing.open_for_writing(place, doing, model, key, candidate.trusted_keys) as (folder, state):
        released = writing.of_releases(place, folder)
        contract = candidate.preprocessing
        check_push(released, model, candidate.rollback_epoch, key is not None, percent, contract)
        last = state.last
        version = state.choose_next_version(folder)
        if last and last.candidate:
            raise make_open_error(model, last.to_version, last.candidate)
        before = candidate.compared_with
        if last and before is not None and last.to_version > before:
            what = f"compared its model with version {before}" if before else "judged its model by itself"
            raise HeldBack(
                f"Version {last.to_version} came into production since this run {what}.",
                f"Its model may be worse than version {last.to_version}.",
                f"Start a new run, which compares its model with version {last.to_version}.",
            )
        production = read_production(released, state) if percent and last else None
        digest = hash_bytes(stage(candidate, folder, model, version))
        reason = f"run {candidate.run}"
        if production and percent:
            opened = Canary(version, digest, float(percent))
            change = state.make_change("rollout", production.named, reason, candidate=opened)
        else:
            change = state.make_change("push", Production(version, digest), reason)
        signed = state.seal(change, candidate.pointer_days)
        writing.put_in_production(folder, model, change, signed, new=version)
    return read_release(PushFolder(place), model, version, digest)


def repair(root: Root) -> None:
    """Completes what a killed writer left undone, such as the line of the audit log on its push.

    Raises:
        EdgelineError: The push folder cannot be written.
        WorkspaceLocked: Another writer held it for too long.
    """
    place = locate(root)
    with writing.lock_folder(place, f"Repairing {place}") as locked, writing.keep_in_line(place, *locked):
        pass


def renew(
    root: Root, model: str, key: Key, days: float | None = None, trusted: Collection[str] = ()
) -> Pointer | None:
    """Lets the signed pointer expire later, if a fifth of its life or more is over, or its key is another.

    Args:
        root: The store.
        model: Its name there.
        key: Signs the pointer; without it, an unsigned one stays unsigned.
        days: The days from now until it expires; None for as many as it was issued for.
        trusted: Public keys whose signatures `key` continues, with a line in the log.

    Returns:
        The pointer, new or as it was; None if nothing is in production.

    Raises:
        UsageError: The pointer is signed, and no key is given.
        Unvouched: The key would sign what no key of its owner has signed, see `open_state`.
        EdgelineError: The clock is wrong, or the push folder cannot be written.
    """
    place = locate(root)
    state = open_state(PushFolder(place), model, key, trusted)
    if state.last is None:
        return None
    if not _is_due(state):
        return state.pointer
    doing = f"Renewing the pointer to {model}"
    with writing.open_for_writing(place, doing, model, key, trusted) as (folder, state):
        assert state.last is not None
        change = state.last
        if state.is_handover:
            reason = f"the key changed from {state.signer} to {state.own_key}"
            change = state.make_change("rotate", change.production, reason, candidate=change.candidate)
        signed = state.seal(change, days)
        writing.put_in_production(folder, model, change, signed)
    return signed.read()[0]


def _is_due(state: State) -> bool:
    if state.pointer is None:
        return True
    age = datetime.now(timezone.utc) - parse_time(state.pointer.issued)
    is_recent = timedelta() <= age < state.pointer.life / 5  # of the future, the clock was wrong
    return not is_recent or state.is_handover or (state.key is not None and state.pointer.log is None)
