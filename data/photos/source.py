"""Labelled photos as a source: rows of labels.csv, and the clean photo that each names."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

from data.photos.decoder_process import DecoderProcess
from data.photos.labels_file import MOST_BYTES, LabelRow, PhotoSpan, read_labels
from data.photos.screening import screen_rows
from data.settings import DataSettings
from data.spans.layout import Span
from data.spans.rejection import RowRejected
from data.spans.source import Example, Rejected, Row
from records.golden import Content
from records.workload import Workload

# Of CPU time: 40 megapixels take 0.2 as a JPEG, and 2 at 16 bits a pixel.
_SECONDS, _MEGAPIXELS_A_SECOND = 10, 4
# Of address space: 16-bit and transparent photos take up to 25 bytes a pixel while they are turned into RGB.
_GIGABYTES, _BYTES_A_PIXEL = 1, 32
# The same for one thumbnail, which is worth less than the photo.
_THUMBNAIL_SECONDS, _THUMBNAIL_GIGABYTES = 2, 2
# Pixels of the longer side: enough to see what is on it, and a dozen of them stay under 100 kB.
_SHOWN_SIDE = 128


def open_source(workload: Workload, settings: DataSettings) -> "PhotoSource":
    """The photos of a workload."""
    return PhotoSource(workload.labels, settings)


def check(span: Span, workload: Workload) -> None:
    """Reads the labels file.

    Raises:
        DataRefused: It is missing, or is not what a labels file is.
    """
    read_labels(span)


def count(span: Span) -> int:
    """The rows of the labels file. Raises as `check` does."""
    return len(read_labels(span))


class PhotoSource:
    """Reads photos; each is opened in a process with limits on time and memory. See `Source`."""

    spread = True

    def __init__(self, labels: tuple[str, ...], settings: DataSettings) -> None:
        self._labels, self._settings = labels, settings
        self._fetched: dict[tuple[str, str], Callable[[], bytes]] = {}

    def rows(self, span: Span) -> Iterator[Row | Rejected]:
        """The rows of the labels file that may be opened, after those that may not."""
        kept, rejected = screen_rows(read_labels(span), self._labels)
        yield from (Rejected(row.photo, reason, detail) for row, reason, detail in rejected)
        stored, sizes = not isinstance(span.path, Path), PhotoSpan.of(span).sizes()
        for row in kept:
            # One byte of what is not listed is asked for too: it may be there by now.
            size = sizes.get(PurePosixPath(row.photo).as_posix(), 1) if stored else 0
            size = size if size <= MOST_BYTES else 0
            yield Row(row.photo, row.label, row.session_id, row, row.split, size)

    def fetch(self, span: Span, row: Row) -> None:
        """Begins to fetch the photo."""
        with suppress(RowRejected):  # `example` will say why
            self._fetched[span.name, row.id] = PhotoSpan.of(span).fetch(row.id, row.size)

    def example(self, span: Span, row: Row) -> Example:
        """The photo as a clean file, with what is known of it."""
        fetched = self._fetched.pop((span.name, row.id), None)
        photo = self._checked(fetched() if fetched else PhotoSpan.of(span).read(row.id))
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
        from data.photos.thumbnails import shown

        return Example(features, photo.digest, photo.look, shown(photo.stored))

    def thumbnail(self, span: Span, id: str) -> bytes | None:
        """A quarantined photo in small, where it can be opened."""
        small: bytes | None = self._thumbnails(PhotoSpan.of(span).read(id))
        return small

    def originals(self, span: Span, ids: Collection[str]) -> Iterator[tuple[str, bytes | Content]]:
        """The photos' own bytes without metadata; what is no plain JPEG or PNG, as ingest stored it."""
        from data.photos.jpeg_segments import without_metadata

        for id in ids:
            with suppress(RowRejected):  # it has gone since
                photo = PhotoSpan.of(span).read(id)
                yield id, without_metadata(photo) or self._checked(photo).stored

    def show(self, features: Mapping[str, Any]) -> bytes | str:
        """The photo in small."""
        from data.photos.thumbnails import thumbnail

        small = thumbnail(features["photo"][0], _SHOWN_SIDE)
        assert small is not None, "an example's photo was decoded when it was made"
        return small

    def close(self) -> None:
        """Ends the processes that decode, and gives up what is being fetched."""
        self._fetched.clear()
        for name in ("_checked", "_thumbnails"):
            if name in vars(self):
                vars(self).pop(name).close()

    @cached_property
    def _checked(self) -> DecoderProcess:
        # numpy and Pillow, which `edgeline schedule` needs not wait for.
        from data.photos.checks import check_photo

        megapixels = self._settings.max_megapixels
        seconds = max(_SECONDS, round(megapixels / _MEGAPIXELS_A_SECOND))
        check = partial(check_photo, limits=self._settings)
        return DecoderProcess(check, seconds, _GIGABYTES + megapixels * _BYTES_A_PIXEL / 1000)

    @cached_property
    def _thumbnails(self) -> DecoderProcess:
        from data.photos.thumbnails import thumbnail

        return DecoderProcess(thumbnail, _THUMBNAIL_SECONDS, _THUMBNAIL_GIGABYTES)
