"""The pixels of a photo's file: one way to them, which ingest and a device go alike.

A photo is opened by its content, made 8-bit grey or RGB, laid on white where it is transparent, scaled down
to a longest side and turned upright. Colour profiles are not applied, as TensorFlow applies none. It takes
Pillow alone, and pillow-heif for HEIC.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Formats by content; MPO, which some phones write, is found as JPEG. Not EPS: Pillow runs Ghostscript on it.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
BOXED_FORMATS = ("AVIF", "HEIF")  # of files that begin with an ISO 14496-12 box
# What Pillow's readers raise on damaged files.
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
# A JPEG decoder may scale by 1/2, 1/4 or 1/8 as long as so many times the wanted size is left. Of noise and
# hard edges in strong colours at 3,000 to 6,000 pixels, one value of 224 x 224 in 4,000 then changes by more
# than a level; with 2, one in 50.
_SPARE = 3


def open_photo(data: bytes) -> Image.Image:
    """Opens a photo; nothing is decoded yet. Raises what Pillow raises on damaged files."""
    formats = FORMATS
    if data[4:8] == b"ftyp":
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats = BOXED_FORMATS
    return Image.open(io.BytesIO(data), formats=formats)


def orientation_of(image: Image.Image, exif: bytes = b"") -> int:
    """Returns the EXIF orientation, 1 to 8, of `exif` or else of the photo; one that cannot be read is 1."""
    if image.format == "TIFF":
        return 1  # Pillow turns it by itself while it loads
    try:
        tags = image.getexif()
        if exif:
            tags.load(exif)
        value = tags.get(_ORIENTATION_TAG, 1)
    except READER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def scaled_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Returns `size` with its longer side at `side`; the shorter one to the nearest pixel, halves up."""
    longest = max(size)
    width, height = (max(1, (2 * pixels * side + longest) // (2 * longest)) for pixels in size)
    return width, height


def upright(image: Image.Image, orientation: int, max_side: int) -> Image.Image:
    """Decodes the first frame as L or RGB, upright, its longer side scaled down to `max_side` where above.

    Scales with an antialiased bilinear filter and rounds to whole levels.

    Raises:
        ValueError: Its pixels are no grey levels. Also what Pillow raises on damaged files.
    """
    target = scaled_size(image.size, max_side) if max(image.size) > max_side else image.size
    if target != image.size and image.format in ("JPEG", "MPO"):  # of a HEIC photo it would be a thumbnail
        image.draft(None, (_SPARE * target[0], _SPARE * target[1]))
    picture = _eight_bit(image)
    if picture.size != target:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
    return picture if orientation == 1 else picture.transpose(_TURNS[orientation])


def _eight_bit(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion to L would clip instead of scaling
        pixels = np.asarray(image).astype(np.int64)
        return Image.fromarray((pixels.clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")
