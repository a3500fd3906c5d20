import resource
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps

from data.photos.checks import MOST_BYTES, RowRejected, check_photo
from data.photos.thumbnails import make_thumbnail, read_time_taken
from data.settings import DataSettings
from tests.data.sample_photos import decode, encode, jpeg, phone_exif, pixels, with_scans

pillow_heif.register_heif_opener()
pytestmark = pytest.mark.filterwarnings("ignore")  # as in the process that decodes
LIMITS = DataSettings()
HEIC, AVIF, BMP = (encode(pixels(), form) for form in ("HEIF", "AVIF", "BMP"))


def get_reason(data, limits=LIMITS):
    with pytest.raises(RowRejected) as caught:
        check_photo(data, limits)
    return caught.value.reason


def build_png_header(width, height):
    """Builds a PNG that announces a size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def decode_luma(data):
    """Decodes the Y channel as a JPEG decoder does, without a conversion to RGB."""
    image = decode(data)
    image.draft("L", image.size)
    return np.asarray(image.convert("L"), dtype=np.int16)


@pytest.mark.parametrize(
    "options", [{"exif": phone_exif(), "comment": b"x"}, {"progressive": True}, {"restart_marker_rows": 1}]
)
def test_a_plain_photo_keeps_its_compressed_pixels(options):
    data = jpeg(**options)
    checked = check_photo(data, LIMITS)
    assert (checked.width, checked.height, checked.byte_size) == (64, 48, len(data))
    assert np.array_equal(decode_luma(checked.stored), decode_luma(data))
    assert checked.stored.endswith(data[data.index(b"\xff\xda") :])


def test_no_metadata_survives():
    icc = b"not a real profile, and long enough to be seen" * 3
    video = b"ftypmp42" + bytes(range(256)) * 20
    data = jpeg(exif=phone_exif(), comment=b"made by a phone", icc_profile=icc, xmp=b"<x:xmpmeta/>") + video
    clean = check_photo(data, LIMITS).stored
    for trace in (b"Exif", b"PhoneMaker", b"2026:10:05", b"made by", b"xmpmeta", b"ICC_PROFILE", b"ftypmp42"):
        assert trace in data
        assert trace not in clean
    assert not dict(decode(clean).getexif())
    assert clean.endswith(b"\xff\xd9")


def test_the_same_photo_with_other_metadata_has_the_same_digest():
    bare = check_photo(jpeg(), LIMITS)
    phone = check_photo(jpeg(exif=phone_exif(), dpi=(300, 300), comment=b"x"), LIMITS)
    other = check_photo(jpeg(seed=1), LIMITS)
    assert bare.digest == phone.digest != other.digest


@pytest.mark.parametrize(
    ("form", "orientation"),
    [
        *(("JPEG", orientation) for orientation in (1, 2, 3, 6, 7)),
        *((form, 6) for form in ("PNG", "TIFF", "WEBP", "HEIF", "AVIF")),
    ],
)
def test_a_turned_photo_is_turned_upright_without_loss_and_metadata(form, orientation):
    # A TIFF's orientation is a tag of the picture, whatever it is saved with.
    exif = phone_exif(orientation)
    data = encode(pixels(), form, exif=exif if form == "TIFF" else exif.tobytes())
    upright = ImageOps.exif_transpose(decode(data)).convert("RGB")
    checked = check_photo(data, LIMITS)
    clean = decode(checked.stored)
    assert (checked.width, checked.height) == upright.size == clean.size
    assert np.array_equal(np.asarray(clean), np.asarray(upright))
    assert (upright.width < upright.height) == (orientation > 4)
    assert b"PhoneMaker" in data and b"PhoneMaker" not in checked.stored and not dict(clean.getexif())


def test_a_phone_photo_that_carries_a_second_picture_is_read_as_the_first():
    data = encode(pixels(), "MPO", save_all=True, append_images=[pixels(seed=1)])
    checked = check_photo(data, LIMITS)
    assert np.array_equal(decode_luma(checked.stored), decode_luma(data))
    assert checked.stored.count(b"\xff\xd8\xff") == 1


@pytest.mark.parametrize(
    ("image", "form", "options"),
    [
        (pixels(), "PNG", {}),
        (pixels().convert("P"), "GIF", {}),
        (pixels().convert("LA"), "PNG", {}),
        (pixels().convert("CMYK"), "JPEG", {"quality": 95}),
        (pixels(), "WEBP", {"lossless": True}),
        (pixels(), "BMP", {}),
        (pixels(), "JPEG", {"quality": 95, "keep_rgb": True}),
    ],
    ids=lambda value: getattr(value, "mode", value if isinstance(value, str) else ""),
)
def test_content_counts_and_not_the_name(image, form, options):
    checked = check_photo(encode(image, form, **options), LIMITS)
    clean = decode(checked.stored)
    assert clean.format == "PNG"
    pixels_of_file = decode(encode(image, form, **options)).convert(clean.mode)
    assert np.array_equal(np.asarray(clean), np.asarray(pixels_of_file))


def test_16_bits_are_scaled_and_not_clipped():
    ramp = np.tile(np.linspace(0, 65535, 64, dtype=np.uint16), (48, 1))
    checked = check_photo(encode(Image.fromarray(ramp), "PNG"), LIMITS)
    assert np.array_equal(np.asarray(decode(checked.stored)), ramp >> 8)
    assert checked.brightness == pytest.approx(127.5, abs=1.5)


@pytest.mark.parametrize(("name", "form"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", ">u2")])
def test_the_levels_of_16_bits_that_are_read_become_all_of_8(name, form):
    ramp = np.tile(np.linspace(26_000, 28_000, 64).astype(form), (48, 1))
    photo = encode(Image.frombytes("I;16B" if form == ">u2" else "I;16", (64, 48), ramp.tobytes()), name)
    limits = DataSettings(levels=(26_500, 27_500))
    expected = np.floor((ramp.astype(int).clip(26_500, 27_500) - 26_500) * 255 / 1000 + 0.5)
    assert np.array_equal(np.asarray(decode(check_photo(photo, limits).stored)), expected)


def test_the_levels_of_a_photo_of_8_bits_stay(tmp_path):
    photo = encode(pixels().convert("L"), "PNG")
    levels = DataSettings(levels=(100, 200))
    assert check_photo(photo, levels).stored == check_photo(photo, DataSettings()).stored


@pytest.mark.parametrize("levels", [(1,), (5, 5), (9, 5), (-1, 5), (0, 65_536), (1, 2, 3)])
def test_levels_are_a_lower_and_a_higher_one(levels):
    with pytest.raises(ValueError, match="not a lower and a higher level"):
        DataSettings(levels=levels)


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    assert decode_luma(check_photo(encode(clear, "PNG"), LIMITS).stored).min() == 255


def test_a_large_photo_is_scaled_down_and_keeps_its_original_size_as_a_feature():
    data = jpeg(1600, 1200, exif=phone_exif(6))
    checked = check_photo(data, LIMITS)
    assert (checked.width, checked.height) == (1200, 1600)
    assert decode(checked.stored).size == (384, 512)
    expected = pixels(1600, 1200).transpose(Image.Transpose.ROTATE_270).resize((384, 512)).convert("L")
    # JPEG at quality 90 and another filter; a wrong turn gives above 30.
    assert np.abs(decode_luma(checked.stored) - np.asarray(expected, dtype=np.int16)).mean() < 3


def test_100_megapixels_are_refused_before_decoding():
    small, png = jpeg(), encode(Image.new("1", (10_000, 10_000)), "PNG")
    frame = small.index(b"\xff\xc0")
    large = small[: frame + 5] + struct.pack(">HH", 10_000, 10_000) + small[frame + 9 :]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert get_reason(large) == get_reason(png) == "oversized"
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 20_000  # decoded, it would be 100 to 300 MB


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "zero-byte"),
        (jpeg(200, 15), "too-small"),
        (jpeg()[:-40], "truncated"),
        (jpeg()[:3], "truncated"),
        (encode(pixels(), "PNG")[:-500], "truncated"),
        (b"\xff\xd8\xff\xe0" + bytes(2000), "corrupt"),
        (bytes(300) + jpeg()[300:], "corrupt"),
        (build_png_header(64, 48), "truncated"),
        (b"photo,label\na.jpg,ok\n", "not-a-photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n", "not-a-photo"),
        (b"\0\0\0\x18ftypheic" + bytes(500), "corrupt"),
        (b"\0\0\0\x18ftypmp42" + bytes(500), "not-a-photo"),
        (HEIC[:200], "corrupt"),
        (AVIF[:-20], "truncated"),
        (encode(pixels().convert("F"), "TIFF"), "not-a-photo"),
        (encode(Image.fromarray(np.full((64, 48), -300, np.int32)), "TIFF"), "not-a-photo"),
        (encode(Image.fromarray(np.full((64, 48), 70_000, np.int32)), "TIFF"), "not-a-photo"),
        (BMP[:18] + struct.pack("<ii", 60_000, 60_000) + BMP[26:], "oversized"),  # beyond what Pillow takes
    ],
)
def test_each_file_that_cannot_be_used_has_its_reason(data, expected):
    assert get_reason(data) == expected


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_photo_has_at_most_100_scans(mode):
    data = with_scans(101, mode)
    odd = data.replace(b"\xff\xda", b"\0\xff\xda", 1)  # libjpeg skips what stands between segments
    for photo in (data, odd):
        with pytest.raises(RowRejected, match=r"unsafe: It has 101 scans, above 100\."):
            check_photo(photo, LIMITS)
    assert check_photo(with_scans(100, mode), LIMITS).width == 64


def test_the_photo_of_a_heic_file_is_read_and_not_its_thumbnail():
    photo = encode(pixels(180, 135), "HEIF", thumbnails=[150])
    whole = decode(photo).convert("RGB").resize((128, 96), Image.Resampling.BILINEAR)
    clean = decode(check_photo(photo, DataSettings(max_side=128)).stored)
    assert np.array_equal(np.asarray(clean), np.asarray(whole))


def test_a_file_above_the_size_limit_is_refused():
    assert get_reason(jpeg() + bytes(MOST_BYTES)) == "oversized"


def test_unreadable_exif_does_not_cost_the_photo():
    data = jpeg(exif=phone_exif(6))
    start = data.index(b"Exif\0\0") + 6
    assert check_photo(data[:start] + b"\xee" * 20 + data[start + 20 :], LIMITS).width == 64


def test_brightness_and_sharpness_see_a_failing_lens():
    photo = jpeg(256, 192)
    dark = encode(pixels(256, 192).point(lambda value: value * 0.35), quality=90)
    blurred = encode(pixels(256, 192).filter(ImageFilter.GaussianBlur(4)), quality=90)
    checked, checked_dark, checked_blurred = (check_photo(data, LIMITS) for data in (photo, dark, blurred))
    assert checked.brightness == pytest.approx(decode_luma(photo).mean(), abs=1)  # scaled to 128 pixels
    assert checked_dark.brightness == pytest.approx(checked.brightness * 0.35, rel=0.05)
    assert checked_blurred.sharpness < checked.sharpness / 3


SEEDS = [
    jpeg(exif=phone_exif()),
    jpeg(progressive=True),
    jpeg(restart_marker_rows=1),
    encode(pixels().convert("L")),
    encode(pixels(), "PNG", exif=phone_exif()),
    encode(pixels().convert("P"), "PNG"),
    encode(pixels(), "WEBP"),
    HEIC,
    AVIF,
    encode(pixels(), "TIFF", exif=phone_exif()),
    encode(pixels(), "MPO", save_all=True, append_images=[pixels(seed=1)]),
    encode(pixels().convert("P"), "GIF"),
]


def decode_luma_in_tensorflow(data):
    tf = pytest.importorskip("tensorflow")
    return tf.io.decode_jpeg(data, channels=1, dct_method="INTEGER_ACCURATE").numpy()[:, :, 0]


@st.composite
def damaged_photos(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1)) if len(data) else 0
        length = draw(st.integers(0, 12))
        data[place : place + length] = draw(st.binary(max_size=12))
    return bytes(data)


@settings(max_examples=40)
@given(damaged_photos())
def test_damage_ends_in_a_photo_or_a_rejection(data):
    assert isinstance(read_time_taken(data), str | None) and isinstance(make_thumbnail(data), bytes | None)
    try:
        checked = check_photo(data, DataSettings(min_side=1))
    except RowRejected:
        return
    clean = decode(checked.stored)
    clean.load()
    assert clean.format in ("JPEG", "PNG") and max(clean.size) <= 512
    # Two builds of libjpeg may patch up damaged pixels differently, so only the size is compared.
    if clean.format == "JPEG":
        assert decode_luma_in_tensorflow(checked.stored).shape == clean.size[::-1]


@pytest.mark.parametrize("data", SEEDS[:4])
def test_tensorflow_decodes_a_clean_photo_to_the_same_luma(data):
    clean = check_photo(data, LIMITS).stored
    assert np.array_equal(decode_luma_in_tensorflow(clean), decode_luma(clean))
