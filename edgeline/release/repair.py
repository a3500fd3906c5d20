"""Repairs what a killed writer left: its line of the log and its pins, or the files of a dead push."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from edgeline.release import durable
from edgeline.release.history import History, catch_up, read_history
from edgeline.release.layout import PushFolder
from edgeline.release.pins import compute_pins, pins_match, render_pins


def repair_folder(folder: PushFolder[Path], is_over: Callable[[str], bool]) -> None:
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
