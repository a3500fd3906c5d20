"""A span of labelled photos: its labels file, and the photos beside it.

DIR/span-00042/labels.csv      photo,label,lane_id,session_id,captured_at,split
DIR/span-00042/photos/...      the files that the photo column names, POSIX, relative to photos/
"""

import csv
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath

from data.spans.layout import Span, add_span, replace_file
from data.spans.source import Rejected
from edgeline.errors import DataRefused, EdgelineError
from edgeline.records.rejection import RowRejected
from edgeline.store.fetching import fetch
from edgeline.store.locations import Location, list_files_below, list_names, read_bytes
from edgeline.store.store_errors import is_absent
from edgeline.tables.rows import check_once, read_header, read_rows

# A larger file of a photo is refused without reading more of it.
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class LabelRow:
    """A labelled photo, as a row of labels.csv.

    `split` is that of its session, `train` or `eval`; if it is empty, a hash of the session decides.
    """

    photo: str
    label: str
    lane_id: str
    session_id: str
    captured_at: str
    split: str = ""


COLUMNS = tuple(field.name for field in fields(LabelRow))
_REQUIRED = tuple(column for column in COLUMNS if column != "split")
_HEADER = ",".join(_REQUIRED)


def get_session(row: LabelRow) -> str:
    """Returns the session of a row; a photo without one is its own session."""
    return row.session_id or row.photo


@dataclass(frozen=True)
class PhotoSpan(Span):
    """One week of labelled photos."""

    @staticmethod
    def of(span: Span) -> "PhotoSpan":
        """Returns a span as one of photos."""
        return PhotoSpan(span.number, span.path)

    @property
    def labels(self) -> Location:
        """Returns the path of the labels file."""
        return self.path / "labels.csv"

    @property
    def photos(self) -> Location:
        """Returns the folder to which the photo column is relative."""
        return self.path / "photos"

    def read(self, photo: str) -> bytes:
        """Reads the file that a `photo` cell names, if it has at most `MOST_BYTES`.

        Raises RowRejected: outside-span or missing, as for `resolve`; unreadable; oversized. Raises
        EdgelineError if the object store cannot be read at all.
        """
        path = self.resolve(photo)
        with self._reject_errors(photo, MOST_BYTES):
            return read_bytes(path, MOST_BYTES)

    def sizes(self) -> Mapping[str, int]:
        """Returns the sizes in bytes of photos in an object store, by name; empty for a disk."""
        if isinstance(self.path, Path):
            return {}
        return {name: entry.size for name, entry in list_files_below(self.path / "photos").items()}

    def fetch(self, photo: str, size: int) -> Callable[[], bytes]:
        """Begins to fetch a photo of `size` bytes from an object store; returns a function that waits for it.

        Raises as `resolve` does; the returned function raises as `read` does.
        """
        name = self._clean_name(photo)
        if ":" in name:  # for other names `resolve` checks nothing more, and takes as long as a fetch
            self.resolve(photo)
        assert not isinstance(self.path, Path)
        fetched = fetch(self.path, f"photos/{name}", size)

        def wait() -> bytes:
            with self._reject_errors(photo, size):
                return fetched()

        return wait

    @contextmanager
    def _reject_errors(self, photo: str, most: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if is_absent(error):
                raise self._make_missing_error(photo) from None
            if error.errno == errno.EFBIG:
                raise RowRejected("oversized", f"The file has more than {most:,} bytes.") from None
            raise RowRejected("unreadable", f"It cannot be opened ({error.strerror}).") from None
        except EdgelineError as error:
            # The labels could be read, so only this object is forbidden.
            if isinstance(error.__cause__, PermissionError):
                raise RowRejected("unreadable", f"It cannot be opened ({error.__cause__}).") from None
            raise

    def resolve(self, photo: str) -> Location:
        """Returns the file that a `photo` cell names, with every link followed.

        Raises RowRejected: outside-span, if the cell is absolute, has a `..`, or is a link that leads out of
        the span's folder; missing, if it is empty, or there is no such file. An object store is not asked:
        `read` will notice.
        """
        name = self._clean_name(photo)
        if not isinstance(self.path, Path):
            try:
                return self.photos / name
            except ValueError:  # it looks like a place in another store
                raise _make_outside_error(photo) from None
        path = os.path.realpath(self.path / "photos" / photo)
        if not path.startswith(os.path.realpath(self.path) + os.sep):
            raise RowRejected("outside-span", f"{photo!r} is a link that leads out of {self.name}.")
        if not os.path.isfile(path):
            raise self._make_missing_error(photo)
        return Path(path)

    def _clean_name(self, photo: str) -> str:
        """Returns the name of a cell's object below photos/, without ./ and //. Raises RowRejected."""
        if not photo:
            raise RowRejected("missing", "The photo cell is empty.")
        path = PurePosixPath(photo)
        if path.is_absolute() or ".." in path.parts or "\0" in photo:
            raise _make_outside_error(photo)
        if not path.parts:
            raise self._make_missing_error(photo)
        return path.as_posix()

    def _make_missing_error(self, photo: str) -> RowRejected:
        return RowRejected("missing", f"{self.name}/photos/{photo} does not exist.")


def _make_outside_error(photo: str) -> RowRejected:
    return RowRejected("outside-span", f"{photo!r} is not a plain relative path below photos/.")


def read_labels(week: Span) -> list[LabelRow]:
    """Reads the rows of a span's labels.csv, with cells stripped of surrounding blanks.

    A byte order mark, CRLF line ends, quoted commas and any order of the columns are accepted. Raises
    DataRefused if the file cannot be read, lacks a column or has one twice, or a row has more or fewer cells.
    """
    span = PhotoSpan.of(week)
    file, spans = span.labels, (span.name,)
    if file.name not in list_names(span.path):
        do = f"Write it with the columns {_HEADER}."
        raise DataRefused(f"{file} is missing.", "Photos without labels cannot be trained on.", do, spans)
    header = read_header(file, spans)
    check_once(file, header, COLUMNS, spans)
    if missing := [column for column in _REQUIRED if column not in header]:
        what = f"{file} has no column {', '.join(missing)}; found: {', '.join(header)}."
        why = "Each photo needs a label, a lane and a session."
        raise DataRefused(what, why, f"Write the header {_HEADER}.", spans)
    rows = []
    for item in read_rows(file, COLUMNS, spans):
        if isinstance(item, Rejected):
            raise DataRefused(
                f"{span.path}/{item.id}: {item.detail}",
                "Its cells cannot be assigned to columns.",
                "Quote cells that contain a comma, and write an empty cell as nothing between two commas.",
                spans,
            )
        rows.append(LabelRow(*(item[1].get(column, "").strip() for column in COLUMNS)))
    return rows


def write_span(
    data_dir: Path,
    photos: Iterable[tuple[LabelRow, bytes | None]],
    finish: Callable[[list[LabelRow]], list[LabelRow]] = list,
) -> PhotoSpan:
    """Writes the next span of photos, see `add_span`; for a row with None as photo, no file is written.

    Args:
        data_dir: The folder of spans, which is made if it is missing.
        photos: The rows, each with its JPEG file; they are taken one at a time.
        finish: Gets all rows after all photos were written, and returns those to write.
    """

    def fill(folder: Path) -> None:
        (folder / "photos").mkdir()
        rows = []
        for row, photo in photos:
            rows.append(row)
            if photo is not None:
                target = folder / "photos" / row.photo
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(photo)
        with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(astuple(row) for row in finish(rows))

    return PhotoSpan.of(add_span(data_dir, fill))


def restore_photo(span: PhotoSpan, photo: str, content: bytes) -> bool:
    """Writes the file of a row if it is gone, and returns whether it was. Overwrites nothing.

    Args:
        span: A span on a disk.
        photo: The name in the row, a path below the folder `photos`.
        content: The whole file, as it was imported.
    """
    target = Path(str(span.photos), photo)
    try:
        span.resolve(photo)
        return False
    except RowRejected as rejected:
        if rejected.reason != "missing" or os.path.lexists(target):
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, content)
    return True
