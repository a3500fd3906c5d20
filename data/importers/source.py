"""A source of photos: the photos that it gives the importer one by one, and those that it refuses."""

import errno
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.importers.table_file import ColumnEntry
from data.photos.labels_file import MOST_BYTES
from data.spans.source import SPLITS
from edgeline.errors import UsageError
from edgeline.labels import find_fault, show_label
from edgeline.store.locations import read_bytes


@dataclass(frozen=True)
class LabelledPhoto:
    """A labelled photo; values that the source lacks are empty."""

    where: str  # its place for messages: a path below the source, or a file and the number of its record
    data: bytes  # the bytes of the file, unchecked
    modified: float  # when its file was last written, in seconds since 1970
    label: str  # as of `clean_text`
    lane_id: str = ""
    session_id: str = ""  # one walk, whose photos belong together
    captured_at: str = ""  # ISO 8601, UTC
    split: str = ""  # `train` or `eval`
    name: str = ""  # of its file, with the folder


@dataclass(frozen=True)
class RefusedPhoto:
    """A photo that cannot be imported, with a slug as reason: missing, zero-byte, outside-source, ..."""

    where: str
    reason: str


Offers = Iterator[LabelledPhoto | RefusedPhoto]


@dataclass(frozen=True)
class Source:
    """A recognised source."""

    layout: str  # in words, for messages
    offers: Offers  # its photos, each read when it is asked for
    count: int | None  # the number of photos; None if it is unknown before reading
    label_order: tuple[str, ...] = ()  # in which the source numbers them; empty if it does not
    warnings: tuple[str, ...] = ()
    columns: Mapping[str, ColumnEntry] = field(default_factory=dict)  # of a manifest, for `table.yaml`
    searched: str = ""  # where the photos that a manifest lists are looked for, in words


def clean_text(value: object, where: str) -> str:
    """Returns a label, lane, session or time without blanks around it, in NFC (macOS writes NFD).

    Raises UsageError for a control character or a lone surrogate; `where` begins the sentence.
    """
    text = "" if value is None else unicodedata.normalize("NFC", str(value)).strip()
    if text and (fault := find_fault(text)):
        raise UsageError(
            f"{where} is {show_label(text)}: {fault}.",
            "Phones read labels as the lines of a file, and reports show them beside lanes and sessions.",
            "Correct it in the source, and import again; nothing was imported.",
        )
    return text


def check_split(split: str, where: str) -> None:
    """Refuses a split that is not known; `where` begins the sentence. Raises UsageError."""
    if split not in ("", *SPLITS):
        raise UsageError(
            f"{where} is {split!a}.",
            f"A split is {' or '.join(SPLITS)}; the model is evaluated on eval.",
            "Correct it in the source, leave it empty, or rename the column to have photos split for you;"
            " nothing was imported.",
        )


def read_photo_within(
    root: Path, path: Path, where: str, label: str, **more: str
) -> LabelledPhoto | RefusedPhoto:
    """Reads the photo in a file, or says why it cannot be read.

    Args:
        root: The source; a file outside of it, also behind a link, is refused.
        path: The file.
        where: The place of the photo in the source, for messages, as in `LabelledPhoto`.
        label: The label; one that is empty is refused.
        more: Other fields of `LabelledPhoto`.
    """
    if not label:
        return RefusedPhoto(where, "unlabelled")
    try:
        real = os.path.realpath(path)
        if not real.startswith(os.path.realpath(root) + os.sep):
            return RefusedPhoto(where, "outside-source")
        data = read_bytes(Path(real), MOST_BYTES)
        modified = os.stat(real).st_mtime
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no file can have
        return RefusedPhoto(where, "missing")
    except OSError as error:
        return RefusedPhoto(where, "oversized" if error.errno == errno.EFBIG else "unreadable")
    return LabelledPhoto(where, data, modified, label, **more) if data else RefusedPhoto(where, "zero-byte")
