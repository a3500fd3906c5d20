"""Photos in a folder a class, SRC/<label>/**.jpg, or in a folder a split and a class in it."""

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from data.importers.bands import ONE_LABEL
from data.importers.source import Offers, RefusedPhoto, Source, clean_text, read_photo_within
from data.spans.source import SPLITS
from edgeline.errors import DataRefused
from edgeline.labels import format_count, join_names
from edgeline.records.ingest import SPAN_NAME
from edgeline.tables.unpacking import HIDDEN, PHOTO_SUFFIXES

# The names of splits; the first name of each that is there counts.
_TRAIN, _EVAL = ("train", "training"), ("val", "valid", "validation", "dev", "eval", "test", "testing")
# Splits whose photos a model is to label.
_REST = ("pred", "predict", "prediction", "unlabeled", "unlabelled")
_SET = re.compile(r"[\W_]*(set|data|dataset|images)$")  # as in training_set
_START = re.compile(r".*[\W_]")  # as in seg_train beside seg_test
# Suffixes of the lists of labels and boxes that other programs write beside photos.
_LISTS = (".json", ".csv", ".xml", ".txt")

# Endings of photos that are not read: none, those of cameras' own formats, of successors of JPEG, and of what
# hospitals, observatories and studios write; and what browsers and wget leave, such as cat.jpg?w=640,
# b.jpg!d, c.JPG.1 and d.jpg_large.
_UNREAD_SUFFIXES = frozenset(
    (
        *("", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        *(".mpo", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl"),
        *(".dcm", ".dicom", ".fits", ".fit", ".tga", ".psd", ".exr"),
    )
)
_ODD_ENDING = re.compile(
    rf"({'|'.join(map(re.escape, PHOTO_SUFFIXES))})"
    r"([^\w.].*|_.*|\.(\d+|part|crdownload|download|orig|bak|tmp))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Splits:
    """The folders of a source that are named like splits, and those that are not."""

    folders: Mapping[str, Path]  # by the name of the split
    named: Sequence[str]  # the names of all folders that are named like splits
    loose: Set[str]  # the splits whose photos lie in no class folder
    others: Sequence[str]  # the names of other folders with photos


def is_photo(name: str) -> bool:
    """Returns whether a file's name is that of a photo."""
    return not name.startswith(HIDDEN) and os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def may_be_photo(name: str) -> bool:
    """Returns whether a file's name is that of a photo, or of one that is not read."""
    suffix = os.path.splitext(name)[1].lower()
    is_unread = suffix in _UNREAD_SUFFIXES or bool(_ODD_ENDING.search(name))
    return is_photo(name) or (is_unread and not name.startswith(HIDDEN))


def open_folders(root: Path, folders: Sequence[Path], domain: Collection[str]) -> Source:
    """Opens the class folders of `root`, or of each of its split folders.

    The model learns from the split `train`, and the first of `val`, `eval` and `test` that is there is eval;
    other splits are left out, and so is one whose photos lie in no class folder. If `train` or eval is
    missing, photos are split as in a folder a class. A photo beside class folders is refused as unlabelled.

    Args:
        root: The folder of the source; the places of photos are relative to it.
        folders: The visible folders in it, at least one of them with photos.
        domain: As in `find_source`; tells classes from the folders that are around or in them.

    Raises:
        DataRefused: A class folder has no photo, the folders are spans or have the classes in them, some are
            splits and others not, or a file of labels is there instead of class folders.
        UsageError: The name of a folder cannot be a label.
    """
    if spans := [folder for folder in folders if SPAN_NAME.fullmatch(folder.name)]:
        raise DataRefused(
            f"{root} is a folder of spans.",
            "A span is not a class.",
            f"Pass one of them, such as {spans[0]}.",
        )
    splits = _find_splits(folders)
    _check_not_mixed(root, splits)

    # One folder per class.
    if splits.others or splits.folders.keys() <= splits.loose:
        if not splits.others:
            _check_unlisted(root, splits.folders.values())
        elif len(splits.others) == 1 and not splits.named and not domain:
            _check_unlisted(root, [root, *(folder for folder in folders if folder.name not in splits.others)])
        return _open_class_folders(root, {"": folders}, domain)

    # One folder per split.
    if len(splits.named) > len(splits.folders):
        raise DataRefused(
            f"{root} has {', '.join(splits.named)}.",
            "Two of them are named like the same split, and only one would be read.",
            "Put their class folders into one of them.",
        )
    return _open_split_folders(root, splits, domain)


def _find_splits(folders: Sequence[Path]) -> _Splits:
    """Finds the folders with photos that are named like splits, also as in training_set and seg_train."""
    names = {folder: _SET.sub("", folder.name.lower()) for folder in folders if find_photos(folder)}
    ends = {folder: _START.sub("", name) for folder, name in names.items()}
    if len({name.removesuffix(ends[folder]) for folder, name in names.items()}) == 1 < len(names):
        names = ends
    named = {folder: name for folder, name in names.items() if name in (*_TRAIN, *_EVAL, *_REST)}
    of_name = {name: _enter(folder) for folder, name in named.items()}
    return _Splits(
        folders=of_name,
        named=[folder.name for folder in named],
        loose={name for name, folder in of_name.items() if not any(map(find_photos, _list_folders(folder)))},
        others=[folder.name for folder in names if folder not in named],
    )


def _check_not_mixed(root: Path, splits: _Splits) -> None:
    """Refuses folders for training and evaluation beside folders that are no splits. Raises DataRefused."""
    names = splits.folders.keys()
    if splits.others and names - splits.loose and names & {*_TRAIN} and names & {*_EVAL}:
        raise DataRefused(
            f"{root} has {', '.join(splits.named)} beside {', '.join(splits.others)}.",
            "It is ambiguous whether they are splits or classes.",
            "Move the others elsewhere if these are splits, or rename these if they are classes.",
        )


def _open_split_folders(root: Path, splits: _Splits, domain: Collection[str]) -> Source:
    labelled = {name: folder for name, folder in splits.folders.items() if name not in splits.loose}
    unlabelled = [splits.folders[name].name for name in sorted(splits.loose)]

    # The folders of train and of eval; with one of them alone, its photos are split.
    sides = [next((labelled[name] for name in names if name in labelled), None) for names in (_TRAIN, _EVAL)]
    folder_of = {side: folder for side, folder in zip(SPLITS, sides, strict=True) if folder}
    has_both = len(folder_of) == len(SPLITS)
    classes = {side if has_both else "": _list_folders(folder) for side, folder in folder_of.items()}
    source = _open_class_folders(root, classes, domain)

    # The layout in words.
    parts = list[str]()
    if has_both:
        parts += [f"{folder.name}/ is {side}" for side, folder in folder_of.items()]
    left_out = [folder for folder in labelled.values() if folder not in folder_of.values()]
    parts += _describe_left_out(left_out, unlabelled)
    about = f": {', '.join(parts)}" if parts else ""
    return replace(
        source,
        layout=f"one folder per split, each with {source.layout}{about}",
        offers=chain(source.offers, _refuse_unlabelled(root, folder_of.values())),
    )


def _describe_left_out(folders: Iterable[Path], unlabelled: Iterable[str]) -> Iterator[str]:
    """Yields a sentence's part for each split that no run reads, and for each without labels."""
    for folder in folders:
        count = format_count(len(find_photos(folder)), "photo")
        yield f"{folder.name}/ ({count}) is left out for trying the pushed model"
    for name in unlabelled:
        yield f"{name}/ is left out, as its photos have no label"


def _check_unlisted(root: Path, folders: Iterable[Path]) -> None:
    """Refuses folders that have files of labels, and no class folders. Raises DataRefused."""
    stems = {path.stem for path in find_photos(root)}
    paths = chain.from_iterable(sorted(folder.rglob("*")) for folder in folders)
    files = [path for path in paths if path.suffix.lower() in _LISTS and not _is_hidden(path, root)]
    files = [path for path in files if path.suffix.lower() != ".txt" or path.stem in stems]
    if files:
        raise DataRefused(
            f"{root} has no class folders, but {files[0].relative_to(root)}.",
            f"Photos are labelled by their folder or by a manifest. {ONE_LABEL}",
            "Export one folder per class, or write a CSV with the columns photo, label and split into"
            f" {root}.",
        )


def _refuse_unlabelled(root: Path, splits: Iterable[Path]) -> Offers:
    """Yields the photos that lie beside the class folders of splits."""
    for split in splits:
        for path in sorted(split.iterdir()):
            if is_photo(path.name) and not path.is_dir():
                yield RefusedPhoto(path.relative_to(root).as_posix(), "unlabelled")


def _enter(folder: Path) -> Path:
    """Returns the inner folder of the same name if a folder has no other content, as in some archives."""
    entries = list_visible(folder)
    return entries[0] if [entry.name for entry in entries] == [folder.name] else folder


def list_visible(folder: Path) -> list[Path]:
    """Returns the entries of a folder but hidden ones and those of operating systems, sorted."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(HIDDEN))


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(HIDDEN) for part in path.relative_to(root).parts)


def _list_folders(folder: Path) -> list[Path]:
    return [entry for entry in list_visible(folder) if entry.is_dir()]


def _open_class_folders(root: Path, folders: Mapping[str, Sequence[Path]], domain: Collection[str]) -> Source:
    """Opens class folders, given by their split, which is empty if the source has none."""
    classes = {folder: side for side, of_side in folders.items() for folder in of_side}
    labels = {
        folder: clean_text(folder.name, f"The name of a folder in {folder.parent}") for folder in classes
    }
    photos = {folder: find_photos(folder) for folder in classes}

    # Each class has photos.
    filled = {labels[folder] for folder, paths in photos.items() if paths}
    empty = [folder.relative_to(root).as_posix() for folder in classes if labels[folder] not in filled]
    if empty:
        raise DataRefused(
            f"{root} has class folders without a photo: {', '.join(empty)}.",
            f"A class is learned from photos ({', '.join(sorted(PHOTO_SUFFIXES))}).",
            "Add photos, or move the folders elsewhere.",
        )

    # The folders of a class may be classes themselves.
    inners = [_find_inner(folder, paths) for folder, paths in photos.items()]
    inner = set[str]().union(*inners)
    shared = set.intersection(*inners)
    is_known = bool(filled & {*domain})
    outer = join_names(sorted(filled))
    if (inner & {*domain} and not is_known) or (len(filled) == 1 < len(inner) and not domain):
        raise DataRefused(
            f"{root} has {outer}, with folders of photos in them: {join_names(sorted(inner))}.",
            "A folder of the source is a class, whatever folders are in it.",
            "Pass a folder whose own folders are the classes, one import for each.",
        )
    warnings: tuple[str, ...] = ()
    if len(filled) > 1 and len(shared) > 1 and not is_known:
        warnings = (
            f"Each of the folders {outer} has folders {join_names(sorted(shared))} with photos. The outer"
            " folders were taken for the classes. If the inner ones are the classes, import each outer folder"
            " by itself, all into one new folder.",
        )

    layout = f"one folder per class ({format_count(len(filled), 'class')})"
    count = sum(map(len, photos.values()))
    return Source(layout, _read_photos(root, labels, classes), count, warnings=warnings)


def _find_inner(folder: Path, photos: Sequence[Path]) -> set[str]:
    """Returns the names of the folders in a class folder that have some of its photos."""
    below = (path.relative_to(folder).parts for path in photos)
    return {unicodedata.normalize("NFC", parts[0]) for parts in below if len(parts) > 1}


def find_photos(folder: Path, is_wanted: Callable[[str], bool] = is_photo) -> list[Path]:
    """Returns photos, links and unreadable folders below a folder; no hidden ones, and links not followed."""
    paths: list[Path] = []
    unreadable: list[OSError] = []
    for path, folders, names in os.walk(folder, onerror=unreadable.append):
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN) and name not in links)
        paths += [Path(path, name) for name in sorted(names) if is_wanted(name)]
        paths += [Path(path, name) for name in sorted(links)]
    return paths + [Path(error.filename) for error in unreadable]


def _read_photos(root: Path, labels: Mapping[Path, str], splits: Mapping[Path, str]) -> Offers:
    for folder, label in labels.items():
        for path in find_photos(folder, may_be_photo):
            where = path.relative_to(root).as_posix()
            if os.path.isdir(path):
                yield RefusedPhoto(where, "linked-folder" if os.path.islink(path) else "unreadable-folder")
            elif is_photo(path.name):
                yield read_photo_within(root, path, where, label, name=where, split=splits[folder])
            else:
                yield RefusedPhoto(where, "no-photo-suffix")
