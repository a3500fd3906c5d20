"""A photo as small as a person needs it to see what is wrong with it."""

import io
import warnings

from PIL import Image, ImageOps

from data.photos.checks import FORMATS, READER_ERRORS, encoded

# A larger one would take a gigabyte to decode; a JPEG is scaled while it is decoded, and may have any size.
_MOST_PIXELS = 40_000_000


def thumbnail(photo: bytes, side: int = 96) -> bytes | None:
    """A small JPEG of any file, upright and without metadata; None for what cannot be opened."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and large sizes
            with Image.open(io.BytesIO(photo), formats=FORMATS) as image:
                if image.format not in ("JPEG", "MPO") and image.width * image.height > _MOST_PIXELS:
                    return None
                image.thumbnail((side, side))
                small = ImageOps.exif_transpose(image).convert("RGB")
    except READER_ERRORS:
        return None
    return encoded(small, quality=80)
