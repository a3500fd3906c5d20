"""Photos without metadata decode to the same pixels, the same way up."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from data.photos.jpeg_segments import strip_metadata
from tests.data.sample_photos import decode, encode, jpeg, phone_exif, pixels


def decode_upright(photo):
    return np.asarray(ImageOps.exif_transpose(decode(photo)).convert("RGB"))


@pytest.mark.parametrize("orientation", (1, 3, 6, 7))
def test_pixels_and_orientation_of_a_phones_photo_are_left(orientation):
    photo = jpeg(exif=phone_exif(orientation), comment=b"by Anna")
    clean = strip_metadata(photo)
    np.testing.assert_array_equal(decode_upright(clean), decode_upright(photo))
    exif = decode(clean).getexif()
    assert dict(exif) == ({0x0112: orientation} if orientation > 1 else {})
    assert not exif.get_ifd(0x8825) and b"PhoneMaker" not in clean and b"Anna" not in clean


def test_texts_of_a_png_are_left_out_and_its_transparency_is_not():
    about = PngImagePlugin.PngInfo()
    about.add_text("Author", "Anna")
    image = pixels().convert("RGBA")
    image.putalpha(100)
    photo = encode(image, "PNG", pnginfo=about)
    clean = strip_metadata(photo)
    assert b"Anna" in photo and b"Anna" not in clean
    np.testing.assert_array_equal(np.asarray(decode(clean)), np.asarray(image))


@pytest.mark.parametrize(
    "photo",
    [
        encode(pixels(), "WEBP"),
        encode(pixels(), "PNG", exif=phone_exif(6)),
        encode(pixels().convert("CMYK"), "JPEG"),
        jpeg()[:300],
        encode(pixels(), "PNG")[:300],
        b"",
    ],
)
def test_nothing_is_left_of_files_that_may_have_metadata_anywhere(photo):
    assert strip_metadata(photo) == b""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_turns_nothing():
    photo = jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\xff")
    file = Image.open(io.BytesIO(strip_metadata(photo)))
    assert file.size == (64, 48) and not dict(file.getexif())
