"""The time at which a photo was taken, from its EXIF."""

import re
from datetime import datetime

from edgeline.edge.photo_pixels import READER_ERRORS, open_photo
from edgeline.journal import format_utc

# The first bytes of a TIFF, and the marks before EXIF in a JPEG, a PNG (two ways) and a WebP.
_TIFF, _MARKS = (b"II", b"MM"), (b"Exif", b"eXIf", b"Raw profile type ", b"EXIF")
# Tags of the EXIF 2.32 standard.
_EXIF, _TAKEN_TAG, _OFFSET_TAG = 0x8769, 0x9003, 0x9011


def may_have_exif(photo: bytes) -> bool:
    """Returns whether a photo is worth opening for its EXIF."""
    return photo.startswith(_TIFF) or any(mark in photo for mark in _MARKS)


def read_time_taken(photo: bytes) -> str | None:
    """Returns DateTimeOriginal in UTC, None if it is absent; without an offset it counts as UTC."""
    try:
        with open_photo(photo) as image:
            tags = image.getexif().get_ifd(_EXIF)
        taken = str(tags[_TAKEN_TAG]).strip("\0 ")
        offset = re.match(r"[+-]\d\d:\d\d", str(tags.get(_OFFSET_TAG, "")))
        return format_utc(datetime.strptime(taken + (offset[0] if offset else "Z"), "%Y:%m:%d %H:%M:%S%z"))
    except READER_ERRORS:
        return None
