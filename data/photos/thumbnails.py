"""A photo as small as a person needs it to see what is wrong with it, and as its near twins are told by."""

import io
import warnings

from PIL import Image, ImageOps

from data.photos.checks import check_header
from data.photos.likeness import SHOWN_SIDE, look_of, pixels_of
from data.settings import DataSettings
from photo_pixels import READER_ERRORS, open_photo

# A larger one would take a gigabyte to decode; a JPEG is scaled while it is decoded, and may have any size.
_MOST_PIXELS = 40_000_000


def thumbnail(photo: bytes, side: int = 96) -> bytes | None:
    """A small JPEG of any file, upright and without metadata; None for what cannot be opened."""
    small = _small(photo, side)
    if small is None:
        return None
    small.info = {}  # Pillow would write the original's comment and profile again
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def shown(photo: bytes) -> bytes:
    """Returns what a network is shown of a photo that was checked, see `pixels_of`."""
    small = _small(photo, 2 * SHOWN_SIDE)
    assert small is not None, "a checked photo was decoded before"
    return pixels_of(small)


def look(photo: bytes) -> tuple[bytes, bytes] | None:
    """Returns the look of any file, and what a network is shown of it; None for what cannot be opened."""
    small = _small(photo, 2 * SHOWN_SIDE)
    return None if small is None else (look_of(small), pixels_of(small))


def read_usable_look(photo: bytes) -> tuple[bytes, bytes] | None:
    """Returns what `look` does, for a photo that a run does not reject for its header.

    Raises:
        RowRejected: oversized, too-small, or unreadable.
    """
    check_header(photo, DataSettings())
    return look(photo)


def _small(photo: bytes, side: int) -> Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and large sizes
            with open_photo(photo) as image:
                if image.format not in ("JPEG", "MPO") and image.width * image.height > _MOST_PIXELS:
                    return None
                image.thumbnail((side, side))
                return ImageOps.exif_transpose(image).convert("RGB")
    except READER_ERRORS:
        return None
