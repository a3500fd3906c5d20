"""The photos that a data folder holds already, found by their content."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from data.rejection import PhotoRejected
from data.spans import Span, read_labels

# 128 bits of SHA-256; what imported photos are named by, so that their names are the index.
_HASH_DIGITS = 32
_HASH_NAME = re.compile(rf"([0-9a-f]{{{_HASH_DIGITS}}})\.[a-z]{{3,4}}")


def photo_hash(photo: bytes) -> str:
    """What an imported photo is named by: the first 32 hexadecimal digits of its file's SHA-256."""
    return hashlib.sha256(photo).hexdigest()[:_HASH_DIGITS]


@dataclass(frozen=True)
class KnownPhoto:
    """A row of a span's labels."""

    span: Span
    photo: str
    label: str


class KnownPhotos:
    """The labelled photos of some spans by content.

    Imported photos carry their hash as name. Others are hashed only once a photo of the same size is asked
    for, so nothing has to be kept beside the spans, and nothing can be lost.

    Args:
        spans: All spans of the data folder.

    Raises:
        DataRefused: A span's labels cannot be read.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self.labels: dict[str, None] = {}
        self._by_hash: dict[str, KnownPhoto] = {}
        self._by_size: dict[int, list[KnownPhoto]] = defaultdict(list)
        for span in spans:
            for row in read_labels(span):
                self._add(KnownPhoto(span, row.photo, row.label))

    def _add(self, known: KnownPhoto) -> None:
        if known.label:
            self.labels[known.label] = None
        if match := _HASH_NAME.fullmatch(known.photo):
            self._by_hash[match[1]] = known
            return
        with suppress(PhotoRejected):
            self._by_size[known.span.resolve(known.photo).stat().st_size].append(known)

    def find(self, photo: bytes, digest: str) -> KnownPhoto | None:
        """The photo with these bytes and this `photo_hash`; None for a new one."""
        for known in self._by_size.pop(len(photo), ()):
            with suppress(PhotoRejected):
                self._by_hash.setdefault(photo_hash(known.span.read(known.photo)), known)
        return self._by_hash.get(digest)
