"""Checks of a photo for training, and its conversion to a clean file.

A clean file is one that TensorFlow's decoder and a phone read alike: an upright baseline or progressive JPEG
of luma or YCbCr, or a PNG of anything else, no side above a limit, without EXIF, GPS, XMP, comments, colour
profile or trailing data.
"""

import hashlib
import io
import re
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.photos.jpeg_segments import OddJpeg, PlainJpeg, count_scans, parse_jpeg
from data.photos.labels_file import MOST_BYTES
from data.photos.likeness import compute_look
from data.settings import DataSettings
from edgeline.edge.photo_pixels import (
    BOXED_FORMATS,
    FORMATS,
    READER_ERRORS,
    decode_upright,
    find_levels,
    open_photo,
    read_orientation,
    scale_size,
)
from edgeline.records.rejection import RowRejected

# About the size of models' inputs: blur that is gone at that size does no harm.
SHARPNESS_SIDE = 128
# The decoder visits all pixels once a scan, however little a scan holds. Chromium's decoder has this limit
# (ProgressMonitor in its jpeg_image_decoder.cc); libjpeg's own script for progressive photos has 10.
_MOST_SCANS = 100
_SIDEWAYS = (5, 6, 7, 8)
_BOXED = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"))
_JPEG, _JPEG_END, _PNG = b"\xff\xd8\xff", b"\xff\xd9", b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class CheckedPhoto:
    """A photo that passed all checks."""

    stored: bytes  # clean JPEG or PNG, at most `max_side` on its longer side
    width: int  # pixels of the original, turned upright
    height: int
    byte_size: int  # of the original file
    brightness: float  # mean luma, 0 to 255
    # Variance of the 3x3 Laplacian (-4 in the middle, 1 beside it) of luma, on the photo scaled so that its
    # longer side has 128 pixels. Low is blurred (Pech-Pacheco et al., ICPR 2000).
    sharpness: float
    digest: str  # SHA-256 of `stored`, hexadecimal: copies with other metadata have the same
    look: bytes  # for finding near twins, see `likeness`


def check_photo(data: bytes, limits: DataSettings) -> CheckedPhoto:
    """Checks a photo by its content and cleans it; its pixels are decoded once.

    A plain upright JPEG within `max_side` keeps its compressed pixels untouched. Other photos are prepared as
    on a device (`photo_pixels.py`), and stored losslessly as a PNG.

    Raises RowRejected (zero-byte, corrupt, truncated, oversized, too-small, not-a-photo or unsafe) or
    MemoryError, and nothing else for any bytes; `DecoderProcess` handles slow photos and crashes of the
    decoder.
    """
    if not data:
        raise RowRejected("zero-byte", "The file is empty.")
    if len(data) > MOST_BYTES:
        raise RowRejected("oversized", f"The file has {len(data):,} bytes, above {MOST_BYTES:,}.")
    plain, truncated = _parse_plain(data)
    try:
        with open_photo(plain.stripped if plain else data) as image:
            return _check_image(image, len(data), plain, limits)
    except RowRejected:
        raise
    except Image.DecompressionBombError:
        raise RowRejected("oversized", "Its header declares more pixels than Pillow reads.") from None
    except READER_ERRORS as error:
        raise _explain_unreadable(data, truncated, error) from None


def check_header(data: bytes, limits: DataSettings) -> None:
    """Checks a photo by its header. Raises RowRejected: oversized, too-small, not-a-photo, or unreadable."""
    try:
        with open_photo(data) as image:
            _check_kind(image, limits)
    except READER_ERRORS:
        raise RowRejected("unreadable", "It cannot be opened.") from None


def _check_image(
    image: Image.Image, byte_size: int, plain: PlainJpeg | None, limits: DataSettings
) -> CheckedPhoto:
    _check_kind(image, limits)  # first, since Pillow decodes a PNG to find its orientation
    read_levels(image)
    orientation = read_orientation(image, plain.exif if plain else b"")
    width, height = image.size[::-1] if orientation in _SIDEWAYS else image.size
    if plain and orientation == 1 and max(width, height) <= limits.max_side:
        image.draft("L", scale_size(image.size, SHARPNESS_SIDE))
        luma, stored = image, plain.stripped
    else:
        picture = decode_upright(image, orientation, limits.max_side, limits.levels)
        luma = picture.convert("L")
        stored = _encode_png(picture)
    brightness, sharpness = _measure_light(luma)
    digest = hashlib.sha256(stored).hexdigest()
    return CheckedPhoto(stored, width, height, byte_size, brightness, sharpness, digest, compute_look(luma))


def read_levels(image: Image.Image) -> tuple[int, ...]:
    """Returns what `find_levels` does. Raises RowRejected (not-a-photo) for levels that no photo has."""
    levels = find_levels(image)
    if levels and not 0 <= levels[0] < levels[1] <= 65_535:
        detail = f"Its levels are {levels[0]:,} to {levels[1]:,}; those of photos are 0 to 65,535."
        raise RowRejected("not-a-photo", detail)
    return levels


def _check_kind(image: Image.Image, limits: DataSettings) -> None:
    width, height = image.size
    if width * height > limits.max_megapixels * 1e6:
        megapixels = width * height / 1e6
        detail = f"{width} x {height} is {megapixels:.1f} megapixels, above {limits.max_megapixels:g}."
        raise RowRejected("oversized", detail)
    if min(width, height) < limits.min_side:
        raise RowRejected("too-small", f"{width} x {height} has a side below {limits.min_side} pixels.")
    if image.mode == "F":
        raise RowRejected("not-a-photo", "Its pixels are floating-point numbers: write 16-bit levels.")


def _parse_plain(data: bytes) -> tuple[PlainJpeg | None, bool]:
    """Returns the file as a plain JPEG, if it is one, and whether it is a truncated JPEG or PNG."""
    if data.startswith(_PNG):
        return None, b"IEND" not in data
    if not data.startswith(_JPEG):
        return None, False
    if (scans := count_scans(data)) > _MOST_SCANS:
        raise RowRejected("unsafe", f"It has {scans} scans, above {_MOST_SCANS}.")
    try:
        return parse_jpeg(data), False
    except OddJpeg as odd:
        return None, odd.truncated


def _explain_unreadable(data: bytes, truncated: bool, error: Exception) -> RowRejected:
    if truncated or re.search("truncated|unexpected end of file", str(error), re.IGNORECASE):
        return RowRejected("truncated", f"The file ends too early ({len(data)} bytes).")
    if not isinstance(error, UnidentifiedImageError):
        return RowRejected("corrupt", f"It cannot be decoded ({type(error).__name__}: {error}).")
    if data.startswith((_JPEG, _PNG)) or data.endswith(_JPEG_END):
        return RowRejected("corrupt", "It starts or ends like a photo, but its header cannot be read.")
    if data[4:12] in _BOXED:
        return RowRejected("corrupt", "It starts like a HEIC or AVIF photo, but its header cannot be read.")
    return RowRejected("not-a-photo", f"It is not in a known format ({', '.join(FORMATS + BOXED_FORMATS)}).")


def _encode_png(image: Image.Image) -> bytes:
    """Encodes a picture as a PNG file without metadata."""
    image.info = {}  # Pillow would write the original's profile again
    buffer = io.BytesIO()
    # After PNG's filters, only repeats within a row of a photo are worth the time of a search.
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _measure_light(luma: Image.Image) -> tuple[float, float]:
    """Measures brightness and sharpness."""
    width, height = scale_size(luma.size, SHARPNESS_SIDE)
    size = max(3, width), max(3, height)  # the least for a Laplacian
    small = luma if luma.size == size else luma.resize(size, Image.Resampling.BOX)
    # Whole numbers in float64: their sums are exact, so the features are the same on every machine.
    y = np.asarray(small, dtype=np.float64)
    laplacian = (y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:] - 4 * y[1:-1, 1:-1]).ravel()
    mean = laplacian.sum() / laplacian.size
    return float(y.sum() / y.size), float(laplacian @ laplacian / laplacian.size - mean**2)
