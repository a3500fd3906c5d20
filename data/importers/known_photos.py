"""The photos that a data folder holds already, found by their content."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from data.photos.labels_file import LabelRow, PhotoSpan
from edgeline.records.rejection import RowRejected

# 128 bits of SHA-256. Imported photos are named by them, so their names are the index.
_HASH_DIGITS = 32
_HASH_NAME = re.compile(rf"([0-9a-f]{{{_HASH_DIGITS}}})\.[a-z]{{3,4}}")


def hash_photo(photo: bytes) -> str:
    """Returns the name of an imported photo: the first 32 hexadecimal digits of its file's SHA-256."""
    return hashlib.sha256(photo).hexdigest()[:_HASH_DIGITS]


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
                if row.label:
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
