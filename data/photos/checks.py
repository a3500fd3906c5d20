"""What one photo must be to be trained on, and the clean JPEG that it becomes.

What leaves this file is what TensorFlow's decoder and a phone read alike: an upright baseline or progressive
JPEG of luma or YCbCr, no side above a limit, without EXIF, GPS, XMP, comments, colour profile or trailing
data. Profiles are dropped, not applied, because neither of those two readers applies one.
"""

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.photos.jpeg_segments import OddJpeg, PlainJpeg, count_scans, parse
from data.photos.labels_file import MOST_BYTES
from data.photos.likeness import look_of
from data.settings import DataSettings
from data.spans.rejection import RowRejected

# Formats by content; MPO, which some phones write, is found as JPEG. Not EPS: Pillow runs Ghostscript on it.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Re-encoding happens once, here; 95 is the highest that Pillow's documentation advises.
JPEG_QUALITY = 95
# About the size that models see: blur that is gone at that size does no harm.
SHARPNESS_SIDE = 128
_ORIENTATION_TAG = 0x0112
# The decoder goes over all pixels once a scan, however little a scan holds. What Chromium's decoder takes too
# (ProgressMonitor in its jpeg_image_decoder.cc); libjpeg's own script for progressive photos has 10.
_MOST_SCANS = 100
_SIDEWAYS = (5, 6, 7, 8)
_JPEG, _JPEG_END, _PNG = b"\xff\xd8\xff", b"\xff\xd9", b"\x89PNG\r\n\x1a\n"
# What Pillow's readers raise on damaged files.
READER_ERRORS: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError),
    *(Image.DecompressionBombError, struct.error, zlib.error),
    *(RuntimeError, AssertionError, Warning),
)


@dataclass(frozen=True)
class CheckedPhoto:
    """A photo that passed."""

    jpeg: bytes  # clean, at most `max_side` on its longer side
    width: int  # pixels of the original, turned upright
    height: int
    byte_size: int  # of the original file
    brightness: float  # mean luma, 0 to 255
    # Variance of the 3x3 Laplacian (-4 in the middle, 1 beside it) of luma, on the photo scaled so that its
    # longer side has 128 pixels. Low is blurred (Pech-Pacheco et al., ICPR 2000).
    sharpness: float
    digest: str  # SHA-256 of `jpeg`, hexadecimal: the same photo with other metadata has the same
    look: bytes  # what near twins are told by, see `likeness`


def check_photo(data: bytes, limits: DataSettings) -> CheckedPhoto:
    """Checks a photo by its content and cleans it; its pixels are decoded once.

    A plain upright JPEG within `max_side` keeps its compressed pixels untouched. Anything else that Pillow
    reads is turned upright, laid on white where it is transparent, scaled down and encoded again.

    Raises:
        RowRejected: zero-byte, corrupt, truncated, oversized, too-small, not-a-photo or unsafe.
        MemoryError: The photo takes more than there is. Nothing else is raised, whatever the bytes; how long
            it takes, and a decoder that crashes, are up to `DecoderProcess`.
    """
    if not data:
        raise RowRejected("zero-byte", "The file is empty.")
    if len(data) > MOST_BYTES:
        raise RowRejected("oversized", f"The file has {len(data)} bytes, above {MOST_BYTES}.")
    plain, truncated = _plain(data)
    try:
        # Pillow warns of odd metadata and of sizes, which either do not matter or are refused here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(plain.stripped if plain else data), formats=FORMATS) as image:
                return _check_image(image, len(data), plain, limits)
    except RowRejected:
        raise
    except Image.DecompressionBombError:
        raise RowRejected("oversized", "Its header announces more pixels than Pillow reads.") from None
    except UnidentifiedImageError:
        raise _unreadable(data, truncated) from None
    except READER_ERRORS as error:
        if truncated or "truncated" in str(error):
            raise RowRejected("truncated", f"The file ends too early ({len(data)} bytes).") from None
        raise RowRejected("corrupt", f"It cannot be decoded ({type(error).__name__}: {error}).") from None


def _check_image(
    image: Image.Image, byte_size: int, plain: PlainJpeg | None, limits: DataSettings
) -> CheckedPhoto:
    _check_size(*image.size, limits)  # first: to look for a PNG's orientation, Pillow decodes it
    orientation = _orientation(image, plain)
    width, height = image.size[::-1] if orientation in _SIDEWAYS else image.size
    too_large = max(width, height) > limits.max_side
    if plain and orientation == 1 and not too_large:
        image.draft("L", _scaled_to(SHARPNESS_SIDE, image.size))
        luma, jpeg = image, plain.stripped
    else:
        target = _scaled_to(limits.max_side, image.size) if too_large else image.size
        image.draft("RGB", target)  # lets the JPEG decoder scale by 1/2, 1/4, 1/8 while it decodes
        upright = _turned(_eight_bit(image), orientation)
        target = target[::-1] if orientation in _SIDEWAYS else target
        if upright.size != target:
            upright = upright.resize(target, Image.Resampling.BILINEAR)
        luma, jpeg = upright.convert("L"), encoded(upright)
    brightness, sharpness = _light(luma)
    digest = hashlib.sha256(jpeg).hexdigest()
    return CheckedPhoto(jpeg, width, height, byte_size, brightness, sharpness, digest, look_of(luma))


def _check_size(width: int, height: int, limits: DataSettings) -> None:
    if width * height > limits.max_megapixels * 1e6:
        megapixels = width * height / 1e6
        found = f"{width} x {height} is {megapixels:.1f} megapixels, above {limits.max_megapixels:g}."
        raise RowRejected("oversized", found)
    if min(width, height) < limits.min_side:
        raise RowRejected("too-small", f"{width} x {height} has a side below {limits.min_side} pixels.")


def _plain(data: bytes) -> tuple[PlainJpeg | None, bool]:
    """The file as a plain JPEG, if it is one, and whether it is a JPEG or PNG without its end."""
    if data.startswith(_PNG):
        return None, b"IEND" not in data
    if not data.startswith(_JPEG):
        return None, False
    plain, truncated = None, False
    try:
        plain = parse(data)
    except OddJpeg as odd:
        truncated = odd.truncated
    scans = plain.scans if plain else count_scans(data)
    if scans > _MOST_SCANS:
        raise RowRejected("unsafe", f"It has {scans} scans, above {_MOST_SCANS}.")
    return plain, truncated


def _unreadable(data: bytes, truncated: bool) -> RowRejected:
    if truncated:
        return RowRejected("truncated", f"The file ends too early ({len(data)} bytes).")
    if data.startswith((_JPEG, _PNG)) or data.endswith(_JPEG_END):
        return RowRejected("corrupt", "It starts or ends like a photo, and its header cannot be read.")
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return RowRejected("not-a-photo", "It is a HEIC photo, which is not read; let the phone save JPEG.")
    return RowRejected("not-a-photo", f"Its content is none of {', '.join(FORMATS)}.")


def _orientation(image: Image.Image, plain: PlainJpeg | None) -> int:
    """The EXIF orientation, 1 to 8; unreadable EXIF is no reason to lose a photo, and counts as 1."""
    if image.format == "TIFF":
        return 1  # Pillow turns it by itself while it loads
    try:
        exif = image.getexif()
        if plain:
            exif.load(plain.exif)
        value = exif.get(_ORIENTATION_TAG, 1)
    except READER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The first frame as L or RGB."""
    image.load()
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion to L would clip instead of scaling
        pixels = np.asarray(image).astype(np.int64)
        return Image.fromarray((pixels.clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise RowRejected("not-a-photo", "Its pixels are floating-point numbers without a range.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def encoded(image: Image.Image, quality: int = JPEG_QUALITY) -> bytes:
    """The JPEG file of a picture, its pixels alone."""
    image.info = {}  # Pillow would write the original's comment and profile again
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _scaled_to(side: int, size: tuple[int, int]) -> tuple[int, int]:
    """`size` with its longer side at `side`; the shorter one has the 3 pixels that a Laplacian needs."""
    width, height = (max(3, round(pixels * side / max(size))) for pixels in size)
    return width, height


def _light(luma: Image.Image) -> tuple[float, float]:
    """Brightness and sharpness."""
    size = _scaled_to(SHARPNESS_SIDE, luma.size)
    small = luma if luma.size == size else luma.resize(size, Image.Resampling.BOX)
    # Whole numbers in float64: their sums are exact, so the features are the same on every machine.
    y = np.asarray(small, dtype=np.float64)
    laplacian = (y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:] - 4 * y[1:-1, 1:-1]).ravel()
    mean = laplacian.sum() / laplacian.size
    return float(y.sum() / y.size), float(laplacian @ laplacian / laplacian.size - mean**2)
