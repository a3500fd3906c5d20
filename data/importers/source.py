"""What a source of photos offers the importer, one photo at a time, and what it had to refuse."""

import errno
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.photos.labels_file import MOST_BYTES
from data.spans.source import SPLITS
from errors import UsageError
from labels import fault_of
from locations import read_bytes

PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".avif"),
    )
)


@dataclass(frozen=True)
class Found:
    """A labelled photo; what the source does not say is empty."""

    where: str  # where a person finds it: a path below the source, or a file and the number of its record
    data: bytes  # of the file, whatever they are
    modified: float  # when the file that it came from was last written, in seconds since 1970
    label: str  # clean
    lane_id: str = ""
    session_id: str = ""  # one walk, whose photos belong together
    captured_at: str = ""  # ISO 8601, UTC
    split: str = ""  # `train` or `eval`
    name: str = ""  # what its file is called, with the folder


@dataclass(frozen=True)
class Refused:
    """What cannot be imported, and the slug to count by: missing, zero-byte, outside-source, ..."""

    where: str
    reason: str


Offers = Iterator[Found | Refused]


@dataclass(frozen=True)
class Source:
    """A recognised source."""

    layout: str  # what it is, in words
    offers: Offers  # its photos, read one by one as they are asked for
    count: int | None  # how many there are; None where only reading tells
    label_order: tuple[str, ...] = ()  # in which the source numbers them; empty where it does not


def clean_text(value: object, where: str) -> str:
    """A label, lane, session or time without blanks around it, umlauts composed (macOS takes them apart).

    Raises:
        UsageError: It holds a control character or half a character; `where` begins the sentence.
    """
    text = "" if value is None else unicodedata.normalize("NFC", str(value)).strip()
    if text and (fault := fault_of(text)):
        raise UsageError(
            f"{where} is {text!a}: {fault}.",
            "Phones read labels as the lines of a file, and reports show them beside lanes and sessions.",
            "Correct it in the source, and import again; nothing was imported.",
        )
    return text


def check_split(split: str, where: str) -> None:
    """Refuses a split that is not known; `where` begins the sentence. Raises UsageError."""
    if split not in ("", *SPLITS):
        raise UsageError(
            f"{where} is {split!a}.",
            f"A photo is in {' or '.join(SPLITS)}; eval is what the model is judged on.",
            "Correct it in the source, leave it empty, or rename the column to have the split made for you;"
            " nothing was imported.",
        )


def find_within(root: Path, path: Path, where: str, label: str, **more: str) -> Found | Refused:
    """The photo in a file below `root`; `where`, `label` and `more` are as of `Found`."""
    if not label:
        return Refused(where, "unlabelled")
    try:
        real = os.path.realpath(path)
        if not real.startswith(os.path.realpath(root) + os.sep):
            return Refused(where, "outside-source")
        data, modified = read_bytes(Path(real), MOST_BYTES), os.stat(real).st_mtime
    except (FileNotFoundError, NotADirectoryError, ValueError):  # of names that no file can have
        return Refused(where, "missing")
    except OSError as error:
        return Refused(where, "oversized" if error.errno == errno.EFBIG else "unreadable")
    return Found(where, data, modified, label, **more) if data else Refused(where, "zero-byte")
