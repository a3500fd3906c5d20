"""When a photo was taken, as its phone wrote it."""

import re
from datetime import datetime, timedelta, timezone

from journal import utc_text
from photo_pixels import READER_ERRORS, open_photo

# How a TIFF begins, and what stands before EXIF in a JPEG, a PNG (two ways) and a WebP.
_TIFF, _MARKS = (b"II", b"MM"), (b"Exif", b"eXIf", b"Raw profile type ", b"EXIF")
# Tags of the EXIF 2.32 standard.
_EXIF, _TAKEN, _OFFSET = 0x8769, 0x9003, 0x9011


def may_have_exif(photo: bytes) -> bool:
    """Whether it is worth the time to open a photo for its EXIF."""
    return photo.startswith(_TIFF) or any(mark in photo for mark in _MARKS)


def taken_at(photo: bytes) -> str | None:
    """DateTimeOriginal in UTC; without an offset it is taken for UTC. None where there is none to read."""
    try:
        with open_photo(photo) as image:
            tags = image.getexif().get_ifd(_EXIF)
        local = datetime.strptime(str(tags[_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        return utc_text(local.replace(tzinfo=timezone(_offset(str(tags.get(_OFFSET, ""))))))
    except READER_ERRORS:
        return None


def _offset(text: str) -> timedelta:
    match = re.match(r"([+-])(\d\d):(\d\d)", text)
    if match is None:
        return timedelta(0)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset
