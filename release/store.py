"""Pushing a release, changing which is in production, and collecting old ones: all or nothing, always.

What a reader sees. `edge/<model>/current.json` is the truth: a release is in production from the instant at
which that file names it, and it is replaced by one rename. So every step before that rename is invisible to
whoever starts there, and every step after it is bookkeeping that can be redone:

1. Lock the push folder (flock, which the system frees when a process ends) and fix what a crashed writer
   left.
2. Copy everything into `.scratch/push@<model>@<version>/`, then the manifest. Files, then folders, are synced
   to disk. Nearly everything that can fail for want of space fails here, where nothing is visible yet.
3. Write the next models.config and current.json into `.scratch/switch/`, synced. From here on there are only
   renames.
4. Rename the two parts to `serving/<model>/<version>` and `edge/<model>/<version>`. Each is whole from its
   first instant, and nothing names it. The scratch folder stays: it marks the version as unfinished.
5. Rename models.config into place. TF Serving loads the new version, which is whole, or still has the old
   one.
6. Rename current.json into place: the release is in production.
7. Append the audit line (current.json already holds it), and remove the scratch folders.

Killed before 6, production is the old release; the next writer sets the pin back, and then removes the
version of each push whose scratch folder is left and that no pointer and no history names. Killed after 6, it
is the new one, and the next writer does step 7. Between 5 and 6 TF Serving and phones may differ by one
release, both whole, until then. Folders without such a mark are never removed, unless the audit log says that
they were collected: `collect` makes a change that says so, by the same rename, and only then they go. Killed
in between, they count as gone, and the next writer removes what is left of them.

In an object store all this happens to a local copy, and `mirror.py` writes the difference back, the pointer
last; `lease.py` is the lock there.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import EdgelineError, UsageError
from locations import Location, locate, size_below
from release import durable, lease
from release.acceptance import check_push, check_switch
from release.candidate import Candidate, check, stage
from release.documents import sha256_of_bytes
from release.history import (
    Action,
    Change,
    Collected,
    catch_up,
    find_pointer,
    next_change,
    previous_version,
    read_history,
    read_pointer,
    render_pointer,
)
from release.layout import PushFolder, checked_name
from release.mirror import Mirror
from release.pins import pins_are, render_pins, wanted_pins
from release.releases import Release, current, find_version, models, read_release, released_versions, releases
from release.verify import known_versions, no_release, nothing_of, release_problems, verify

__all__ = [
    "Candidate",
    "Release",
    "check_push",
    "collect",
    "current",
    "find_version",
    "known_versions",
    "models",
    "promote",
    "push",
    "releases",
    "rollback",
    "verify",
]

# A push of a few megabytes takes a second; a writer that takes longer than this is stuck.
LOCK_WAIT_S = 60.0

_LOG = logging.getLogger(__name__)


def push(root: str | Location, model: str, candidate: Candidate) -> Release:
    """Release `candidate`, copied and never linked, as the next version of `model`, and put it in production.

    A push folder is made where it is missing; in an object store, the bucket has to be there.

    Raises:
        UsageError: Phones would refuse the candidate after what is in production, see `check_push`.
        EdgelineError: The candidate cannot be released, the disk is full, read-only or failing, or the
            object store cannot be used. Production is as it was before.
        WorkspaceLocked: Another writer held the push folder for too long.
    """
    checked_name(model, "model name")
    check(candidate)
    place = locate(root)
    if isinstance(place, Path):
        with durable.explained(place, f"Pushing {model} to {place}"):
            durable.make_folders(place)
    with _writer(place, f"Pushing {model} to {place}") as folder:
        check_push(place, model, candidate.rollback_epoch, candidate.signing_key is not None)
        version = _next_version(folder, model)
        raw = stage(candidate, folder, model, version)
        change = next_change(folder, model, "push", version, sha256_of_bytes(raw), f"run {candidate.run}")
        _put_in_production(folder, model, change, new=True)
    return read_release(PushFolder(place), model, version, change.manifest_sha256)


def promote(root: str | Location, model: str, version: int, reason: str) -> Release:
    """Put an existing release in production, newer or older than the one that is; takes milliseconds.

    Raises:
        UsageError: No such model or release, it is in production already, or the reason is empty.
        EdgelineError: The release is damaged, phones would refuse its rollback epoch, or the push folder
            cannot be written. Production is as it was before.
    """
    return _switch_to(root, model, "promote", version, reason)


def rollback(root: str | Location, model: str, reason: str, to: int | None = None) -> Release:
    """Go back to an earlier release; takes milliseconds.

    By itself it goes to the one that was in production before the current one; a release that was itself
    rolled back is not returned to.

    Raises:
        UsageError: As for `promote`.
        EdgelineError: As for `promote`, there is no earlier release, or somebody else put one in production
            while this waited for the lock.
    """
    return _switch_to(root, model, "rollback", to, reason)


def collect(root: str | Location, model: str, keep: int, dry_run: bool = False) -> dict[int, int]:
    """Remove all releases but the newest `keep`, the one in production, and the one a rollback goes to.

    Returns the bytes of each version that goes; with `dry_run` they stay.

    Raises:
        EdgelineError: What is in production, or was before it, cannot be told, or the push folder cannot be
            written.
        WorkspaceLocked: Another writer held the push folder for too long.
    """
    place = locate(root)
    if (found := _sizes(place, model, keep)) and not dry_run:
        with _writer(place, f"Collecting releases of {model} in {place}") as folder:
            found = _sizes(place, model, keep)  # no writer comes between this look and the change
            last = read_history(folder, model).last
            assert last is not None
            gone = [Collected(version, _identity_of(place, model, version)) for version in found]
            reason = f"all but the newest {keep}, production and the one before it"
            change = next_change(
                folder, model, "collect", last.to_version, last.manifest_sha256, reason, gone
            )
            _put_in_production(folder, model, change, new=False)
    return found


def _sizes(place: Location, model: str, keep: int) -> dict[int, int]:
    """The bytes of each version of a model that `collect` removes, rising."""
    folder = PushFolder(place)
    if model not in folder.models():
        return {}
    changes, pointer = read_history(folder, model).changes, read_pointer(folder, model)
    if pointer is None or [change.number for change in changes] != list(range(1, pointer.number + 1)):
        raise EdgelineError(
            f"{folder.relative(folder.edge(model))}: what is in production, or was before, cannot be told.",
            "current.json or lines of history.jsonl are missing or cannot be read. Nothing was collected.",
            "Details with `edgeline verify`; put the file back from a backup, or a release in production with"
            " `edgeline promote V --reason R`.",
        )
    released = released_versions(folder, model)
    stay = {pointer.to_version, previous_version(changes), *sorted(released)[-keep:]}
    return {
        version: sum(map(size_below, folder.parts(model, version).values()))
        for version in sorted(released - stay)
    }


def _identity_of(place: Location, model: str, version: int) -> str | None:
    try:
        return read_release(PushFolder(place), model, version).identity
    except EdgelineError:
        return None


@contextmanager
def _held(place: Location, doing: str) -> Iterator[tuple[PushFolder[Path], Callable[[], None]]]:
    """The push folder as a local one that no other writer has, and what brings changes to its readers."""
    if isinstance(place, Path):
        folder = PushFolder(place)
        with durable.explained(place, doing), durable.only_writer(folder.lock, LOCK_WAIT_S):
            yield folder, lambda: None  # readers see each change as it is made
        return
    with (
        lease.only_writer(PushFolder(place).lock, LOCK_WAIT_S) as held,
        durable.explained(Path(tempfile.gettempdir()), doing),
        tempfile.TemporaryDirectory(prefix="edgeline-push-") as scratch,
    ):
        mirror = Mirror(place, Path(scratch), held)
        mirror.fetch()
        yield mirror.folder, mirror.publish


@contextmanager
def _writer(place: Location, doing: str) -> Iterator[PushFolder[Path]]:
    with _held(place, doing) as (folder, publish):
        before = {model: find_pointer(folder, model) for model in folder.models()}

        def is_over(model: str) -> bool:
            """Whether nobody who began a push of it can go on: the lock of a disk is not taken over."""
            return isinstance(place, Path) or find_pointer(folder, model) != before.get(model)

        _fix(folder, is_over)
        publish()
        try:
            yield folder
        finally:
            try:  # clears away a failed push; after one that succeeded, appends the audit line
                _fix(folder, is_over)
            except OSError as error:
                _LOG.warning("%s: the next writer has to tidy up, this one could not: %s", place, error)
        publish()


def _switch_to(root: str | Location, model: str, action: Action, version: int | None, reason: str) -> Release:
    checked_name(model, "model name")
    if not reason.strip():
        raise UsageError(
            "The reason is empty.",
            "The audit log says why production changed.",
            'Add --reason "WHY".',
        )
    place = locate(root)
    if model not in models(place):
        raise nothing_of(PushFolder(place), model)
    seen = find_pointer(PushFolder(place), model)
    with _writer(place, f"{action.capitalize()} of {model}") as folder:
        history = read_history(folder, model)
        target = previous_version(history.changes) if version is None else version
        released = released_versions(folder, model)
        pointer = find_pointer(folder, model)  # promoting a release is how a damaged one is fixed
        now = pointer.to_version if pointer else None
        others = released - {now}
        whole = " ".join(history.problems) or "The audit log is whole."
        choice = f"Other releases: {', '.join(map(str, sorted(others))) or 'none'}."
        if version is None and pointer and pointer != seen:
            raise EdgelineError(
                f"{pointer.who} put {model} {now} in production meanwhile: {pointer.action}.",
                "Going back from there would go one release further than was asked for. Nothing was changed.",
                "Look with `edgeline status`, and roll back again where that is still wanted.",
            )
        if target is None:
            raise EdgelineError(
                f"{model} has no release in production before the current one.",
                f"A rollback returns to what was in production before. {whole} {choice}",
                "Name one with `edgeline rollback --to V --reason R`, or run the pipeline for a better one.",
            )
        if target not in released:
            how = " with --to V" if action == "rollback" else ""
            raise no_release(model, target, history, others, how)
        if target == now:
            raise UsageError(
                f"{model} {target} is in production already.", choice, "Name another release, if any."
            )
        if problems := release_problems(PushFolder(place), model, target, history):
            raise EdgelineError(
                f"{model} {target} is damaged: {' '.join(problems)}",
                "Phones and servers would refuse it or misbehave. Production is as it was.",
                f"Name another release ({choice.lower().rstrip('.')}), or restore those files from a backup.",
            )
        release = read_release(PushFolder(place), model, target)
        for warning in check_switch(place, release):
            _LOG.warning("%s %s: %s", model, target, warning)
        change = next_change(folder, model, action, target, release.manifest_sha256, reason.strip())
        _put_in_production(folder, model, change, new=False)
    return release


def _next_version(folder: PushFolder, model: str) -> int:
    versions = folder.version_folders(model)
    for change in read_history(folder, model).changes:
        versions |= {change.to_version, change.from_version or 0}
    return 1 + max(versions, default=0)


def _put_in_production(folder: PushFolder[Path], model: str, change: Change, *, new: bool) -> None:
    """Steps 3 to 6 of the module's docstring; `new` where the version's folders are still in scratch."""
    switch = folder.scratch / "switch"
    durable.make_folders(switch)
    pins = {**wanted_pins(folder), model: change.to_version}
    durable.write_file(switch / "models.config", render_pins(pins))
    durable.write_file(switch / "current.json", render_pointer(change))
    if new:
        for part, target in folder.parts(model, change.to_version).items():
            durable.make_folders(target.parent)
            durable.move(folder.push_scratch(model, change.to_version) / part, target)
    durable.move(switch / "models.config", folder.pins)
    os.rename(switch / "current.json", folder.pointer(model))
    try:
        durable.sync_folder(folder.edge(model))
    except OSError as error:  # too late to say no: readers see the new release
        _LOG.warning("%s is renamed, but perhaps not on the disk yet: %s", folder.pointer(model), error)


def _fix(folder: PushFolder[Path], is_over: Callable[[str], bool]) -> None:
    """Bring everything in line with the pointers, and pushes that are over; only while holding the lock."""
    for model in folder.models():
        catch_up(folder, model)
    pins = wanted_pins(folder)
    if not pins_are(folder, pins):  # before anything is removed that TF Serving may have been told to load
        durable.make_folders(folder.scratch)
        durable.make_folders(folder.pins.parent)
        durable.write_file(folder.scratch / "models.config", render_pins(pins))
        durable.move(folder.scratch / "models.config", folder.pins)
    left = {(m, v) for m, v in folder.unfinished_pushes() if not is_over(m)}
    dead = {
        (m, v) for m, v in folder.unfinished_pushes() - left if v not in read_history(folder, m).manifests
    }
    dead |= {
        (model, version) for model in folder.models() for version in read_history(folder, model).collected
    }
    for model, version in sorted(dead):
        for part in folder.parts(model, version).values():
            if part.exists():
                shutil.rmtree(part)
                durable.sync_folder(part.parent)
    stay = {folder.push_scratch(model, version) for model, version in left}
    for path in folder.scratch.iterdir() if folder.scratch.exists() else ():
        if path not in stay:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not stay and folder.scratch.exists():
        folder.scratch.rmdir()
