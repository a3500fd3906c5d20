"""Faults for drills: photos and labels go wrong on purpose as they do in the field.

Rates are shares of a week's photos; `new-lane` is a share of its sessions.
"""

import io
import random
from contextlib import suppress
from dataclasses import replace

from PIL import Image, ImageFilter

from data.photos.labels_file import LabelRow

ONE_PHOTO = (
    *("corrupt", "truncated", "huge", "unlabelled", "unknown-label", "duplicate"),
    *("dark-lens", "blurred", "null-lane"),
)
FAULTS = (*ONE_PHOTO, "new-lane", "label-shift")

_HUGE_SIZE = (12000, 9000)  # 108 megapixels, as the largest phone sensors save.
_LOST_BYTES = 512


def _make_huge(jpeg: bytes) -> bytes:
    """Writes another size into the frame header (SOF0 or SOF2: ITU-T T.81, B.2.2)."""
    at = 2
    while jpeg[at + 1] not in (0xC0, 0xC2):
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    width, height = _HUGE_SIZE
    return jpeg[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 9 :]


def _film_again(jpeg: bytes, name: str) -> bytes:
    """Returns the photo as a failing lens takes it; one that another fault has damaged stays as it is."""
    file = io.BytesIO()
    with suppress(OSError), Image.open(io.BytesIO(jpeg)) as photo:
        is_blurred = name == "blurred"
        result = photo.filter(ImageFilter.GaussianBlur(4)) if is_blurred else photo.point(lambda v: v * 0.35)
        result.save(file, "JPEG", quality=85, exif=photo.info["exif"])
    return file.getvalue() or jpeg


def spoil(name: str, row: LabelRow, jpeg: bytes, rng: random.Random) -> tuple[LabelRow, bytes]:
    """Adds one fault to a photo and its row.

    Args:
        name: One of `ONE_PHOTO`; for `duplicate`, the copy is returned, and the caller keeps the original.
        row: The row of the photo as the faults before left it.
        jpeg: The file as the faults before left it.
        rng: Draws the bytes of `corrupt`, and the place where `truncated` ends.
    """
    match name:
        case "corrupt":
            return row, rng.randbytes(_LOST_BYTES) + jpeg[_LOST_BYTES:]
        case "truncated":
            return row, jpeg[: round(len(jpeg) * rng.uniform(0.4, 0.8))]
        case "huge":
            return row, _make_huge(jpeg)
        case "dark-lens" | "blurred":
            return row, _film_again(jpeg, name)
        case "unlabelled":
            return replace(row, label=""), jpeg
        case "unknown-label":
            return replace(row, label="overstock"), jpeg
        case "null-lane":
            return replace(row, lane_id=""), jpeg
        case "duplicate":
            stem, _, suffix = row.photo.rpartition(".")
            return replace(row, photo=f"{stem}-copy.{suffix}"), jpeg
    raise ValueError(f"{name!r} is not a fault of one photo.")
