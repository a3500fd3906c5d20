"""Pushing releases, and switching production between them: always all or nothing.

Readers go by `edge/<model>/current.json`: a release is in production from the instant at which that file
names it, and it is replaced by one rename. So every step before that rename is invisible to readers, and
every step after it is bookkeeping that can be redone:

1. Lock the push folder (flock, which the system frees when a process ends), open the state that the change
   follows from (`state.py`), and repair what a crashed writer left.
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

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edgeline.errors import EdgelineError, HeldBack, UsageError
from edgeline.journal import clean_reason, parse_time
from edgeline.release import durable, lease
from edgeline.release.acceptance import check_canary, check_push, check_switch
from edgeline.release.candidate import Candidate, check_candidate, stage
from edgeline.release.history import (
    Action,
    Change,
    History,
    catch_up,
    find_pointer,
    find_previous_version,
    read_history,
    render_pointer,
)
from edgeline.release.layout import HISTORY, PushFolder, Root, check_name, hash_bytes, refuse_links
from edgeline.release.memory import remember
from edgeline.release.mirror import Mirror
from edgeline.release.pins import compute_pins, pins_match, render_pins
from edgeline.release.pointer import MAX_PERCENT, MIN_PERCENT, Canary, Envelope, Pointer, Production
from edgeline.release.releases import (
    Release,
    list_released_versions,
    make_missing_model_error,
    make_missing_release_error,
    models,
    read_release,
)
from edgeline.release.releases import current as current
from edgeline.release.releases import find_collected as find_collected
from edgeline.release.releases import find_rollout as find_rollout
from edgeline.release.releases import find_version as find_version
from edgeline.release.releases import get as get
from edgeline.release.releases import releases as releases
from edgeline.release.signing import Key
from edgeline.release.state import State, Unvouched, make_no_key_error, open_state
from edgeline.release.verify import find_release_problems
from edgeline.release.verify import list_known_versions as list_known_versions
from edgeline.release.verify import verify as verify
from edgeline.store import objects
from edgeline.store.locations import Location, locate

# A push of a few megabytes takes a second; a writer that takes longer than this is stuck.
LOCK_WAIT_S = 60.0

_LOG = logging.getLogger(__name__)


def push(root: Root, model: str, candidate: Candidate) -> Release:
    """Pushes a copy of `candidate`, never links, as the next version of `model`, and puts it in production.

    With its `canary_percent` it opens a canary instead, unless it is the first release. A missing push folder
    is made; in an object store, the bucket has to exist.

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
    if isinstance(place, Path):
        with durable.explain_errors(place, f"Pushing {model} to {place}"):
            durable.make_folders(place)
    key, percent = candidate.signing_key, candidate.canary_percent
    with open_for_writing(place, f"Pushing {model} to {place}", model, key, candidate.trusted_keys) as writer:
        folder, state = writer
        released = of_releases(place, folder)
        contract = candidate.preprocessing
        check_push(released, model, candidate.rollback_epoch, key is not None, percent, contract)
        last = state.last
        version = state.choose_next_version(folder)
        if last and last.candidate:
            raise _make_open_error(model, last.to_version, last.candidate)
        before = candidate.compared_with
        if last and before is not None and last.to_version > before:
            what = f"compared its model with version {before}" if before else "judged its model by itself"
            raise HeldBack(
                f"Version {last.to_version} came into production since this run {what}.",
                f"Its model may be worse than version {last.to_version}.",
                f"Start a new run, which compares its model with version {last.to_version}.",
            )
        production = _read_production(released, state) if percent and last else None
        digest = hash_bytes(stage(candidate, folder, model, version))
        reason = f"run {candidate.run}"
        if production and percent:
            opened = Canary(version, digest, float(percent))
            change = state.make_change("rollout", production.named, reason, candidate=opened)
        else:
            change = state.make_change("push", Production(version, digest), reason)
        put_in_production(folder, state, change, candidate.pointer_days, new=version)
    return read_release(PushFolder(place), model, version, digest)


def repair(root: Root) -> None:
    """Completes what a killed writer left undone, such as the line of the audit log on its push.

    Raises:
        EdgelineError: The push folder cannot be written.
        WorkspaceLocked: Another writer held it for too long.
    """
    place = locate(root)
    with lock_folder(place, f"Repairing {place}") as locked, keep_in_line(place, *locked):
        pass


def renew(
    root: Root, model: str, key: Key, days: float | None = None, trusted: Collection[str] = ()
) -> Pointer | None:
    """Lets the signed pointer expire later, if a fifth of its life or more is over, or its key is another.

    It then expires in `days`, by default as many as it was issued for; without a key, an unsigned one stays
    unsigned. A pointer that one of the `trusted` keys signed is continued by this one, with a line in the
    log. Returns the pointer, None if nothing is in production.

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
    with open_for_writing(place, f"Renewing the pointer to {model}", model, key, trusted) as (folder, state):
        assert state.last is not None
        change = state.last
        if state.is_handover:
            reason = f"the key changed from {state.signer} to {state.own_key}"
            change = state.make_change("rotate", change.production, reason, candidate=change.candidate)
        signed = put_in_production(folder, state, change, days)
    return signed.read()[0]


def _is_due(state: State) -> bool:
    if state.pointer is None:
        return True
    age = datetime.now(timezone.utc) - parse_time(state.pointer.issued)
    is_recent = timedelta() <= age < state.pointer.life / 5  # of the future, the clock was wrong
    return not is_recent or state.is_handover or (state.key is not None and state.pointer.log is None)


def promote(
    root: Root,
    model: str,
    version: int,
    reason: str,
    key: Key = None,
    seen: Change | None = None,
    trusted: Collection[str] = (),
) -> Release:
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
) -> Release:
    """Goes back to an earlier release; takes milliseconds.

    While a canary is open, it withdraws the candidate: all phones go back to the release in production. Else
    it goes to the version `to`, if None to the release in production before the current one, but never to one
    that was itself rolled back. The other arguments are as for `promote`.

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
) -> Release:
    """Opens a canary: a share of phones runs an existing release until `promote` or `rollback` ends it.

    The open canary can be widened, to a larger `percent` (0.01 to 99.99) of the same version. The other
    arguments are as for `promote`.

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


@contextmanager
def lock_folder(place: Location, doing: str) -> Iterator[tuple[PushFolder[Path], Callable[[], None]]]:
    """Locks the push folder; yields it, or its local copy, and a function that publishes the changes."""
    if isinstance(place, Path):
        folder = PushFolder(place, keeps=True)
        with durable.explain_errors(place, doing), durable.only_writer(folder.lock, LOCK_WAIT_S):
            refuse_links(folder)
            yield folder, lambda: None  # readers see each change as it is made
        return
    with (
        lease.only_writer(PushFolder(place).lock, LOCK_WAIT_S) as held_lease,
        durable.explain_errors(Path(tempfile.gettempdir()), doing),
        tempfile.TemporaryDirectory(prefix="edgeline-push-") as scratch,
    ):
        mirror = Mirror(place, Path(scratch), held_lease)
        mirror.fetch()
        yield mirror.folder, mirror.publish


def of_releases(place: Location, folder: PushFolder[Path]) -> PushFolder:
    """Returns the folder to read releases from: the writer's own, or the store that it copied names from."""
    return folder if isinstance(place, Path) else PushFolder(place, keeps=True)


def read_store_clock(place: Location) -> datetime | None:
    """Returns the date that the store gave its lock, which this writer holds; None if it gives none."""
    lock = PushFolder(place).lock
    if isinstance(lock, Path):
        os.utime(lock)  # by the clock of the file system, which on a network is a server's
        return datetime.fromtimestamp(lock.stat().st_mtime, timezone.utc)
    return objects.date_of(lock)


@contextmanager
def open_for_writing(
    place: Location, doing: str, model: str, key: Key, trusted: Collection[str]
) -> Iterator[tuple[PushFolder[Path], State]]:
    """Locks the push folder; yields it, and the state of the model that a writer with this key continues."""
    with lock_folder(place, doing) as (folder, publish):
        state = open_state(folder, model, key, trusted, place)
        state.check_clock(read_store_clock(place))
        with keep_in_line(place, folder, publish):
            yield folder, state
        remember(place, folder, model)


@contextmanager
def keep_in_line(place: Location, folder: PushFolder[Path], publish: Callable[[], None]) -> Iterator[None]:
    """Repairs a locked push folder before a change and after it, and publishes both."""
    before = {model: find_pointer(folder, model) for model in folder.models()}

    def is_over(model: str) -> bool:
        """Returns true if no writer can still push the model: a disk's lock is never taken over."""
        return isinstance(place, Path) or find_pointer(folder, model) != before.get(model)

    _repair(folder, is_over)
    publish()
    try:
        yield
    finally:
        try:  # removes a failed push; after a successful one, appends the audit line
            _repair(folder, is_over)
        except OSError as error:
            _LOG.warning("%s: the clean-up failed and is left to the next writer: %s", place, error)
    publish()


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
) -> Release:
    check_name(model, "model name")
    reason = clean_reason(reason)
    place = locate(root)
    if model not in models(place):
        raise make_missing_model_error(PushFolder(place), model)
    seen = seen or find_pointer(PushFolder(place), model)
    doing = f"{action.capitalize()} of {model}"
    with open_for_writing(place, doing, model, key, trusted) as (folder, state):
        target = _choose_target(folder, state, action, version, percent, seen)
        released = of_releases(place, folder)
        release = _check_target(released, state, action, target)

        if action == "rollout":
            production = _read_production(released, state)
            check_canary(production, release.manifest.rollback_epoch)
            opened = Canary(target, release.manifest_sha256, float(percent))
            change = state.make_change(action, production.named, reason, candidate=opened)
        else:
            # Nothing vouches for a manifest that was changed since: production keeps the digest of its push.
            stays = state.last is not None and target == state.last.to_version
            named = state.last.production if state.last and stays else release.named
            change = state.make_change(action, named, reason)
        put_in_production(folder, state, change)
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
    released = list_released_versions(folder, model)
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
            raise _make_open_error(model, last.to_version, tried)
    if target not in released:
        how = " with --to V" if action == "rollback" else ""
        raise make_missing_release_error(model, target, state.history, others, how)
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


def _check_target(folder: PushFolder, state: State, action: Action, target: int) -> Release:
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
        others = sorted(list_released_versions(folder, model) - {target})
        raise EdgelineError(
            f"{model} {target} is damaged: {' '.join(problems)}",
            "Phones and servers would refuse it or misbehave. Production was not changed.",
            f"Pass another release (other releases: {', '.join(map(str, others)) or 'none'}), or restore"
            " those files from a backup.",
        )

    release = read_release(folder, model, target)
    for warning in check_switch(folder, release):
        _LOG.warning("%s %s: %s", model, target, warning)
    if state.key is None and release.manifest.signed_by and state.pointer is None:
        raise make_no_key_error(model)
    return release


def _read_production(folder: PushFolder, state: State) -> Release:
    """Reads the release that phones without the candidate of a canary run."""
    assert state.last is not None  # a model without a pointer or a history has no release to try
    named = state.last.production
    return read_release(folder, state.model, named.version, named.manifest_sha256)


def _make_open_error(model: str, production: int, tried: Canary) -> UsageError:
    return UsageError(
        f"A canary is open: {tried.share} run {model} {tried.version}.",
        "There is one canary at a time, and it ends before anything else gets into production.",
        f"End it with `edgeline promote {tried.version} --reason R` or `edgeline rollback --to {production}"
        f" --reason R`, or widen it with `edgeline rollout {tried.version} --percent P --reason R`.",
    )


def put_in_production(
    folder: PushFolder[Path],
    state: State,
    change: Change,
    days: float | None = None,
    *,
    new: int | None = None,
    also: Key = None,
) -> Envelope:
    """Does steps 3 to 6 of the module's docstring; the folders of the version `new` are still in scratch.

    `days` and `also` are as in `State.seal`, whose envelope is returned.
    """
    model = state.model
    signed = state.seal(change, days, also)
    switch = folder.scratch / "switch"
    durable.make_folders(switch)
    pins = {**compute_pins(folder), model: change.versions}
    durable.write_file(switch / "models.config", render_pins(pins))
    durable.write_file(switch / "current.json", render_pointer(change, signed))
    if new is not None:
        for part, target in folder.parts(model, new).items():
            durable.make_folders(target.parent)
            durable.move(folder.push_scratch(model, new) / part, target)
    folder.forget(folder.pins, folder.pointer(model))
    durable.move(switch / "models.config", folder.pins)
    os.rename(switch / "current.json", folder.pointer(model))
    try:
        durable.sync_folder(folder.edge(model))
    except OSError as error:  # too late for an error: readers see the new release
        _LOG.warning("%s was renamed, but may not be on the disk yet: %s", folder.pointer(model), error)
    return signed


def _repair(folder: PushFolder[Path], is_over: Callable[[str], bool]) -> None:
    """Brings all files in line with the pointers and removes dead pushes; only for the holder of the lock."""
    histories = {model: read_history(folder, model) for model in folder.models()}
    for model, history in histories.items():
        catch_up(folder, model, history)

    # Pins come before removals: TF Serving may have been told to load a version that is removed.
    pins = compute_pins(folder)
    if not pins_match(folder, pins):
        durable.make_folders(folder.scratch)
        durable.make_folders(folder.pins.parent)
        durable.write_file(folder.scratch / "models.config", render_pins(pins))
        folder.forget(folder.pins)
        durable.move(folder.scratch / "models.config", folder.pins)

    unfinished = folder.unfinished_pushes()
    alive = {(model, version) for model, version in unfinished if not is_over(model)}
    for model, version in sorted(_find_dead(unfinished - alive, histories)):
        for part in folder.parts(model, version).values():
            if part.exists():
                shutil.rmtree(part)
                durable.sync_folder(part.parent)
    _empty_scratch(folder, {folder.push_scratch(model, version) for model, version in alive})


def _find_dead(unfinished: set[tuple[str, int]], histories: Mapping[str, History]) -> set[tuple[str, int]]:
    """Returns model and version of each push that never ended, and of each collected release."""
    dead = set()
    for model, version in unfinished:
        if model not in histories or version not in histories[model].manifests:
            dead.add((model, version))
    for model, history in histories.items():
        if history.has_pointer:  # else anybody may have written that they were collected
            dead |= {(model, version) for version in history.collected}
    return dead


def _empty_scratch(folder: PushFolder[Path], needed: set[Path]) -> None:
    """Removes what writers left, but the folders that are needed."""
    if not folder.scratch.exists():
        return
    for path in folder.scratch.iterdir():
        if path not in needed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not needed:
        folder.scratch.rmdir()
