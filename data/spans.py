"""Weekly spans of labelled photos on disk: the one place that reads and writes their layout.

    DIR/span-00042/labels.csv      photo,label,lane_id,session_id,captured_at
    DIR/span-00042/photos/...      what the photo column names, POSIX, relative to photos/
"""

import csv
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from errors import DataRefused

_SPAN_NAME = re.compile(r"span-(\d{5})")


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
    path: Path

    @property
    def name(self) -> str:
        """The folder's name, `span-00042`."""
        return self.path.name

    @property
    def labels(self) -> Path:
        """The labels file."""
        return self.path / "labels.csv"

    @property
    def photos(self) -> Path:
        """The folder that the photo column is relative to."""
        return self.path / "photos"


def find_spans(data_dir: Path) -> tuple[Span, ...]:
    """All spans under `data_dir`, oldest first; empty where the folder is missing or has none."""
    if not data_dir.is_dir():
        return ()
    matches = ((_SPAN_NAME.fullmatch(entry.name), entry) for entry in data_dir.iterdir() if entry.is_dir())
    return tuple(sorted((Span(int(m.group(1)), path) for m, path in matches if m), key=lambda s: s.number))


def newest_spans(data_dir: Path, window: int) -> tuple[Span, ...]:
    """The newest `window` spans, oldest first.

    Raises:
        DataRefused: There is no span at all.
    """
    spans = find_spans(data_dir)[-window:]
    if not spans:
        raise DataRefused(
            f"{data_dir} holds no span-NNNNN folder.",
            "There is nothing to train on.",
            f"Import labelled photos with `edgeline data import SRC --data {data_dir}`,"
            f" or render a sample with `edgeline data generate --data {data_dir}`.",
        )
    return spans


def read_labels(span: Span) -> list[LabelRow]:
    """The rows of a span's labels.csv, cells stripped of surrounding blanks.

    A byte order mark, CRLF line ends, quoted commas and columns in any order are fine.

    Raises:
        DataRefused: The file is missing, is not UTF-8, lacks a column, or a row has too few or too many cells.
    """
    try:
        text = span.labels.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataRefused(
            f"{span.labels} is missing.",
            "Photos without labels cannot be trained on.",
            f"Write it with the columns {','.join(COLUMNS)}, or move {span.name} out of the data folder.",
        ) from None
    except UnicodeDecodeError as error:
        raise DataRefused(
            f"{span.labels} is not UTF-8 (byte {error.start}).", "Labels would be misread.", "Save it as UTF-8."
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip() for name in reader.fieldnames or ()]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise DataRefused(
            f"{span.labels} has no column {', '.join(missing)}; found: {', '.join(header) or 'an empty file'}.",
            "Each photo needs a label, a lane and a session.",
            f"The header is {','.join(COLUMNS)}.",
        )
    reader.fieldnames = header
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataRefused(
                    f"{span.labels} line {reader.line_num} does not have {len(header)} cells.",
                    "Its cells cannot be told apart.",
                    "Quote cells that hold a comma, and fill empty cells with nothing between two commas.",
                )
            rows.append(LabelRow(*(row[column].strip() for column in COLUMNS)))
    except csv.Error as error:
        raise DataRefused(
            f"{span.labels} line {reader.line_num} is not CSV ({error}).", "It cannot be read.", "Mend that line."
        ) from None
    return rows


def write_span(data_dir: Path, photos: Iterable[tuple[LabelRow, bytes | None]]) -> Span:
    """Writes the next span: all of it, or nothing. Never touches an existing one.

    Args:
        data_dir: The folder of spans; made when missing.
        photos: Rows with the photo's bytes; None writes the row alone.

    Returns:
        The new span, numbered one higher than the last one that is there.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=data_dir))
    try:
        (scratch / "photos").mkdir()
        with (scratch / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row, photo in photos:
                writer.writerow(astuple(row))
                if photo is not None:
                    target = scratch / "photos" / row.photo
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(photo)
        scratch.chmod(0o755)
        spans = find_spans(data_dir)
        number = spans[-1].number + 1 if spans else 1
        span = Span(number, data_dir / f"span-{number:05d}")
        scratch.rename(span.path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return span


def content_digest(spans: Sequence[Span]) -> str:
    """SHA-256 over names and bytes of every file in the spans, the same on every machine."""
    digest = hashlib.sha256()
    for span in spans:
        for folder, folders, names in os.walk(span.path):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                digest.update(f"{span.name}/{path.relative_to(span.path).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"gone")
    return digest.hexdigest()
