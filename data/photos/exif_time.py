"""The time at which a photo was taken, from its EXIF."""

import re
from datetime import datetime, timedelta, timezone

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
        local = datetime.strptime(str(tags[_TAKEN_TAG]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        return format_utc(local.replace(tzinfo=timezone(_parse_offset(str(tags.get(_OFFSET_TAG, ""))))))
    except READER_ERRORS:
        return None


def _parse_offset(text: str) -> timedelta:
    match = re.match(r"([+-])(\d\d):(\d\d)", text)
    if match is None:
        return timedelta(0)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset
