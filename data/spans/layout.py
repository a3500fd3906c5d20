"""Weekly spans of labelled photos, on a disk or in an object store: the one place that knows their layout.

DIR/span-00042/labels.csv      photo,label,lane_id,session_id,captured_at
DIR/span-00042/photos/...      what the photo column names, POSIX, relative to photos/

Spans are read from both, and written to a disk alone.
"""

import csv
import errno
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath

from data.spans.exclusions import Decision, excluded_spans, read_decisions
from data.spans.names import describe_spans, name_span
from data.spans.rejection import PhotoRejected
from errors import DataRefused, EdgelineError, UsageError
from locations import Location, folders_in, read_bytes

# A million rows are a third of it; a larger file is none that somebody wrote labels into.
MOST_TEXT_BYTES = 256 * 2**20
_SPAN_NAME = re.compile(r"span-(\d{5})")
_LAST_NUMBER = 99_999
_SCRATCH = ".writing-"
_SCRATCH_MAX_AGE_S = 24 * 3600


@dataclass(frozen=True)
class LabelRow:
    """One labelled photo, as a row of labels.csv has it."""

    photo: str
    label: str
    lane_id: str
    session_id: str
    captured_at: str


COLUMNS = tuple(field.name for field in fields(LabelRow))


@dataclass(frozen=True)
class Span:
    """One week of labelled photos."""

    number: int
    path: Location

    @property
    def name(self) -> str:
        """The folder's name, `span-00042`."""
        return self.path.name

    @property
    def labels(self) -> Location:
        """The labels file."""
        return self.path / "labels.csv"

    @property
    def photos(self) -> Location:
        """The folder that the photo column is relative to."""
        return self.path / "photos"

    def read(self, photo: str, most: int | None = None) -> bytes:
        """The content of the file that a `photo` cell names, if it has at most `most` bytes.

        Raises:
            PhotoRejected: outside-span or missing, as for `resolve`; unreadable; oversized.
            EdgelineError: The object store cannot be read at all.
        """
        path = self.resolve(photo)
        try:
            return read_bytes(path, most)
        except FileNotFoundError:
            raise self._missing(photo) from None
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise PhotoRejected("oversized", f"The file has more than {most} bytes.") from None
            raise PhotoRejected("unreadable", f"It cannot be opened ({error.strerror}).") from None
        except EdgelineError as error:
            if isinstance(error.__cause__, PermissionError):  # of this object: the labels could be read
                raise PhotoRejected("unreadable", f"It cannot be opened ({error.__cause__}).") from None
            raise

    def resolve(self, photo: str) -> Location:
        """The file that a `photo` cell names, with every link followed.

        Raises:
            PhotoRejected: outside-span, where the cell is absolute, has a `..`, or is a link that leads out
                of the span's folder; missing, where it is empty, or no file is there. An object store is not
                asked: `read` finds out.
        """
        if not photo:
            raise PhotoRejected("missing", "The photo cell is empty.")
        if not _stays_below(photo):
            raise _outside(photo)
        if not isinstance(self.path, Path):
            relative = PurePosixPath(photo).as_posix()  # an object's name has no ./ and no //
            if relative == ".":
                raise self._missing(photo)
            try:
                return self.photos / relative
            except ValueError:  # it looks like a place in another store
                raise _outside(photo) from None
        path = os.path.realpath(self.path / "photos" / photo)
        if not path.startswith(os.path.realpath(self.path) + os.sep):
            raise PhotoRejected("outside-span", f"{photo!r} is a link that leads out of {self.name}.")
        if not os.path.isfile(path):
            raise self._missing(photo)
        return Path(path)

    def _missing(self, photo: str) -> PhotoRejected:
        return PhotoRejected("missing", f"{self.name}/photos/{photo} is not there.")


def _outside(photo: str) -> PhotoRejected:
    return PhotoRejected("outside-span", f"{photo!r} is not a plain relative path below photos/.")


def _stays_below(photo: str) -> bool:
    path = PurePosixPath(photo)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in photo


def find_spans(data_dir: Location) -> tuple[Span, ...]:
    """All spans under `data_dir`, oldest first; empty where the folder is missing or has none."""
    matches = (_SPAN_NAME.fullmatch(name) for name in sorted(folders_in(data_dir)))
    return tuple(Span(int(match[1]), data_dir / match[0]) for match in matches if match)


def usable_spans(data_dir: Location) -> tuple[Span, ...]:
    """All spans that nobody excluded, oldest first.

    Raises:
        DataRefused: The file of exclusions cannot be understood.
    """
    spans = find_spans(data_dir)
    excluded = excluded_spans(data_dir)
    return tuple(span for span in spans if span.name not in excluded)


def next_number(data_dir: Path, count: int = 1) -> int:
    """One more than any span has or had, as far as it is known: an excluded number is not given again.

    Raises:
        UsageError: There are not `count` numbers left.
    """
    spans = find_spans(data_dir)
    decided = (int(decision.span.removeprefix("span-")) for decision in read_decisions(data_dir))
    last = max([0, *(span.number for span in spans), *decided])
    if last + count > _LAST_NUMBER:
        raise UsageError(
            f"{data_dir} holds or held {name_span(last)}.",
            f"The number of a span has five digits: {name_span(_LAST_NUMBER)} is the last one.",
            "Give spans with a high number a lower one, or begin a new data folder.",
        )
    return last + 1


def newest_spans(data_dir: Location, window: int) -> tuple[Span, ...]:
    """The newest `window` spans that nobody excluded, oldest first.

    Raises:
        DataRefused: There is no span at all, or each is excluded.
    """
    spans = usable_spans(data_dir)[-window:]
    if not spans and (excluded := [span.name for span in find_spans(data_dir)]):
        raise DataRefused(
            f"Every span of {data_dir} is excluded: {describe_spans(excluded)}.",
            "There is nothing to train on.",
            f"`edgeline data list --data {data_dir}` has the reasons; read one again with"
            f" `edgeline data exclude {excluded[-1]} --undo --reason R --data {data_dir}`, or import more.",
        )
    if not spans:
        raise DataRefused(
            f"{data_dir} holds no span-NNNNN folder.",
            "There is nothing to train on.",
            f"Import labelled photos with `edgeline data import SRC --data {data_dir}`,"
            f" or render a sample with `edgeline data generate --data {data_dir}`.",
        )
    return spans


def excluded_in_window(data_dir: Location, spans: Sequence[Span], window: int) -> list[Decision]:
    """The exclusions without which other spans than these would be the newest ones, oldest span first.

    Args:
        data_dir: The folder of spans.
        spans: What `newest_spans` gave for it.
        window: With how many.
    """
    excluded = excluded_spans(data_dir)
    oldest = spans[0].name if len(spans) == window else ""
    return [
        excluded[span.name] for span in find_spans(data_dir) if span.name in excluded and span.name > oldest
    ]


def read_labels(span: Span) -> list[LabelRow]:
    """The rows of a span's labels.csv, cells stripped of surrounding blanks.

    A byte order mark, CRLF line ends, quoted commas and columns in any order are fine.

    Raises:
        DataRefused: The file is missing, is not UTF-8, lacks a column or has it twice, or a row has too few
            or too many cells.
    """
    try:
        raw = read_bytes(span.labels, MOST_TEXT_BYTES)
        text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").read()
    except FileNotFoundError:
        raise DataRefused(
            f"{span.labels} is missing.",
            "Photos without labels cannot be trained on.",
            f"Write it with the columns {','.join(COLUMNS)}.",
            (span.name,),
        ) from None
    except UnicodeDecodeError as error:
        raise DataRefused(
            f"{span.labels} is not UTF-8 (byte {error.start}).",
            "Labels would be misread.",
            "Save it as UTF-8.",
            (span.name,),
        ) from None
    except OSError as error:
        raise DataRefused(
            f"{span.labels} cannot be read ({error.strerror}).",
            "The photos have no labels then.",
            "Fix the file.",
            (span.name,),
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        _check_header(span, header)
        return [_label_row(span, reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataRefused(
            f"{span.labels} line {reader.reader.line_num} is not CSV ({error}).",
            "It cannot be read.",
            "Fix that line.",
            (span.name,),
        ) from None


def _check_header(span: Span, header: list[str]) -> None:
    if twice := [column for column in COLUMNS if header.count(column) > 1]:
        raise DataRefused(
            f"{span.labels} has the column {', '.join(twice)} twice.",
            "Which of them counts cannot be told.",
            "Remove or rename one.",
            (span.name,),
        )
    if missing := [column for column in COLUMNS if column not in header]:
        found = ", ".join(header) or "an empty file"
        raise DataRefused(
            f"{span.labels} has no column {', '.join(missing)}; found: {found}.",
            "Each photo needs a label, a lane and a session.",
            f"The header is {','.join(COLUMNS)}.",
            (span.name,),
        )


def _label_row(span: Span, line: int, cells: dict[str, str]) -> LabelRow:
    if None in cells or None in cells.values():
        raise DataRefused(
            f"{span.labels} line {line} does not have as many cells as its header.",
            "Its cells cannot be told apart.",
            "Quote cells that hold a comma, and fill empty cells with nothing between two commas.",
            (span.name,),
        )
    return LabelRow(*(cells[column].strip() for column in COLUMNS))


def write_span(data_dir: Path, photos: Iterable[tuple[LabelRow, bytes | None]]) -> Span:
    """Writes the next span: all of it, or nothing. Never touches an existing one.

    Args:
        data_dir: The folder of spans; made when missing.
        photos: Rows with the photo's bytes; None writes the row alone.

    Returns:
        The new span, numbered one higher than the last one that is there.

    Raises:
        UsageError: There is no number left for it.
    """
    next_number(data_dir)  # before anything is written
    data_dir.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(data_dir)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=data_dir))
    try:
        (scratch / "photos").mkdir()
        with (scratch / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row, photo in photos:
                writer.writerow(astuple(row))
                if photo is not None:
                    if not _stays_below(row.photo):
                        raise ValueError(f"{row.photo!r} is not a relative path below photos/")
                    target = scratch / "photos" / row.photo
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(photo)
        scratch.chmod(0o755)
        return _move_into_place(scratch, data_dir)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def restore_photo(span: Span, photo: str, content: bytes) -> bool:
    """Writes the file of a row where it is gone; whether it was. What is there is not overwritten."""
    target = Path(str(span.photos), photo)
    try:
        span.resolve(photo)
        return False
    except PhotoRejected as rejected:
        if rejected.reason != "missing" or os.path.lexists(target):
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Writes all of a file or none of it, in place of what may be there."""
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _move_into_place(scratch: Path, data_dir: Path) -> Span:
    while True:
        number = next_number(data_dir)
        path = data_dir / name_span(number)
        try:
            scratch.rename(path)
        except OSError as error:
            # Another writer took this number between the look and the move.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return Span(number, path)


def _remove_abandoned(data_dir: Path) -> None:
    """What a writer that was killed left behind; a day old, so that no writer can still be at it."""
    for folder in data_dir.glob(f"{_SCRATCH}*"):
        if time.time() - folder.stat().st_mtime > _SCRATCH_MAX_AGE_S:
            shutil.rmtree(folder, ignore_errors=True)
