"""The photos that a data folder holds already, found by their content, and by their looks.

Looks, which find near twins, are kept so that no photo is decoded twice.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from data.photos.labels_file import LabelRow, PhotoSpan, read_labels
from data.photos.likeness import SIDE
from data.spans.corrections import find_correction, read_corrections
from data.spans.layout import Span, replace_file
from edgeline.records.photo_features import SIZE
from edgeline.records.rejection import RowRejected

# 128 bits of SHA-256. Imported photos are named by them, so their names are the index.
_HASH_DIGITS = 32
_HASH_NAME = re.compile(rf"([0-9a-f]{{{_HASH_DIGITS}}})\.[a-z]{{3,4}}")
_VERSION = 3  # of looks: before, those of 16-bit photos that use a part of their levels were nearly blank
_Looks = dict[str, bytes | None]


def hash_photo(photo: bytes) -> str:
    """Returns the name of an imported photo: the first 32 hexadecimal digits of its file's SHA-256."""
    return hashlib.sha256(photo).hexdigest()[:_HASH_DIGITS]


def read_corrected(span: Span) -> list[LabelRow]:
    """Reads the rows of a span with the labels that people corrected. Raises as `read_labels` does."""
    corrections = read_corrections(span)
    rows = read_labels(span)
    changes = [find_correction(corrections, row.photo, row.label) for row in rows]
    return [replace(row, label=new.label) if new else row for row, new in zip(rows, changes, strict=True)]


class KnownPhotos:
    """An index of the labelled photos of some spans by content.

    Imported photos have their hash as name. Others are hashed when a photo of the same size is looked up, so
    no index file has to be kept beside the spans, and none can be lost.
    """

    def __init__(self, spans: Mapping[PhotoSpan, Sequence[LabelRow]]) -> None:
        self.labels: dict[str, None] = {}
        self._by_hash: dict[str, tuple[PhotoSpan, LabelRow]] = {}
        self._by_size: dict[int, list[tuple[PhotoSpan, LabelRow]]] = defaultdict(list)
        for photos, rows in spans.items():
            for row in rows:
                if not row.label:  # an import may bring it
                    continue
                self.labels[row.label] = None
                if match := _HASH_NAME.fullmatch(row.photo):
                    self._by_hash[match[1]] = photos, row
                    continue
                with suppress(RowRejected):
                    self._by_size[photos.resolve(row.photo).stat().st_size].append((photos, row))

    def find(self, photo: bytes, digest: str) -> tuple[PhotoSpan, LabelRow] | None:
        """Returns the span and row of the photo with these bytes and this hash; None for a new one."""
        for span, row in self._by_size.pop(len(photo), ()):
            with suppress(RowRejected):
                self._by_hash.setdefault(hash_photo(span.read(row.photo)), (span, row))
        return self._by_hash.get(digest)


def read_known_looks(
    data_dir: Path,
    spans: Mapping[PhotoSpan, Sequence[LabelRow]],
    look: Callable[[bytes], bytes | None],
    described: bool,
) -> Iterator[tuple[LabelRow, bytes]]:
    """Yields the rows of spans whose photo can be opened, each with the look of the photo.

    `data_dir/.looks` keeps looks by the name and size of a photo. One that is missing, damaged or of an older
    version is made again.

    Args:
        data_dir: The folder of spans.
        spans: Their rows.
        look: Makes the look of a photo from the bytes of its file; None, or RowRejected, if a run rejects it.
        described: Looks are to have a network's features too; one without is made again.
    """
    for span, rows in spans.items():
        saved, fresh = _Looks(), _Looks()
        with suppress(OSError, ValueError):
            saved = msgspec.msgpack.decode(_find_file(data_dir, span).read_bytes(), type=_Looks)
        if described:
            saved = {key: look for key, look in saved.items() if not look or len(look) == SIDE * SIDE + SIZE}
        for row in rows:
            with suppress(RowRejected):
                key = _make_key(span, row.photo)
                if key in saved:
                    fresh[key] = saved[key]
                else:
                    photo = span.read(row.photo)
                    fresh[key] = None  # stays None where a run rejects the photo
                    fresh[key] = look(photo)
                if photo_look := fresh[key]:
                    yield row, photo_look
        if fresh != saved:
            _write(data_dir, span, fresh)


def keep_looks(data_dir: Path, span: PhotoSpan, looks: Mapping[str, bytes | None]) -> None:
    """Keeps the looks of a new span.

    Args:
        data_dir: The folder of spans.
        span: The new one, whose photos are written.
        looks: Those of its photos by their names; None for one that a run rejects.
    """
    _write(data_dir, span, {_make_key(span, photo): look for photo, look in looks.items()})


def _find_file(data_dir: Path, span: Span) -> Path:
    return data_dir / ".looks" / f"{span.name}.msgpack"


def _make_key(span: PhotoSpan, photo: str) -> str:
    return f"{photo} {span.resolve(photo).stat().st_size} {_VERSION}"


def _write(data_dir: Path, span: Span, looks: _Looks) -> None:
    with suppress(OSError):  # the looks are made again next time
        _find_file(data_dir, span).parent.mkdir(exist_ok=True)
        replace_file(_find_file(data_dir, span), msgspec.msgpack.encode(looks))
