"""Reads the pixels of a photo file, in the same way at ingest and on a device.

A photo is opened by its content, made 8-bit grey or RGB, laid on white where it is transparent, scaled down
to a longest side and turned upright. Colour profiles are not applied, as TensorFlow applies none. The module
needs only Pillow, and pillow-heif for HEIC.
"""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

# Formats by content; MPO, which some phones write, is read as JPEG. No EPS: Pillow runs Ghostscript on it.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
BOXED_FORMATS = ("AVIF", "HEIF")  # files that begin with an ISO 14496-12 box
# Pillow's readers raise these on damaged files.
READER_ERRORS: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError),
    *(Image.DecompressionBombError, struct.error, zlib.error),
    *(RuntimeError, AssertionError, Warning),
)
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A JPEG decoder may scale by 1/2, 1/4 or 1/8 as long as this many times the wanted size is left. With 3, one
# value in 4,000 changes by more than a level, in photos of noise and hard edges in strong colours that are
# scaled from 3,000 to 6,000 pixels to 224 x 224; with 2, one in 50.
_DRAFT_MARGIN = 3
# Levels are found on so many pixels a side, and the share of them, in percent, may be beyond on each side:
# dead pixels, and the sky of a thermal photo.
_LEVELS_SIDE, _RARE = 512, 0.1


def open_photo(data: bytes) -> Image.Image:
    """Opens a photo without decoding it. Raises `READER_ERRORS` on damaged files."""
    formats = FORMATS
    if data[4:8] == b"ftyp":
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats = BOXED_FORMATS
    return Image.open(io.BytesIO(data), formats=formats)


def read_orientation(image: Image.Image, exif: bytes = b"") -> int:
    """Returns the EXIF orientation, 1 to 8, from `exif` or else from the photo; 1 if it cannot be read."""
    if image.format == "TIFF":
        return 1  # Pillow turns a TIFF itself while it loads
    try:
        tags = image.getexif()
        if exif:
            tags.load(exif)
        value = tags.get(_ORIENTATION_TAG, 1)
    except READER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def scale_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Scales `size` so that its longer side is `side`; the shorter one is rounded, halves up."""
    longest = max(size)
    width, height = (max(1, (2 * pixels * side + longest) // (2 * longest)) for pixels in size)
    return width, height


def find_levels(image: Image.Image) -> tuple[int, ...]:
    """Returns the levels between which nearly all pixels of a 16-bit photo are; none for one of 8 bits.

    Raises `READER_ERRORS` if the file is damaged.
    """
    if not image.mode.startswith("I"):
        return ()
    step = 1 + max(image.size) // _LEVELS_SIDE
    pixels = np.asarray(image)[::step, ::step]
    low, high = np.percentile(pixels, (_RARE, 100 - _RARE), method="nearest")
    return int(low), max(int(low) + 1, int(high))


def decode_upright(
    image: Image.Image, orientation: int, max_side: int, levels: Sequence[int] = ()
) -> Image.Image:
    """Decodes the first frame as an upright L or RGB image, scaled down if a side exceeds `max_side`.

    Scales with an antialiased bilinear filter and rounds to whole levels.

    Args:
        image: Just opened, as `open_photo` yields it; it is decoded, a JPEG perhaps at a lower resolution.
        orientation: That of EXIF, 1..8, as `read_orientation` returns it.
        max_side: The longest side of the result, in pixels.
        levels: The two of a 16-bit photo that become 0 and 255; empty for 0 and 65,535.

    Raises:
        ValueError: The pixels are floats without a range.
        READER_ERRORS: The file is damaged.
    """
    target = scale_size(image.size, max_side) if max(image.size) > max_side else image.size
    if target != image.size and image.format in ("JPEG", "MPO"):  # a HEIC photo would give its thumbnail
        image.draft(None, (_DRAFT_MARGIN * target[0], _DRAFT_MARGIN * target[1]))
    picture = _convert_to_8_bit(image, levels)
    if picture.size != target:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
    return picture if orientation == 1 else picture.transpose(_TURNS[orientation])


def _convert_to_8_bit(image: Image.Image, levels: Sequence[int]) -> Image.Image:
    image.load()
    if image.mode in ("L", "RGB") and not image.has_transparency_data:  # a PNG may name one colour so
        return image
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion to L would clip instead of scaling
        pixels = np.asarray(image).astype(np.int64)
        if not levels:
            return Image.fromarray((pixels.clip(0, 65535) >> 8).astype(np.uint8))
        low, high = levels
        scaled = (2 * 255 * (pixels.clip(low, high) - low) + high - low) // (2 * (high - low))
        return Image.fromarray(scaled.astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")
