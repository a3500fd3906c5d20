"""Photos in TFRecord files of tf.train.Example, with encoded bytes and a label as text or number."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.import_source import Found, Offers, Refused, Source, clean_label
from errors import DataRefused

# Names in use, the first that an example has counts: those of TF-Slim and the Object Detection API
# (image/encoded, image/class/...), of TensorFlow Datasets (image, label) and our own (photo).
_PHOTO = ("image/encoded", "photo", "image", "encoded", "image_raw", "image_bytes", "jpeg")
_LABEL_TEXT = ("image/class/text", "label_text", "label_name")
_LABEL = ("label", "image/class/label", "class", "label_id")
_OPTIONAL = ("lane_id", "session_id", "captured_at")
_GZIP = b"\x1f\x8b"


def is_tfrecord(path: Path) -> bool:
    """Whether a file is named like a TFRecord file, sharded and compressed ones included."""
    return "tfrecord" in path.name.lower() or path.suffix.lower() == ".gz"


def tfrecord_source(files: Sequence[Path]) -> Source:
    """The photos in TFRecord files; numbers are named by the labels.txt beside them, else `class-<n>`.

    labels.txt has one label a line, the first for 0, or lines like `0:ok`.

    Raises:
        DataRefused: The files hold no labelled photos that are known by name, or are damaged; also while
            reading.
    """
    names = _read_names(files[0].parent / "labels.txt")
    offers = (offer for file in files for offer in _offers(file, names))
    return Source(f"{len(files)} TFRecord file{'s' * (len(files) > 1)}", offers, None, tuple(names.values()))


def _read_names(path: Path) -> dict[int, str]:
    if not path.is_file():
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s*:\s*(.+)", line) for line in lines]
    if all(numbered):
        return {int(match[1]): clean_label(match[2]) for match in numbered if match}
    return {number: clean_label(line) for number, line in enumerate(lines)}


def _offers(file: Path, names: Mapping[int, str]) -> Offers:
    modified = file.stat().st_mtime
    for number, features in enumerate(_records(file)):
        where = f"{file.name} record {number}"
        photo_name = _first(features, _PHOTO)
        label_name = _first(features, (*_LABEL_TEXT, *_LABEL))
        if photo_name is None or label_name is None:
            wanted = _PHOTO if photo_name is None else (*_LABEL_TEXT, *_LABEL)
            raise DataRefused(
                f"{file}, record {number}, has the features {', '.join(sorted(features)) or 'none'}.",
                f"A {'photo' if photo_name is None else 'label'} is looked for as {', '.join(wanted)}.",
                "Write the records again with one of these names.",
            )
        photo = features[photo_name][0]
        if not isinstance(photo, bytes):
            raise DataRefused(
                f"{file}, record {number}, holds numbers as {photo_name}.",
                "Encoded bytes (JPEG) are imported, not raw pixels.",
                "Encode the photos when you write the records.",
            )
        label = _label(features[label_name][0], names)
        if not photo:
            yield Refused(where, "zero-byte")
        elif not label:
            yield Refused(where, "unlabelled")
        else:
            more = {name: _text(features[name][0]) for name in _OPTIONAL if name in features}
            yield Found(where, photo, modified, label, **more)


def _records(file: Path) -> Iterator[dict[str, Sequence[Any]]]:
    """The features of each example that have a value."""
    import tensorflow as tf

    with file.open("rb") as head:
        compression = "GZIP" if head.read(2) == _GZIP else ""
    try:
        for record in tf.data.TFRecordDataset(str(file), compression_type=compression).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
            values = {name: getattr(features[name], kind).value for name, kind in kinds.items() if kind}
            yield {name: value for name, value in values.items() if len(value)}
    except (tf.errors.OpError, _decode_error()) as error:
        raise DataRefused(
            f"{file} is damaged, or is no TFRecord file of tf.train.Example ({type(error).__name__}).",
            "What follows the damage cannot be read.",
            "Fetch or write the file again; nothing was imported.",
        ) from None


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    return DecodeError


def _first(features: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in features), None)


def _label(value: object, names: Mapping[int, str]) -> str:
    """The name of a label; "" where labels.txt leaves the number out."""
    if isinstance(value, int):
        return names.get(value, "") if names else f"class-{value}"
    return _text(value)


def _text(value: object) -> str:
    return clean_label(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
