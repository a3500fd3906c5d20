"""The photos that a data folder holds already, found by their content."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from data.photos.labels_file import LabelRow, PhotoSpan
from data.spans.rejection import RowRejected

# 128 bits of SHA-256; what imported photos are named by, so that their names are the index.
_HASH_DIGITS = 32
_HASH_NAME = re.compile(rf"([0-9a-f]{{{_HASH_DIGITS}}})\.[a-z]{{3,4}}")


def photo_hash(photo: bytes) -> str:
    """What an imported photo is named by: the first 32 hexadecimal digits of its file's SHA-256."""
    return hashlib.sha256(photo).hexdigest()[:_HASH_DIGITS]


class KnownPhotos:
    """The labelled photos of some spans by content.

    Imported photos carry their hash as name. Others are hashed only once a photo of the same size is asked
    for, so nothing has to be kept beside the spans, and nothing can be lost.
    """

    def __init__(self, spans: Mapping[PhotoSpan, Sequence[LabelRow]]) -> None:
        self.labels: dict[str, None] = {}
        self._by_hash: dict[str, tuple[PhotoSpan, LabelRow]] = {}
        self._by_size: dict[int, list[tuple[PhotoSpan, LabelRow]]] = defaultdict(list)
        for photos, rows in spans.items():
            for row in rows:
                if row.label:
                    self.labels[row.label] = None
                if match := _HASH_NAME.fullmatch(row.photo):
                    self._by_hash[match[1]] = photos, row
                    continue
                with suppress(RowRejected):
                    self._by_size[photos.resolve(row.photo).stat().st_size].append((photos, row))

    def find(self, photo: bytes, digest: str) -> tuple[PhotoSpan, LabelRow] | None:
        """The span and row of the photo with these bytes and this `photo_hash`; None for a new one."""
        for span, row in self._by_size.pop(len(photo), ()):
            with suppress(RowRejected):
                self._by_hash.setdefault(photo_hash(span.read(row.photo)), (span, row))
        return self._by_hash.get(digest)
