"""Detection of the layout of a source of photos."""

import json
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from data.importers import manifest, tfrecords
from data.importers.folders import find_photos, is_photo, list_visible, may_be_photo, open_folders
from data.importers.source import Source
from data.importers.table_file import TableFile
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import format_count, join_names
from edgeline.tables.unpacking import PHOTO_SUFFIXES

_Paths = Sequence[Path]
_LAYOUTS = (
    "Pass one folder per class (SRC/<label>/*.jpg, or SRC/train/<label>/*.jpg and SRC/val/<label>/*.jpg), a"
    " CSV or JSONL manifest with the columns photo and label beside the photos, or TFRecord files with the"
    " features image and label."
)
_HEAD_BYTES = 4096
# Writes the table of a folder of texts for each label.
_WRITE_TEXTS = """import pandas, sklearn.datasets
texts = sklearn.datasets.load_files({}, encoding="utf-8", decode_error="replace")
labels = [texts.target_names[number] for number in texts.target]
pandas.DataFrame(dict(text=texts.data, label=labels)).to_csv("texts.csv", index=False)"""


def find_source(src: Path, domain: Collection[str] = (), file: TableFile | None = None) -> Source:
    """Detects the layout of a folder or file, and opens it.

    Args:
        src: A folder, a manifest or a TFRecord file.
        domain: The labels of earlier spans and of the schema, which settle doubts; empty at a first import.
        file: How the columns of a manifest are read; None if nothing fixes that.

    Raises:
        UsageError: It does not exist, or a label cannot be used.
        DataRefused: No layout fits, several do, or it cannot be read.
    """
    try:
        return _find_source(src, domain, file)
    except OSError as error:
        raise DataRefused(
            f"{error.filename or src} cannot be read ({error.strerror}).",
            "Its layout cannot be detected.",
            "Grant this user read permission, and import again.",
        ) from None


def _find_source(src: Path, domain: Collection[str], file: TableFile | None) -> Source:
    if src.is_file():
        return _open_file(src, domain, file)
    if not src.exists():
        raise UsageError(f"{src} does not exist.", "There is nothing to import.", _LAYOUTS)

    # The entries of a folder that each layout has.
    entries = list_visible(src)
    manifests = [entry for entry in entries if entry.suffix.lower() in manifest.SUFFIXES]
    records = [entry for entry in entries if not entry.is_dir() and tfrecords.is_tfrecord(entry)]
    folders = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if entry.is_file() and is_photo(entry.name)]

    # The photos that a manifest lists may lie beside it.
    _check_one_manifest(src, manifests)
    if manifests and not records:
        return manifest.open_manifest(manifests[0], domain, file)
    with_photos = [folder for folder in folders if find_photos(folder)]
    _check_one_layout(src, manifests, records, loose, with_photos)

    if records:
        return tfrecords.open_tfrecords(records)
    if with_photos:
        return open_folders(src, folders, domain)
    raise _make_layout_error(src, entries, loose)


def _make_layout_error(src: Path, entries: _Paths, loose: _Paths) -> DataRefused:
    """Returns the refusal of a folder of no known layout, with these entries, of which some are photos."""
    if loose:
        content = f"photos ({loose[0].name}, ...) without labels"
    elif texts := [entry.name for entry in entries if entry.is_dir() and _holds_texts(entry)]:
        program = shlex.quote(_WRITE_TEXTS.format(json.dumps(str(src))).replace("\n", "; "))
        return DataRefused(
            f"{src} contains folders of texts: {join_names(texts, 5)}.",
            "Texts are read from a table.",
            f"Write one, and import texts.csv with --text text --label label: .venv/bin/python -c {program}",
        )
    elif unread := [path for path in find_photos(src, may_be_photo) if path.parent != src]:
        return DataRefused(
            f"{src} contains no photo that is read, but {format_count(len(unread), 'file')} such as"
            f" {unread[0]}.",
            f"Photos are read that end in {', '.join(sorted(PHOTO_SUFFIXES))}.",
            "Convert them to PNG or JPEG, in the same folders.",
        )
    else:
        content = "no photo"

    return DataRefused(
        f"{src} contains {content} ({format_count(len(entries), 'item')}).",
        "It has no known layout.",
        _LAYOUTS,
    )


def _holds_texts(folder: Path) -> bool:
    """Returns whether the first file of a folder is a text, with the ending of one or none."""
    first = next((path for path in list_visible(folder) if path.is_file()), None)
    if first is None or first.suffix not in ("", ".txt"):
        return False
    with first.open("rb") as file:
        return b"\0" not in file.read(_HEAD_BYTES)


def _open_file(src: Path, domain: Collection[str], file: TableFile | None) -> Source:
    if src.suffix.lower() in manifest.SUFFIXES:
        return manifest.open_manifest(src, domain, file)
    if tfrecords.is_tfrecord(src):
        return tfrecords.open_tfrecords([src])
    raise DataRefused(f"{src} is not named like a manifest or a TFRecord file.", _LAYOUTS)


def _check_one_manifest(src: Path, manifests: _Paths) -> None:
    if len(manifests) > 1:
        raise DataRefused(
            f"{src} has {len(manifests)} manifests: {', '.join(path.name for path in manifests)}.",
            "It is ambiguous which of them labels the photos.",
            f"Name one: `edgeline data import {shlex.quote(str(manifests[0]))} --data DIR`.",
        )


def _check_one_layout(src: Path, manifests: _Paths, records: _Paths, loose: _Paths, folders: _Paths) -> None:
    """Refuses a folder with more than one of these. Raises DataRefused."""
    kinds = list[str]()
    if manifests:
        kinds.append("a manifest")
    if records:
        kinds.append("TFRecord files")
    if loose:
        kinds.append(f"loose photos ({loose[0].name}, ...)")
    if folders:
        kinds.append(f"folders with photos ({folders[0].name}, ...)")
    if len(kinds) > 1:
        raise DataRefused(
            f"{src} mixes {' and '.join(kinds)}.",
            "It is ambiguous which labels count.",
            f"Separate them. {_LAYOUTS}",
        )
