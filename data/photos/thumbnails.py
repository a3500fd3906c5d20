"""Small versions of a photo: for people to see its faults, for the search of near twins, for a network.

And the time at which it was taken, from its EXIF.
"""

import io
import re
import warnings
from datetime import datetime

from PIL import Image

from data.photos.checks import check_header, read_levels
from data.photos.likeness import SHOWN_SIDE, compute_look, compute_pixels
from data.settings import DataSettings
from edgeline.edge.photo_pixels import (
    READER_ERRORS,
    decode_upright,
    open_photo,
    read_orientation,
)
from edgeline.journal import format_utc

# A larger photo would take a gigabyte to decode. A JPEG is scaled while it is decoded, and may have any size.
# Photos that ingest stored have sides of `data.max_side` at most, whose bound keeps them below this.
_MOST_PIXELS = 40_000_000
# The first bytes of a TIFF, and the marks before EXIF in a JPEG, a PNG (two ways) and a WebP.
_TIFF, _MARKS = (b"II", b"MM"), (b"Exif", b"eXIf", b"Raw profile type ", b"EXIF")
# Tags of the EXIF 2.32 standard.
_EXIF, _TAKEN_TAG, _OFFSET_TAG = 0x8769, 0x9003, 0x9011


def make_thumbnail(photo: bytes, side: int = 96) -> bytes | None:
    """Returns a small JPEG of a photo, upright and without metadata; None if it cannot be opened."""
    small, _ = _open_small(photo, side)
    if small is None:
        return None
    small.info = {}  # Pillow would write the original's comment and profile again
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def read_pixels(photo: bytes) -> bytes:
    """Returns a network's input for a photo that was checked, see `compute_pixels`."""
    small, _ = _open_small(photo, 2 * SHOWN_SIDE)
    assert small is not None, "a checked photo was decoded before"
    return compute_pixels(small)


def read_look(photo: bytes, limits: DataSettings) -> tuple[bytes, bytes, tuple[int, ...]] | None:
    """Returns the look of a photo, a network's input for it, and its levels; None if it cannot be decoded.

    Raises RowRejected if a run with these limits rejects it for that: oversized, too-small, not-a-photo, or
    unreadable.
    """
    check_header(photo, limits)
    small, levels = _open_small(photo, 2 * SHOWN_SIDE)
    return None if small is None else (compute_look(small), compute_pixels(small), levels)


def _open_small(photo: bytes, side: int) -> tuple[Image.Image | None, tuple[int, ...]]:
    """Returns a photo scaled down, and the levels that one of 16 bits has, of which it shows all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata and large sizes
            with open_photo(photo) as image:
                if image.format not in ("JPEG", "MPO") and image.width * image.height > _MOST_PIXELS:
                    return None, ()
                levels = read_levels(image)
                return decode_upright(image, read_orientation(image), side, levels), levels
    except READER_ERRORS:
        return None, ()


def may_have_exif(photo: bytes) -> bool:
    """Returns whether a photo is worth opening for its EXIF."""
    return photo.startswith(_TIFF) or any(mark in photo for mark in _MARKS)


def read_time_taken(photo: bytes) -> str | None:
    """Returns DateTimeOriginal in UTC, None if it is absent; without an offset it counts as UTC."""
    try:
        with open_photo(photo) as image:
            tags = image.getexif().get_ifd(_EXIF)
        moment = str(tags[_TAKEN_TAG]).strip("\0 ")
        offset = re.match(r"[+-]\d\d:\d\d", str(tags.get(_OFFSET_TAG, "")))
        return format_utc(datetime.strptime(moment + (offset[0] if offset else "Z"), "%Y:%m:%d %H:%M:%S%z"))
    except READER_ERRORS:
        return None
