"""Photos in a folder a class, SRC/<label>/**.jpg, or in a folder a split and a class in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data.importers.source import PHOTO_SUFFIXES, Offers, Refused, Source, clean_text, find_within
from data.spans.source import SPLITS
from errors import DataRefused

# The names of splits, in the order in which the first that is there becomes eval.
_TRAIN, _EVAL = ("train", "training"), ("val", "valid", "validation", "dev", "eval", "test", "testing")


def folder_source(root: Path, folders: Sequence[Path]) -> Source:
    """The photos below the class folders of `root`, or of each of its splits.

    Of splits `train` is learned from, and the first of `val`, `eval` and `test` that is there is eval; others
    are left out. Where only one of the two sides is there, the split is made as of a folder a class.

    Raises:
        DataRefused: A class folder has no photo.
        UsageError: The name of a folder cannot be a label.
    """
    splits = {folder.name.lower(): folder for folder in folders if photos_below(folder)}
    if not splits.keys() <= {*_TRAIN, *_EVAL} or any(
        is_photo(entry.name) for folder in folders for entry in folder.iterdir()
    ):
        return _class_source(root, {"": folders})
    sides = [next((splits[name] for name in names if name in splits), None) for names in (_TRAIN, _EVAL)]
    taken = {side: folder for side, folder in zip(SPLITS, sides, strict=True) if folder}
    classes = {side if all(sides) else "": _folders_in(folder) for side, folder in taken.items()}
    source = _class_source(root, classes)
    parts = [f"{folder.name}/ is {side}" for side, folder in taken.items()] if all(sides) else []
    parts += [
        f"{folder.name}/ ({len(photos_below(folder))} photos) is left out, to ask the pushed model about"
        for folder in splits.values()
        if folder not in taken.values()
    ]
    about = f": {', '.join(parts)}" if parts else ""
    return replace(source, layout=f"a folder a split, each with {source.layout}{about}")


def _folders_in(folder: Path) -> list[Path]:
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    )


def _class_source(root: Path, folders: Mapping[str, Sequence[Path]]) -> Source:
    """The photos of class folders by the split that they are in; empty where none is said."""
    classes = {folder: side for side, of_side in folders.items() for folder in of_side}
    labels = {
        folder: clean_text(folder.name, f"The name of a folder in {folder.parent}") for folder in classes
    }
    photos = {folder: photos_below(folder) for folder in classes}
    filled = {labels[folder] for folder, paths in photos.items() if paths}
    empty = [folder.relative_to(root).as_posix() for folder in classes if labels[folder] not in filled]
    if empty:
        raise DataRefused(
            f"{root} has class folders without a photo: {', '.join(empty)}.",
            f"A class is learned from photos ({', '.join(sorted(PHOTO_SUFFIXES))}).",
            "Put photos in, or move the folders elsewhere.",
        )
    count = sum(map(len, photos.values()))
    offers = _offers(root, photos, labels, classes)
    return Source(f"a folder a class ({len(set(labels.values()))} classes)", offers, count)


def photos_below(folder: Path) -> list[Path]:
    """Photos, links and unreadable folders below a folder, hidden ones left out; links are not followed."""
    found: list[Path] = []
    unreadable: list[OSError] = []
    for path, folders, names in os.walk(folder, onerror=unreadable.append):
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        found += [Path(path, name) for name in sorted(names) if is_photo(name)]
        found += [Path(path, name) for name in sorted(links)]
    return found + [Path(error.filename) for error in unreadable]


def is_photo(name: str) -> bool:
    """Whether a file's name is a photo's."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def _offers(
    root: Path, photos: Mapping[Path, list[Path]], labels: Mapping[Path, str], splits: Mapping[Path, str]
) -> Offers:
    for folder, paths in photos.items():
        for path in paths:
            where = path.relative_to(root).as_posix()
            if os.path.isdir(path):
                yield Refused(where, "linked-folder" if os.path.islink(path) else "unreadable-folder")
            else:
                yield find_within(root, path, where, labels[folder], name=where, split=splits[folder])
