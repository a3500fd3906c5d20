"""Photos in a folder a class: SRC/<label>/**.jpg."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.importers.source import PHOTO_SUFFIXES, Offers, Refused, Source, clean_text, find_within
from errors import DataRefused

_SPLITS = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"))


def folder_source(root: Path, folders: Sequence[Path]) -> Source:
    """The photos below the class folders of `root`.

    Raises:
        DataRefused: A class folder has no photo, or the folders are splits and not classes.
        UsageError: The name of a folder cannot be a label.
    """
    labels = {folder: clean_text(folder.name, f"The name of a folder in {root}") for folder in folders}
    photos = {folder: photos_below(folder) for folder in folders}
    splits = [folder.name for folder in folders if folder.name.lower() in _SPLITS]
    if (
        splits
        and len(splits) == len(folders)
        and not any(is_photo(entry.name) for folder in folders for entry in folder.iterdir())
    ):
        raise DataRefused(
            f"The folders of {root} are splits, not classes: {', '.join(splits)}.",
            "The split is made again from the sessions, so that no session is on both sides.",
            f"Import the photos of one, for example `edgeline data import {root / splits[0]} --data DIR`,"
            " or list all in a manifest with a column split.",
        )
    empty = [folder.name for folder in folders if not photos[folder]]
    if empty:
        raise DataRefused(
            f"{root} has class folders without a photo: {', '.join(empty)}.",
            f"A class is learned from photos ({', '.join(sorted(PHOTO_SUFFIXES))}).",
            "Put photos in, or move the folders elsewhere.",
        )
    count = sum(map(len, photos.values()))
    return Source(f"a folder a class ({len(folders)} classes)", _offers(root, photos, labels), count)


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


def _offers(root: Path, photos: Mapping[Path, list[Path]], labels: Mapping[Path, str]) -> Offers:
    for folder, paths in photos.items():
        for path in paths:
            where = path.relative_to(root).as_posix()
            if os.path.isdir(path):
                yield Refused(where, "linked-folder" if os.path.islink(path) else "unreadable-folder")
            else:
                yield find_within(root, path, where, labels[folder], name=where)
