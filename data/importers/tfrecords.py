"""Photos in TFRecord files of tf.train.Example, with encoded bytes and a label as text or number."""

import gzip
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.importers.source import LabelledPhoto, Offers, RefusedPhoto, Source, check_split, clean_text
from data.photos.labels_file import MOST_BYTES
from data.spans.layout import MOST_TEXT_BYTES
from edgeline.errors import DataRefused
from edgeline.labels import check_labels, format_count
from edgeline.records.examples import is_record, read_examples
from edgeline.records.features import list_values
from edgeline.store.locations import read_bytes

# Names of features in use; the first that an example has counts. They come from TF-Slim and the Object
# Detection API (image/encoded, image/class/...), from TensorFlow Datasets (image, label), and photo is ours.
_PHOTO = ("image/encoded", "photo", "image", "encoded", "image_raw", "image_bytes", "jpeg")
_LABEL_TEXT = ("image/class/text", "label_text", "label_name")
_LABEL = ("label", "image/class/label", "class", "label_id")
_OPTIONAL = ("lane_id", "session_id", "captured_at", "split")
_NAMES = ("labels.txt", "label.labels.txt")  # the second is that of TensorFlow Datasets
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip", ".7z")
_MOST_RECORD_BYTES = 4 * MOST_BYTES


def is_tfrecord(path: Path) -> bool:
    """Returns whether a file is named like a TFRecord file, or is a .gz of one; sharded ones count."""
    name = path.name.lower()
    if name.endswith(_ARCHIVES):
        return False
    return "tfrecord" in name or (name.endswith(".gz") and _is_packed_record(path))


def _is_packed_record(path: Path) -> bool:
    try:
        with gzip.open(path) as file:
            return is_record(file.read(12))
    except (OSError, EOFError, zlib.error):
        return False


def holds_photos(path: Path) -> bool:
    """Returns whether a file is named like a TFRecord file, and its first example, if any, has a photo.

    Raises DataRefused if it cannot be read.
    """
    if not path.is_file() or not is_tfrecord(path):
        return False
    first = next(read_examples(path, _MOST_RECORD_BYTES), None)
    return first is None or any(name in first[1] for name in _PHOTO)


def open_tfrecords(files: Sequence[Path]) -> Source:
    """Opens the photos in TFRecord files; numbers are named by the file beside them, else `class-<n>`.

    That file, labels.txt or label.labels.txt, has one label a line, the first for 0, or lines like `0:ok`.

    Raises, also while reading, DataRefused if the files are damaged, or have no photo or label under a known
    name, and UsageError if a label cannot be used, or a lane, session or time holds a control character.
    """
    if odd := [file for file in files if not file.is_file()]:
        raise DataRefused(f"{odd[0]} is not a file.", "TFRecords are read from files.", "Move it elsewhere.")
    lists = [file for name in _NAMES if (file := files[0].parent / name).exists()]
    names = _read_names(lists[0]) if lists else {}
    offers = (offer for file in files for offer in _read_photos(file, names))
    layout = format_count(len(files), "TFRecord file")
    return Source(layout, offers, None, tuple(names.values()))


def _read_names(path: Path) -> dict[int, str]:
    try:
        text = read_bytes(path, MOST_TEXT_BYTES).decode("utf-8-sig")
        lines = [clean_text(line, f"{path} line {n}") for n, line in enumerate(text.rstrip().split("\n"), 1)]
        numbered = [re.fullmatch(r"(\d{1,18})\s*:\s*(.+)", line) for line in lines if line]
        names = [(int(match[1]), match[2]) for match in numbered if match]
        if len(names) < len(numbered) or not names:
            names = list(enumerate(lines))
        if len(dict(names)) < len(names):
            raise ValueError("it has a number twice")
    except (OSError, ValueError) as error:
        raise DataRefused(
            f"{path} cannot be read ({error}).",
            "The numeric labels of the records would get wrong names, or none.",
            "Save it as UTF-8, one label per line.",
        ) from None
    check_labels([name for _, name in names], str(path))
    return dict(names)


def _read_photos(file: Path, names: Mapping[int, str]) -> Offers:
    modified = file.stat().st_mtime
    for number, example in read_examples(file, _MOST_RECORD_BYTES):
        features = {name: values for name in example if (values := list_values(example[name]))}
        where = f"{file.name} record {number}"
        photo_name = _find_feature(features, _PHOTO)
        label_name = _find_feature(features, (*_LABEL_TEXT, *_LABEL))

        # Both are there.
        if photo_name is None or label_name is None:
            wanted = _PHOTO if photo_name is None else (*_LABEL_TEXT, *_LABEL)
            raise DataRefused(
                f"{file}, record {number}, has the features {', '.join(sorted(features)) or 'none'}.",
                f"The {'photo' if photo_name is None else 'label'} must be one of {', '.join(wanted)}.",
                "Write the records again with one of these names; for a table, pass the file with --label.",
            )
        photo, value = features[photo_name][0], features[label_name][0]
        if not isinstance(photo, bytes):
            raise DataRefused(
                f"{file}, record {number}, has numbers in the feature {photo_name}.",
                "Encoded photos (such as JPEG) are imported, not raw pixels.",
                "Encode the photos when you write the records.",
            )

        # One value of each counts.
        more = [name for name in _OPTIONAL if name in features]
        if any(len(features[name]) > 1 for name in (photo_name, label_name, *more)):
            yield RefusedPhoto(where, "several-values")
            continue
        if isinstance(value, int):  # a number that labels.txt lacks has no name
            label = names.get(value, "") if names else f"class-{value}"
        else:
            label = _clean_value(value, f"{file}, record {number}: the {label_name}")
        texts = {
            name: _clean_value(features[name][0], f"{file}, record {number}: the {name}") for name in more
        }
        check_split(texts.get("split", ""), f"{file}, record {number}: the split")

        if not photo:
            yield RefusedPhoto(where, "zero-byte")
        elif len(photo) > MOST_BYTES:
            yield RefusedPhoto(where, "oversized")
        elif not label:
            yield RefusedPhoto(where, "unlabelled")
        else:
            yield LabelledPhoto(where, photo, modified, label, **texts)


def _find_feature(features: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in features), None)


def _clean_value(value: object, where: str) -> str:
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return clean_text(value.decode() if isinstance(value, bytes) else value, where)
    except ValueError:
        raise DataRefused(
            f"{where} is {value!a}.", "It must be UTF-8 text or a number.", "Write the records again."
        ) from None
