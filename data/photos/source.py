"""Labelled photos as a source: rows of labels.csv, and the clean photo that each names."""

import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

from data.photos.labels_file import MOST_BYTES, LabelRow, PhotoSpan, get_session, read_labels
from data.settings import DataSettings
from data.spans.layout import Span
from data.spans.source import SPLITS, Example, Rejected, Row
from edgeline.labels import find_fault, show_label
from edgeline.records.edge import Content
from edgeline.records.rejection import RowRejected, check_label
from edgeline.records.workload import Workload
from edgeline.tables.decoder_process import DecoderProcess

# Limit of CPU time: 40 megapixels take 0.2 s as a JPEG, and 2 s at 16 bits a pixel.
_SECONDS, _MEGAPIXELS_A_SECOND = 10, 4
# Limit of address space: 16-bit and transparent photos take up to 25 bytes a pixel on their way to RGB.
_GIGABYTES, _BYTES_A_PIXEL = 1, 32
# The same limits for one thumbnail, which is worth less than the photo.
_THUMBNAIL_SECONDS, _THUMBNAIL_GIGABYTES = 2, 2
# Pixels of a shown photo's longer side: enough to see what is on it, and a dozen stay under 100 kB.
_SHOWN_SIDE = 128
UNKNOWN_LANE = "unknown"


def open_source(workload: Workload, settings: DataSettings) -> "PhotoSource":
    """Returns the source of a workload's photos."""
    return PhotoSource(workload.labels, settings)


def check(span: Span, workload: Workload) -> None:
    """Reads the labels file. Raises DataRefused if it is missing, or is not a labels file."""
    read_labels(span)


def count(span: Span) -> int:
    """Counts the rows of the labels file. Raises as `check` does."""
    return len(read_labels(span))


def make_decoder(decode: Callable[[bytes], Any], settings: DataSettings) -> DecoderProcess:
    """Makes a process that calls `decode` with a photo, within what the largest allowed one may take."""
    seconds = max(_SECONDS, round(settings.max_megapixels / _MEGAPIXELS_A_SECOND))
    gigabytes = _GIGABYTES + settings.max_megapixels * _BYTES_A_PIXEL / 1000
    return DecoderProcess(decode, seconds, gigabytes)


class PhotoSource:
    """A source of photos, each opened in a process with limits on time and memory. See `Source`."""

    spread = True

    def __init__(self, labels: tuple[str, ...], settings: DataSettings) -> None:
        self._labels, self._settings = labels, settings
        self._fetched: dict[tuple[str, str], Callable[[], bytes]] = {}

    def rows(self, span: Span) -> Iterator[Row | Rejected]:
        """Yields the rejected rows of the labels file, then those whose photo may be opened."""
        accepted, rejected = screen_rows(read_labels(span), self._labels)
        yield from rejected
        in_store = not isinstance(span.path, Path)
        sizes = PhotoSpan.of(span).sizes()
        for row in accepted:
            # A photo that is not listed counts as one byte, and is fetched too: it may be there by now.
            size = sizes.get(PurePosixPath(row.photo).as_posix(), 1) if in_store else 0
            size = size if size <= MOST_BYTES else 0
            yield Row(row.photo, row.label, row.session_id, row, row.split, size)

    def fetch(self, span: Span, row: Row) -> None:
        """Begins to fetch the photo."""
        with suppress(RowRejected):  # `example` raises it
            self._fetched[span.name, row.id] = PhotoSpan.of(span).fetch(row.id, row.size)

    def example(self, span: Span, row: Row) -> Example:
        """Returns the photo as a clean file, with its labels and measurements."""
        fetched = self._fetched.pop((span.name, row.id), None)
        photo = self._check_process(fetched() if fetched else PhotoSpan.of(span).read(row.id))
        labelled: LabelRow = row.content
        features = {
            "lane_id": labelled.lane_id,
            "session_id": labelled.session_id,
            "captured_at": labelled.captured_at,
            "photo": photo.stored,
            "width": photo.width,
            "height": photo.height,
            "byte_size": photo.byte_size,
            "brightness": photo.brightness,
            "sharpness": photo.sharpness,
        }
        from data.photos.thumbnails import read_pixels

        return Example(features, photo.digest, photo.look, read_pixels(photo.stored))

    def thumbnail(self, span: Span, id: str) -> bytes | None:
        """Returns a thumbnail of a quarantined photo, or None if it cannot be opened."""
        small: bytes | None = self._thumbnail_process(PhotoSpan.of(span).read(id))
        return small

    def originals(self, span: Span, ids: Collection[str]) -> Iterator[tuple[str, bytes | Content]]:
        """Yields photos without metadata; one that is not a plain JPEG or PNG comes as ingest stores it."""
        from data.photos.jpeg_segments import strip_metadata

        for id in ids:
            with suppress(RowRejected):  # it may be gone by now
                photo = PhotoSpan.of(span).read(id)
                yield id, strip_metadata(photo) or self._check_process(photo).stored

    def show(self, features: Mapping[str, Any]) -> bytes | str:
        """Returns a thumbnail of the photo."""
        from data.photos.thumbnails import make_thumbnail

        small = make_thumbnail(features["photo"][0], _SHOWN_SIDE)
        assert small is not None, "an example's photo was decoded when it was made"
        return small

    def close(self) -> None:
        """Ends the processes that decode, and drops pending fetches."""
        self._fetched.clear()
        for name in ("_check_process", "_thumbnail_process"):
            if name in vars(self):
                vars(self).pop(name).close()

    @cached_property
    def _check_process(self) -> DecoderProcess:
        # This imports numpy and Pillow, for which `edgeline schedule` need not wait.
        from data.photos.checks import check_photo

        return make_decoder(partial(check_photo, limits=self._settings), self._settings)

    @cached_property
    def _thumbnail_process(self) -> DecoderProcess:
        from data.photos.thumbnails import make_thumbnail

        return DecoderProcess(make_thumbnail, _THUMBNAIL_SECONDS, _THUMBNAIL_GIGABYTES)


def screen_rows(rows: Sequence[LabelRow], labels: Sequence[str]) -> tuple[list[LabelRow], list[Rejected]]:
    """Separates the rows of one span into those to read photos for and those to quarantine.

    A row without a lane gets the lane `unknown`; one without a session gets its photo's path as session, so
    each such photo is a session of its own. Among the rows with a known label, one that repeats an earlier
    row of the same photo is rejected, and so are all rows of a photo with two labels. The reasons are:
    missing, unlabelled, control-character, unknown-label, unknown-split, duplicate-row, conflicting-label.
    """
    domain = frozenset(labels)
    labels_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.label in domain:
            labels_of[posixpath.normpath(row.photo)].add(row.label)
    accepted = list[LabelRow]()
    rejected = list[Rejected]()
    paths = set[str]()
    for row in rows:
        try:
            _check_row(row, labels, labels_of, paths)
        except RowRejected as why:
            rejected.append(Rejected(row.photo, why.reason, why.detail))
        else:
            paths.add(posixpath.normpath(row.photo))
            accepted.append(replace(row, lane_id=row.lane_id or UNKNOWN_LANE, session_id=get_session(row)))
    return accepted, rejected


def _check_row(row: LabelRow, labels: Sequence[str], labels_of: dict[str, set[str]], paths: set[str]) -> None:
    if not row.photo:
        raise RowRejected("missing", "The photo cell is empty.")
    if not row.label:
        raise RowRejected("unlabelled", f"{row.photo} has no label.")
    for name in ("lane_id", "session_id", "captured_at"):
        if (cell := getattr(row, name)) and (fault := find_fault(cell)):
            raise RowRejected("control-character", f"{row.photo} has the {name} {show_label(cell)}: {fault}.")
    photo = posixpath.normpath(row.photo)
    check_label(row.label, labels, row.photo)
    if row.split not in ("", *SPLITS):
        detail = f"{row.photo} has the split {row.split!a}; a split is train or eval."
        raise RowRejected("unknown-split", detail)
    if len(labels_of[photo]) > 1:
        both = " and ".join(map(repr, sorted(labels_of[photo])))
        raise RowRejected("conflicting-label", f"{row.photo} is labelled {both}.")
    if photo in paths:
        raise RowRejected("duplicate-row", f"{row.photo} is listed again with the same label.")
