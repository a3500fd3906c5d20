"""Detection of the layout of a source of photos."""

import shlex
from collections.abc import Collection
from pathlib import Path

from data.importers import manifest, tfrecords
from data.importers.folders import find_photos, is_photo, open_folders
from data.importers.source import Source
from edgeline.errors import DataRefused, UsageError
from edgeline.tables.unpacking import HIDDEN

_LAYOUTS = (
    "Pass one folder per class (SRC/<label>/*.jpg, or SRC/train/<label>/*.jpg and SRC/val/<label>/*.jpg), a"
    " CSV or JSONL manifest with the columns photo and label beside the photos, or TFRecord files with the"
    " features image and label."
)


def find_source(src: Path, domain: Collection[str] = ()) -> Source:
    """Detects the layout of a folder or file, and opens it; `domain` are the labels of earlier spans.

    Raises UsageError if it does not exist, or a label cannot be used, and DataRefused if no layout fits,
    several do, or it cannot be read.
    """
    try:
        return _find_source(src, domain)
    except OSError as error:
        raise DataRefused(
            f"{error.filename or src} cannot be read ({error.strerror}).",
            "Its layout cannot be detected.",
            "Grant this user read permission, and import again.",
        ) from None


def _find_source(src: Path, domain: Collection[str]) -> Source:
    if src.is_file() and src.suffix.lower() in manifest.SUFFIXES:
        return manifest.open_manifest(src, domain)
    if src.is_file() and tfrecords.is_tfrecord(src):
        return tfrecords.open_tfrecords([src])
    if src.is_file():
        raise DataRefused(f"{src} is not named like a manifest or a TFRecord file.", _LAYOUTS)
    if not src.exists():
        raise UsageError(f"{src} does not exist.", "There is nothing to import.", _LAYOUTS)
    entries = sorted(entry for entry in src.iterdir() if not entry.name.startswith(HIDDEN))
    manifests = [entry for entry in entries if entry.suffix.lower() in manifest.SUFFIXES]
    records = [entry for entry in entries if not entry.is_dir() and tfrecords.is_tfrecord(entry)]
    folders = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if entry.is_file() and is_photo(entry.name)]
    if len(manifests) > 1:
        raise DataRefused(
            f"{src} has {len(manifests)} manifests: {', '.join(path.name for path in manifests)}.",
            "It is ambiguous which of them labels the photos.",
            f"Name one: `edgeline data import {shlex.quote(str(manifests[0]))} --data DIR`.",
        )
    if manifests and not records:
        return manifest.open_manifest(manifests[0], domain)
    with_photos = [folder for folder in folders if find_photos(folder)]
    kinds = [
        *(["a manifest"] if manifests else []),
        *(["TFRecord files"] if records else []),
        *([f"loose photos ({loose[0].name}, ...)"] if loose else []),
        *([f"folders with photos ({with_photos[0].name}, ...)"] if with_photos else []),
    ]
    if len(kinds) > 1:
        raise DataRefused(
            f"{src} mixes {' and '.join(kinds)}.",
            "It is ambiguous which labels count.",
            f"Separate them. {_LAYOUTS}",
        )
    if records:
        return tfrecords.open_tfrecords(records)
    if with_photos:
        return open_folders(src, folders, domain)
    content = f"photos ({loose[0].name}, ...) without labels" if loose else "no photo"
    raise DataRefused(
        f"{src} contains {content} ({len(entries)} entries).", "It has no known layout.", _LAYOUTS
    )
