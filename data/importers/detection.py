"""Detection of the layout of a source of photos."""

import shlex
from pathlib import Path

from data.importers import manifest, tfrecords
from data.importers.folders import find_photos, is_photo, open_folders
from data.importers.source import Source
from errors import DataRefused, UsageError

_LAYOUTS = (
    "A source is a folder a class (SRC/<label>/*.jpg, or SRC/train/<label>/*.jpg and SRC/val/<label>/*.jpg),"
    " a CSV or JSONL manifest with the columns photo and label beside the photos, or TFRecord files with the"
    " features image and label."
)


def find_source(src: Path) -> Source:
    """Detects the layout of a folder or file, and opens it.

    Raises:
        UsageError: The file or folder does not exist, or a label cannot be used.
        DataRefused: No layout fits, several do, or the source cannot be read.
    """
    try:
        return _find_source(src)
    except OSError as error:
        raise DataRefused(
            f"{error.filename or src} cannot be read ({error.strerror}).",
            "What is in it cannot be told.",
            "Give this user the right to read it, and import again.",
        ) from None


def _find_source(src: Path) -> Source:
    if src.is_file() and src.suffix.lower() in manifest.SUFFIXES:
        return manifest.open_manifest(src)
    if src.is_file() and tfrecords.is_tfrecord(src):
        return tfrecords.open_tfrecords([src])
    if src.is_file():
        raise DataRefused(f"{src} is neither a manifest nor a TFRecord file by its name.", _LAYOUTS)
    if not src.exists():
        raise UsageError(f"{src} does not exist.", "There is nothing to import.", _LAYOUTS)
    entries = sorted(entry for entry in src.iterdir() if not entry.name.startswith((".", "__MACOSX")))
    manifests = [entry for entry in entries if entry.suffix.lower() in manifest.SUFFIXES]
    records = [entry for entry in entries if not entry.is_dir() and tfrecords.is_tfrecord(entry)]
    folders = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if entry.is_file() and is_photo(entry.name)]
    if len(manifests) > 1:
        raise DataRefused(
            f"{src} has {len(manifests)} manifests: {', '.join(path.name for path in manifests)}.",
            "Which of them labels the photos cannot be told.",
            f"Name one: `edgeline data import {shlex.quote(str(manifests[0]))} --data DIR`.",
        )
    if manifests and not records:
        return manifest.open_manifest(manifests[0])
    with_photos = [folder for folder in folders if find_photos(folder)]
    kinds = [
        *(["a manifest"] if manifests else []),
        *(["TFRecord files"] if records else []),
        *([f"photos of their own ({loose[0].name}, ...)"] if loose else []),
        *([f"folders with photos ({with_photos[0].name}, ...)"] if with_photos else []),
    ]
    if len(kinds) > 1:
        raise DataRefused(
            f"{src} mixes {' and '.join(kinds)}.",
            "Which labels count cannot be told.",
            f"Part them. {_LAYOUTS}",
        )
    if records:
        return tfrecords.open_tfrecords(records)
    if with_photos:
        return open_folders(src, folders)
    content = f"photos ({loose[0].name}, ...) without labels" if loose else "no photo"
    raise DataRefused(
        f"{src} holds {content} ({len(entries)} entries).", "No layout that is known fits.", _LAYOUTS
    )
