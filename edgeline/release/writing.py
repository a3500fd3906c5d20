"""The one writer of a push folder: it locks the folder, repairs it, and puts its change in production."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from edgeline.release import durable, lease
from edgeline.release.history import (
    Change,
    History,
    append_change,
    find_pointer,
    read_history,
    render_pointer,
)
from edgeline.release.layout import PushFolder, refuse_links
from edgeline.release.memory import remember
from edgeline.release.mirror import Mirror
from edgeline.release.pins import compute_pins, pins_match, render_pins
from edgeline.release.pointer import Envelope
from edgeline.release.signing import Key
from edgeline.release.state import State, open_state
from edgeline.store import objects
from edgeline.store.locations import Location

# A push of a few megabytes takes a second; a writer that takes longer than this is stuck.
LOCK_WAIT_S = 60.0

_LOG = logging.getLogger(__name__)


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


@contextmanager
def keep_in_line(place: Location, folder: PushFolder[Path], publish: Callable[[], None]) -> Iterator[None]:
    """Repairs a locked push folder before a change and after it, and publishes both.

    Args:
        place: The store.
        folder: The store itself on a disk, else the local copy of it; as `lock_folder` yields it.
        publish: Writes the changes of a copy to the store; as `lock_folder` yields it.
    """
    before = {model: find_pointer(folder, model) for model in folder.models()}

    def is_over(model: str) -> bool:
        """Returns true if no writer can still push the model: a disk's lock is never taken over."""
        return isinstance(place, Path) or find_pointer(folder, model) != before.get(model)

    repair_folder(folder, is_over)
    publish()
    try:
        yield
    finally:
        try:  # removes a failed push; after a successful one, appends the audit line
            repair_folder(folder, is_over)
        except OSError as error:
            _LOG.warning("%s: the clean-up failed and is left to the next writer: %s", place, error)
    publish()


def repair_folder(folder: PushFolder[Path], is_over: Callable[[str], bool]) -> None:
    """Brings all files in line with the pointers and removes dead pushes; only for the holder of the lock."""
    histories = {model: read_history(folder, model) for model in folder.models()}
    for model, history in histories.items():
        if history.last is not None:
            append_change(folder, model, history.last)

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
    """Locks the push folder; yields it, and the state of the model that a writer with this key continues.

    Args:
        place: The store.
        doing: The work, as an error's first words: "Pushing shelf to /store".
        model: Its name there.
        key: As for `open_state`.
        trusted: As for `open_state`.

    Raises:
        EdgelineError: As for `open_state` and `State.check_clock`, or the store cannot be written.
        WorkspaceLocked: Another writer held it for longer than `LOCK_WAIT_S`.
    """
    with lock_folder(place, doing) as (folder, publish):
        state = open_state(folder, model, key, trusted, place)
        state.check_clock(read_store_clock(place))
        with keep_in_line(place, folder, publish):
            yield folder, state
        remember(place, folder, model)


def put_in_production(
    folder: PushFolder[Path], model: str, change: Change, signed: Envelope, new: int | None = None
) -> None:
    """Does steps 3 to 6 of `store.py`.

    Args:
        folder: The folder that the writer has locked, or its local copy of a store.
        model: Its name there.
        change: The next one; the clean-up of `keep_in_line` appends its line.
        signed: The pointer, sealed for this change.
        new: The version whose folders are still in scratch; None where the change brings none.
    """
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
