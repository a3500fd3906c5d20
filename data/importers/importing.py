"""Import of anyone's labelled photos as one new span, with the workload that trains on them.

Photos are kept byte for byte, even those that ingest will quarantine, and are named by the hash of their
content. The default lane is `unknown`, the default time the EXIF DateTimeOriginal, else that of the file.
Photos without a session share one with those of the same object (`sessions.py`), and sessions get a split
such that eval has its share of each class (`sides.py`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import chain
from pathlib import Path, PurePath

from data.importers.curated_schema import build_photo_schema
from data.importers.detection import find_source
from data.importers.import_report import (
    ImportReport,
    check_classes,
    check_spelling,
    warn_of_few,
    warn_of_labels,
)
from data.importers.known_photos import KnownPhotos, hash_photo, keep_looks, read_corrected, read_known_looks
from data.importers.sessions import NewPhoto, group_photos
from data.importers.sides import assign_splits
from data.importers.source import LabelledPhoto, RefusedPhoto, Source
from data.importers.table_file import TableFile, read_table_file, write_table_file
from data.importers.workload_files import WORKLOAD, add_files, check_kind, read_schema
from data.photos.labels_file import LabelRow, PhotoSpan, get_session, read_labels, restore_photo, write_span
from data.photos.source import UNKNOWN_LANE
from data.photos.thumbnails import may_have_exif, read_look, read_time_taken
from data.settings import DataSettings
from data.spans.layout import find_spans, find_usable_spans
from data.spans.source import SPLITS
from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.journal import format_utc
from edgeline.labels import find_fault, format_count
from edgeline.records.events import Counted, report
from edgeline.records.rejection import RowRejected
from edgeline.tables.decoder_process import DecoderProcess
from edgeline.tables.unpacking import PHOTO_SUFFIXES

_NO_EVAL = (
    "The source assigns all photos to train, and a run will refuse them without photos in eval. Assign some"
    " of each class to eval, or remove the splits, and import into a new folder."
)
_SESSION_DIGITS = 16
# Photos of 16 bits that use less than half of the levels get those that they use, with a tenth on each side.
_MOST_LEVELS, _ROOM = 32_768, 0.1
_LAST_TIME = 253_402_300_799  # the end of the year 9999; file systems know later times
# Limits on CPU time and memory for reading the metadata of one photo, and for its look.
_SECONDS, _GIGABYTES, _LOOK_GIGABYTES = 2, 1, 2


def import_photos(
    src: Path,
    data_dir: Path,
    least: int = 0,
    describe: Callable[[bytes], bytes] | None = None,
    limits: DataSettings | None = None,
) -> ImportReport:
    """Imports a folder a class, a manifest with photos, or TFRecord files as one new span: all or nothing.

    A photo that a usable span of `data_dir` has is not added again; a file that is gone is restored.

    Args:
        src: The source.
        data_dir: The folder of spans.
        least: The report warns of classes with fewer photos; 0 for no such warning.
        describe: Returns a network's features of RGB pixels, uint8 [128, 128, 3]; None for thumbnails alone.
        limits: Eval's share, and what a run rejects, of which the report warns; None for the defaults.

    Raises:
        UsageError: `src` does not exist, or contains `data_dir`; what it gives a photo cannot be used; the
            schema there has no labels to add to; the last number of a span is taken.
        DataRefused: `src` has no known layout, or nothing in it can be imported.
        EdgelineError: The span cannot be written.
    """
    _check_outside(src, data_dir)
    check_kind(data_dir, f"{src} has photos", "photos")

    # The source, and what earlier spans have of it.
    _, in_schema = read_schema(data_dir)  # one that takes no labels is refused before anything is written
    labels = {PhotoSpan.of(span): read_corrected(span) for span in find_usable_spans(data_dir)}
    earlier = KnownPhotos(labels)
    file = read_table_file(data_dir)
    source = find_source(src, {*earlier.labels, *in_schema}, file)
    report = ImportReport(src, source.layout)

    # The photos, which are written as they are read.
    settings = limits or DataSettings()
    in_use = sorted((label for label in earlier.labels if not find_fault(label)), key=_make_natural_key)
    try:
        with (
            closing(DecoderProcess(read_time_taken, _SECONDS, _GIGABYTES)) as when_taken,
            closing(DecoderProcess(partial(read_look, limits=settings), _SECONDS, _LOOK_GIGABYTES)) as decode,
        ):
            importer = _Importer(report, source, earlier, when_taken, _LookMaker(decode, describe))

            def finish(rows: list[LabelRow]) -> list[LabelRow]:
                check_spelling(str(src), importer.list_labels(), {*in_use, *in_schema})
                if least:
                    check_classes(str(src), "photo", _count_labels(labels, report.added))
                return _assign_sessions_and_splits(data_dir, labels, settings.eval_fraction, importer)

            rows = iter(importer)
            first = next(rows, None)
            if first:
                report.span = span = write_span(data_dir, chain([first], rows), finish)
                keep_looks(data_dir, span, {new.row.photo: new.look for new in importer.photos if new.look})
    except OSError as error:
        raise _make_write_error(data_dir, error) from None
    if not report.added and not report.known and not report.relabelled:
        raise _make_empty_error(source, report)

    # A new schema also gets the labels of earlier spans; an existing one has them already.
    names = importer.list_labels()
    schema = build_photo_schema(list(dict.fromkeys([*in_use, *names])))
    levels = importer.make_look.find_levels()
    report.written, report.new_labels = add_files(data_dir, schema, names, "photo", levels=levels)
    if source.columns and file is None:
        report.written += (write_table_file(data_dir, TableFile(source.columns, str(src))),)
    report.added = {label: report.added[label] for label in sorted(report.added, key=_make_natural_key)}
    report.conflicts = importer.list_conflicts()
    report.conflicting = len(report.conflicts)
    report.warnings = (
        *_list_searched(source, report),
        *source.warnings,
        *importer.warn_of_photos(_count_labels(labels, report.added), least),
        *warn_of_labels([label for label in report.added if label not in in_schema]),
        *importer.make_look.warnings,
        *_warn_of_levels(levels, settings, is_new=data_dir / WORKLOAD in report.written),
    )
    return report


def _warn_of_levels(levels: Sequence[int], limits: DataSettings, is_new: bool) -> Iterator[str]:
    """Yields what a run reads of the levels of 16-bit photos, unless that is most of them."""
    if not levels:
        return
    used = f"Photos of 16 bits use the levels {levels[0]:,} to {levels[1]:,} of 65,535"
    if is_new:
        yield f"{used}, and data.levels in {WORKLOAD} reads these alone, on phones too."
    elif not limits.levels:
        yield f"{used}: write levels: {[*levels]} below data in {WORKLOAD}, or they look alike."
    elif levels[0] + levels[1] < 2 * limits.levels[0] or levels[0] + levels[1] > 2 * limits.levels[1]:
        yield f"{used}, and data.levels reads {limits.levels[0]:,} to {limits.levels[1]:,}: most is clipped."


def _make_write_error(data_dir: Path, error: OSError) -> EdgelineError:
    return EdgelineError(
        f"The photos cannot be written to {data_dir} ({error.strerror}).",
        "Nothing was imported.",
        "Free disk space or grant write permission there, then import again.",
    )


def _check_outside(src: Path, data_dir: Path) -> None:
    if src.resolve() in (data_dir.resolve(), *data_dir.resolve().parents):
        raise UsageError(
            f"{data_dir} lies in {src}.",
            "The next import would read its spans as photos to import.",
            "Pass a data folder, or a workspace, outside the source.",
        )


def _list_searched(source: Source, report: ImportReport) -> list[str]:
    """Returns where missing photos were looked for, if there are any, in a sentence."""
    return [source.searched] if source.searched and "missing" in report.refused else []


def _make_empty_error(source: Source, report: ImportReport) -> DataRefused:
    refused = ", ".join(f"{len(at):,} {reason} ({at[0]}, ...)" for reason, at in report.refused.items())
    return DataRefused(
        f"{report.source} is {source.layout}, but none of its photos can be imported:"
        f" {refused or 'it is empty'}.",
        " ".join(["There is nothing to train on.", *_list_searched(source, report)]),
        "Give each photo a label, and a file below the source that is not empty.",
    )


def _count_labels(labels: Mapping[PhotoSpan, Sequence[LabelRow]], added: Mapping[str, int]) -> dict[str, int]:
    """Counts the photos of the usable spans and the new ones, by label."""
    counts = Counter(row.label for row in chain(*labels.values()) if row.label) + Counter(added)
    return dict(sorted(counts.items()))


def _assign_sessions_and_splits(
    data_dir: Path,
    labels: Mapping[PhotoSpan, Sequence[LabelRow]],
    eval_fraction: float,
    importer: "_Importer",
) -> list[LabelRow]:
    """Returns the new span's rows with their sessions and splits; `labels` are the usable spans' rows."""
    looks = list[tuple[LabelRow, bytes]]()
    make_look = importer.make_look
    if any(photo.look for photo in importer.photos):
        looks = list(read_known_looks(data_dir, labels, make_look, described=make_look.describe is not None))
    report = importer.report
    grouped, report.groups, report.joined = group_photos(importer.photos, looks)

    earlier = list(chain(*labels.values()))
    splits = dict[str, str]()
    for span in map(PhotoSpan.of, find_spans(data_dir)):
        with suppress(DataRefused):  # an excluded span may be damaged
            rows_of_span = labels[span] if span in labels else read_labels(span)
            for row in rows_of_span:
                split = row.split if row.split in SPLITS else ""
                splits[get_session(row)] = splits.get(get_session(row)) or split
    rows = assign_splits(grouped, earlier, splits, eval_fraction)
    sides = {row.split for row in (*earlier, *(new.row for new in importer.photos))}
    importer.only_train = sides == {"train"}
    report.eval = dict(sorted(Counter(row.label for row in rows if row.split == "eval").items()))
    return rows


@dataclass
class _Importer:
    """An iterator over the rows and photos of the new span, which reports what the source holds."""

    report: ImportReport
    source: Source
    known_photos: KnownPhotos
    when_taken: DecoderProcess
    make_look: "_LookMaker"
    photos: list[NewPhoto] = field(default_factory=list)
    only_train: bool = False  # whether all photos of the spans and the source have that split
    labels_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by hash
    unusable: set[tuple[str, str]] = field(default_factory=set)  # hash and label of photos that a run rejects
    rejected: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # sentences by reason
    labels: set[str] = field(default_factory=set)

    def list_labels(self) -> list[str]:
        """Returns the labels of photos that are in a span now, in the source's order or else sorted."""
        return [label for label in self.source.label_order if label in self.labels] + sorted(
            self.labels.difference(self.source.label_order), key=_make_natural_key
        )

    def list_conflicts(self) -> tuple[str, ...]:
        """Returns the places of each photo with two labels, and the labels there."""
        places = defaultdict[str, list[str]](list)
        for photo in self.photos:
            places[photo.row.photo.partition(".")[0]].append(f"{photo.where} is {photo.row.label!r}")
        return tuple(", ".join(files) for files in places.values() if len(files) > 1)

    def warn_of_photos(self, counts: Mapping[str, int], least: int) -> Iterator[str]:
        """Yields warnings of photos without eval, of those that a run will reject, and of small classes.

        `counts` are the photos of each label, and a run wants `least` of each that it does not reject.
        """
        if self.only_train:
            yield _NO_EVAL
        for reason, photos in self.rejected.items():
            count = format_count(len(photos), "photo")
            yield f"A run will quarantine {count} as {reason}; the first is {photos[0]}"
        unusable = Counter(label for _, label in self.unusable)
        yield from warn_of_few("photo", {label: n - unusable[label] for label, n in counts.items()}, least)

    def __iter__(self) -> Iterator[tuple[LabelRow, bytes | None]]:
        for number, offer in enumerate(self.source.offers, start=1):
            report(Counted("photos", number, self.source.count))
            if isinstance(offer, RefusedPhoto):
                self.report.refused.setdefault(offer.reason, []).append(offer.where)
            elif added := self._add_photo(offer):
                yield added

    def _add_photo(self, photo: LabelledPhoto) -> tuple[LabelRow, bytes | None] | None:
        """Returns the row of a photo that is new, or has a new label in this source; else None.

        The photo comes with it, unless an earlier row of this source has brought it.
        """
        digest = hash_photo(photo.data)
        if match := self.known_photos.find(photo.data, digest):
            span, row = match
            self.report.restored += restore_photo(span, row.photo, photo.data)
            if row.label != photo.label:
                place = f"{photo.where} ({span.name}/{row.photo})"
                self.report.relabelled.append(f"{place} is {row.label!r} there, {photo.label!r} here")
                return None
        if match or photo.label in self.labels_of[digest]:
            self.report.known += 1
            self.labels.add(photo.label)
            return None
        self.labels_of[digest].add(photo.label)
        self.labels.add(photo.label)
        self.report.added[photo.label] += 1
        suffix = PurePath(photo.where).suffix.lower()
        modified = min(max(photo.modified, 0), _LAST_TIME)
        written_at = format_utc(datetime.fromtimestamp(modified, timezone.utc))
        captured_at: str | None = photo.captured_at
        if not captured_at and may_have_exif(photo.data):
            with suppress(RowRejected):  # ingest will judge it
                captured_at = self.when_taken(photo.data)
        row = LabelRow(
            photo=digest + (suffix if suffix in PHOTO_SUFFIXES else ".jpg"),
            label=photo.label,
            lane_id=photo.lane_id or UNKNOWN_LANE,
            # Copies in two splits do not form a session; ingest finds them.
            session_id=photo.session_id or "-".join(filter(None, (digest[:_SESSION_DIGITS], photo.split))),
            captured_at=captured_at or written_at,
            split=photo.split,
        )
        is_repeated = len(self.labels_of[digest]) > 1
        if is_repeated:
            self.unusable.update((digest, label) for label in self.labels_of[digest])
        photo_look = None
        is_looked_for = not photo.session_id and not is_repeated
        if is_looked_for or _may_have_levels(photo.data):
            try:
                look = self.make_look(photo.data)
                photo_look = look if is_looked_for else None
            except RowRejected as rejected:
                self.unusable.add((digest, photo.label))
                self.rejected[rejected.reason].append(f"{photo.where}: {rejected.detail}")
        self.photos.append(NewPhoto(row, photo.where, photo.name, photo_look, captured_at))
        return row, None if is_repeated else photo.data


class _LookMaker:
    """Computes the look of a photo: its thumbnail, with a network's features where one is available."""

    def __init__(self, decode: DecoderProcess, describe: Callable[[bytes], bytes] | None) -> None:
        self._decode, self.describe = decode, describe
        self._levels = list[tuple[int, ...]]()
        self.warnings: tuple[str, ...] = ()

    def find_levels(self) -> tuple[int, ...]:
        """Returns the levels of the 16-bit photos so far with some room; none if they use most of all."""
        if not self._levels:
            return ()
        low, high = min(low for low, _ in self._levels), max(high for _, high in self._levels)
        room = int(_ROOM * (high - low)) + 1
        return (max(0, low - room), min(65535, high + room)) if high - low < _MOST_LEVELS else ()

    def __call__(self, photo: bytes) -> bytes | None:
        """Returns the look of a photo; None for a huge one. Raises RowRejected for one that a run rejects."""
        decoded = self._decode(photo)
        if decoded is None:
            return None
        thumbnail, pixels, levels = decoded
        if levels:
            self._levels.append(levels)
        if self.describe is not None:
            try:
                return bytes(thumbnail + self.describe(pixels))
            except UsageError as error:
                self.describe = None
                self.warnings = (
                    f"{error.found} So only thumbnails were compared, which miss an object in another place."
                    " Run `make setup` again, then import again.",
                )
        return bytes(thumbnail)


def _may_have_levels(photo: bytes) -> bool:
    """Returns whether a photo may have 16 bits a pixel."""
    is_deep_png = photo.startswith(b"\x89PNG") and photo[24:25] == b"\x10"
    return is_deep_png or photo.startswith((b"II", b"MM", b"P5"))


def _make_natural_key(label: str) -> list[tuple[bool, int, str, str]]:
    """Returns a sort key that puts 2 before 10, for any number of digits."""
    parts = ((part, part.lstrip("0") if part.isdecimal() else "") for part in re.split(r"(\d+)", label))
    return [(not part.isdecimal(), len(digits), digits, part) for part, digits in parts]
