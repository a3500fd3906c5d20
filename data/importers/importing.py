"""Import of anyone's labelled photos as one new span, with the workload that trains on them."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

from data.importers.classes import check_classes, warn_of_few
from data.importers.curated_schema import photo_schema
from data.importers.detection import find_source
from data.importers.known_looks import keep_looks, known_looks
from data.importers.known_photos import KnownPhotos, photo_hash
from data.importers.report import ImportReport
from data.importers.sessions import Grouped, NewPhoto, group_photos
from data.importers.sides import with_splits
from data.importers.source import PHOTO_SUFFIXES, Found, Refused, Source
from data.importers.workload_files import add_files, read_schema
from data.photos.decoder_process import DecoderProcess
from data.photos.exif_time import may_have_exif, taken_at
from data.photos.labels_file import LabelRow, PhotoSpan, read_labels, restore_photo, session_of, write_span
from data.photos.screening import UNKNOWN_LANE
from data.photos.thumbnails import look
from data.settings import DataSettings
from data.spans.layout import find_spans, usable_spans
from data.spans.rejection import RowRejected
from data.spans.sample import report_progress
from data.spans.source import SPLITS
from errors import DataRefused, EdgelineError, UsageError
from journal import utc_text
from labels import fault_of

_SESSION_DIGITS = 16
_PHOTOS_A_MESSAGE = 250
_LAST_TIME = 253_402_300_799  # of the year 9999; file systems know later ones
# Of CPU time and memory for the metadata of one photo.
_SECONDS, _GIGABYTES, _LOOK_GIGABYTES = 2, 1, 2
_EVAL_FRACTION: float = DataSettings.model_fields["eval_fraction"].default


def import_photos(
    src: Path,
    data_dir: Path,
    eval_fraction: float = _EVAL_FRACTION,
    least: int = 0,
    describe: Callable[[bytes], bytes] | None = None,
) -> ImportReport:
    """Imports a folder a class, a manifest with photos, or TFRecord files as one new span: all or nothing.

    Photos are kept byte for byte, also those that ingest will quarantine, and named by their content's
    hash; one that a span of `data_dir` holds already is not added again, unless that span is excluded, and
    is put back where its file is gone. What the source leaves open gets a default: the lane `unknown`, and as
    time the EXIF DateTimeOriginal, else the time that the file was written. Photos of which it does not say
    the session get one with those that show the same (`sessions.py`), named by the first 16 digits of the
    hash of the first of them; sessions get a split, so that eval has `eval_fraction` of each class
    (`sides.py`). The report warns of classes with fewer photos than `least`, which a run wants. `describe`
    gives what a network sees in RGB pixels, uint8 [128, 128, 3]; without it, only thumbnails are compared.

    Raises:
        UsageError: `src` does not exist, or holds `data_dir`; a label, lane, session or time holds a control
            character; a split is not known, or a session would be in two; the schema there has no labels to
            add to; the last number of a span is taken.
        DataRefused: `src` has no layout that is known, or nothing in it can be imported.
        EdgelineError: The span cannot be written.
    """
    if src.resolve() in (data_dir.resolve(), *data_dir.resolve().parents):
        raise UsageError(
            f"{data_dir} lies in {src}.",
            "The next import would take its spans for photos to import.",
            "Give a data folder outside the source.",
        )
    read_schema(data_dir)  # one that cannot be added to is told before anything is written
    source = find_source(src)
    labels = {PhotoSpan.of(span): read_labels(span) for span in usable_spans(data_dir)}
    known = KnownPhotos(labels)
    try:
        with (
            closing(DecoderProcess(taken_at, _SECONDS, _GIGABYTES)) as when_taken,
            closing(DecoderProcess(look, _SECONDS, _LOOK_GIGABYTES)) as decode,
        ):
            see = _Eyes(decode, describe)
            walk = _Walk(source, known, when_taken, see)

            def finish(rows: list[LabelRow]) -> list[LabelRow]:
                if least:
                    check_classes(str(src), "photo", _count_labels(labels, walk.added))
                return _finished(data_dir, labels, eval_fraction, walk, see, rows)

            rows = iter(walk)
            first = next(rows, None)
            span = write_span(data_dir, chain([first], rows), finish) if first else None
            if span:
                keep_looks(data_dir, span, {new.row.photo: new.look for new in walk.photos if new.look})
    except OSError as error:
        raise EdgelineError(
            f"{data_dir} cannot take the photos ({error.strerror}).",
            "Nothing was imported.",
            "Make room or give write permission there, then import again.",
        ) from None
    if not walk.added and not walk.known and not walk.relabelled:
        refused = ", ".join(
            f"{len(places)} {reason} ({places[0]}, ...)" for reason, places in walk.refused.items()
        )
        raise DataRefused(
            f"{src} is {source.layout}, and no photo of it can be imported: {refused or 'it is empty'}.",
            "There is nothing to train on.",
            "A photo needs a label, and a file below the source that is not empty.",
        )
    # A new schema also gets the labels that the spans had before; one that is there has decided on them.
    in_spans = sorted((label for label in known.labels if not fault_of(label)), key=_natural)
    schema = photo_schema(list(dict.fromkeys([*in_spans, *walk.labels()])))
    written, new_labels = add_files(data_dir, schema, walk.labels(), "photo")
    return ImportReport(
        source=src,
        layout=source.layout,
        span=span,
        added={label: walk.added[label] for label in sorted(walk.added, key=_natural)},
        known=walk.known,
        restored=walk.restored,
        relabelled=tuple(walk.relabelled),
        conflicting=sum(len(labels) > 1 for labels in walk.labels_of.values()),
        refused={reason: tuple(places) for reason, places in walk.refused.items()},
        written=written,
        new_labels=new_labels,
        groups=walk.grouped.groups,
        joined=walk.grouped.joined,
        eval=dict(sorted(walk.in_eval.items())),
        warnings=(*warn_of_few("photo", _count_labels(labels, walk.added), least), *see.warnings),
    )


def _count_labels(labels: Mapping[PhotoSpan, Sequence[LabelRow]], added: Mapping[str, int]) -> dict[str, int]:
    """Counts the photos of the spans that count and the new ones, by label."""
    counts = Counter(row.label for row in chain(*labels.values())) + Counter(added)
    return dict(sorted(counts.items()))


def _finished(
    data_dir: Path,
    labels: Mapping[PhotoSpan, Sequence[LabelRow]],
    eval_fraction: float,
    walk: "_Walk",
    see: "_Eyes",
    rows: list[LabelRow],
) -> list[LabelRow]:
    """The rows of the new span with their sessions and splits; `labels` are of the spans that count."""
    looks = list[tuple[LabelRow, bytes]]()
    if any(photo.look for photo in walk.photos):
        looks = list(known_looks(data_dir, labels, see, described=see.describes))
    walk.grouped = group_photos(walk.photos, looks)
    known, kept = list(chain(*labels.values())), dict[str, str]()
    for span in map(PhotoSpan.of, find_spans(data_dir)):
        with suppress(DataRefused):  # of one that is excluded
            for row in labels[span] if span in labels else read_labels(span):
                side = row.split if row.split in SPLITS else ""
                kept[session_of(row)] = kept.get(session_of(row)) or side
    finished = with_splits(walk.grouped.rows, known, kept, eval_fraction)
    walk.in_eval.update(row.label for row in finished if row.split == "eval")
    return finished


class _Walk:
    """One walk through a source: gives the rows and photos of the new span, and counts what it meets."""

    def __init__(
        self, source: Source, known_photos: KnownPhotos, when_taken: DecoderProcess, see: "_Eyes"
    ) -> None:
        self._source, self._known_photos = source, known_photos
        self._when_taken, self._see = when_taken, see
        self.photos: list[NewPhoto] = []
        self.grouped, self.in_eval = Grouped([], (), ()), Counter[str]()
        self.added: Counter[str] = Counter()
        self.known = self.restored = 0
        self.relabelled: list[str] = []
        self.refused: dict[str, list[str]] = defaultdict(list)
        self.labels_of: dict[str, set[str]] = defaultdict(set)
        self._labels: set[str] = set()

    def labels(self) -> list[str]:
        """Labels of photos that are in a span now, in the source's order or else in natural order."""
        return [label for label in self._source.label_order if label in self._labels] + sorted(
            self._labels.difference(self._source.label_order), key=_natural
        )

    def __iter__(self) -> Iterator[tuple[LabelRow, bytes | None]]:
        for number, offer in enumerate(self._source.offers, start=1):
            if number % _PHOTOS_A_MESSAGE == 0 and (total := self._source.count):
                report_progress(number, total, "photos")
            if isinstance(offer, Refused):
                self.refused[offer.reason].append(offer.where)
            elif row := self._new_row(offer):
                again = len(self.labels_of[photo_hash(offer.data)]) > 1
                yield row, None if again else offer.data

    def _new_row(self, found: Found) -> LabelRow | None:
        digest = photo_hash(found.data)
        if there := self._known_photos.find(found.data, digest):
            span, row = there
            self.restored += restore_photo(span, row.photo, found.data)
            if row.label != found.label:
                self.relabelled.append(f"{found.where} is {row.label!r} in {span.name}, {found.label!r} here")
                return None
        if there or found.label in self.labels_of[digest]:
            self.known += 1
            self._labels.add(found.label)
            return None
        self.labels_of[digest].add(found.label)
        self._labels.add(found.label)
        self.added[found.label] += 1
        suffix = PurePath(found.where).suffix.lower()
        modified = min(max(found.modified, 0), _LAST_TIME)
        written_at = utc_text(datetime.fromtimestamp(modified, timezone.utc))
        taken = found.captured_at or _opened(self._when_taken, found.data, may_have_exif(found.data))
        row = LabelRow(
            photo=digest + (suffix if suffix in PHOTO_SUFFIXES else ".jpg"),
            label=found.label,
            lane_id=found.lane_id or UNKNOWN_LANE,
            session_id=found.session_id or digest[:_SESSION_DIGITS],
            captured_at=taken or written_at,
            split=found.split,
        )
        again = len(self.labels_of[digest]) > 1
        seen = None if found.session_id or again else self._see(found.data)
        self.photos.append(NewPhoto(row, found.where, found.name, seen, taken))
        return row


class _Eyes:
    """Gives the look of a photo, and what a network sees in it where one can be had."""

    def __init__(self, decode: DecoderProcess, describe: Callable[[bytes], bytes] | None) -> None:
        self._decode, self._describe = decode, describe
        self.warnings: tuple[str, ...] = ()

    @property
    def describes(self) -> bool:
        return self._describe is not None

    def __call__(self, photo: bytes) -> bytes | None:
        opened = _opened(self._decode, photo)
        if opened is None:
            return None
        own_look, pixels = opened
        if self._describe is not None:
            try:
                return bytes(own_look + self._describe(pixels))
            except UsageError as error:
                self._describe = None
                self.warnings = (
                    f"{error.found} So only thumbnails were compared, which tell no object in another place."
                    " Set the environment up again with `make setup`, then import again.",
                )
        return bytes(own_look)


def _opened(process: DecoderProcess, photo: bytes, wanted: bool = True) -> Any:
    try:
        return process(photo) if wanted else None
    except RowRejected:  # ingest will judge it
        return None


def _natural(label: str) -> list[tuple[bool, int, str, str]]:
    """A key that sorts 2 before 10, and takes any number of digits."""
    parts = ((part.isdecimal(), part.lstrip("0"), part) for part in re.split(r"(\d+)", label))
    return [(not number, len(digits) * number, digits, part) for number, digits, part in parts]
