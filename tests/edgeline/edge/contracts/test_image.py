import io
import json
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from data.photos.checks import check_photo
from data.settings import DataSettings
from edgeline.edge.contracts.image import preprocess
from edgeline.edge.photo_pixels import scale_size
from edgeline.errors import EdgelineError
from tests.data.sample_photos import encode, phone_exif


def contract(**changes: Any) -> dict[str, Any]:
    color = "luma" if changes.get("channels", 1) == 1 else "rgb"
    return {
        "version": 3,
        "kind": "image",
        "image_size": 128,
        "channels": 1,
        "color": color,
        "luma": [0.299, 0.587, 0.114],
        "max_side": 512,
        "resize": "bilinear-antialias",
        "rounding": "nearest-uint8",
        "orientation": "upright",
        "transparency": "on-white",
        "input_dtype": "uint8",
        **changes,
    }


def scene(width: int, height: int) -> Image.Image:
    """Strong colours, edges and noise in every place, whatever the size."""
    rng = np.random.default_rng(width * 10_000 + height)
    y, x = np.mgrid[0 : min(height, 768), 0 : min(width, 1024)]
    planes = [127 + 80 * np.sin(x / 7 + y / 31), 127 + 90 * np.cos(x / 23 - y / 5), (2 * x + y) % 256]
    tile = (np.stack(planes, axis=-1) + rng.normal(0, 12, (*x.shape, 3))).clip(0, 255).astype(np.uint8)
    times = -(-height // tile.shape[0]), -(-width // tile.shape[1]), 1
    return Image.fromarray(np.tile(tile, times)[:height, :width])


def jpeg(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    return encode(scene(width, height).convert(mode), **options)


def with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


SIZE = (640, 480)
OTHERS = [
    *(((side, side), "JPEG") for side in (32, 512, 513)),
    *(((97, 61), "JPEG"), ((700, 20), "alpha"), ((1280, 720), "JPEG"), ((2250, 3000), "orientation 6")),
    *(((6000, 1500), "JPEG"), ((6000, 400), "grey"), ((6000, 400), "JPEG without subsampling")),
]
KINDS = {
    "JPEG": lambda image: encode(image, quality=90),
    "JPEG without subsampling": lambda image: encode(image, quality=95, subsampling=0),
    "progressive": lambda image: encode(image, progressive=True),
    "grey": lambda image: encode(image.convert("L")),
    "CMYK": lambda image: encode(image.convert("CMYK"), quality=90),
    "RGB JPEG": lambda image: encode(image, keep_rgb=True),
    "alpha": lambda image: encode(with_alpha(image), "PNG", compress_level=1),
    "palette": lambda image: encode(image.quantize(64), "PNG"),
    "16 bits": lambda image: encode(Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257), "PNG"),
    "WebP": lambda image: encode(image, "WEBP", method=0),
    "GIF": lambda image: encode(image.quantize(64), "GIF"),
    "TIFF": lambda image: encode(image, "TIFF", exif=phone_exif(6)),
    "HEIC": lambda image: encode(image, "HEIF"),
    "AVIF": lambda image: encode(image, "AVIF", speed=10),
    **{
        f"orientation {turn}": lambda image, turn=turn: encode(image, quality=90, exif=phone_exif(turn))
        for turn in range(2, 9)
    },
}


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    """Makes photos of every kind in one size, and of some kinds in other sizes."""
    pillow_heif.register_heif_opener()
    cases = [*((SIZE, kind) for kind in KINDS), *OTHERS]
    return {f"{size[0]} x {size[1]} {kind}": KINDS[kind](scene(*size)) for size, kind in cases}


@pytest.fixture(scope="module")
def stored(photos: dict[str, bytes]) -> list[bytes]:
    """Returns the photos as ingest stores them."""
    return [check_photo(photo, DataSettings()).stored for photo in photos.values()]


def compare(pixels: Any, reference: Any) -> tuple[float, int]:
    """Returns the share of values that differ by more than one level, and the largest difference."""
    difference = np.abs(np.asarray(pixels, int) - np.asarray(reference, int))
    return float((difference > 1).mean()), int(difference.max())


@pytest.mark.parametrize(("size", "channels"), [(128, 1), (224, 3)])
def test_a_phone_sees_what_the_model_was_trained_on(photos, stored, channels: int, size: int):
    import tensorflow as tf

    from trainer_module.workloads.photos import decode_photos

    reference = decode_photos(tf.constant(stored), size, channels, 512).numpy()
    settings = contract(image_size=size, channels=channels)
    differences = {
        name: compare(preprocess(photo, settings)[0], answer)
        for (name, photo), answer in zip(photos.items(), reference, strict=True)
    }
    # Both filter in float32 but sum in another order, so only a sum that lies within 1e-5 of the middle
    # between two levels can round to the other one.
    assert {name: difference for name, difference in differences.items() if difference[1] > 1} == {}


def test_the_levels_of_a_contract_are_those_of_ingest():
    grey = np.asarray(scene(640, 480).convert("L"), np.uint16)
    photo, levels = encode(Image.fromarray(grey + 27_000), "PNG"), (27_020, 27_200)
    stored = check_photo(photo, DataSettings(levels=levels)).stored
    settings = contract(version=4, levels=list(levels))
    assert np.array_equal(preprocess(photo, settings), preprocess(stored, contract()))
    assert np.ptp(preprocess(photo, settings)) > 150 > np.ptp(preprocess(photo, contract())) + 148


def test_a_contract_with_levels_has_a_version_of_its_own():
    for changes in ({"levels": [1, 2]}, {"version": 4}):
        with pytest.raises(EdgelineError, match="version is"):
            preprocess(encode(scene(32, 32)), contract(**changes))


def test_a_server_that_is_sent_the_photo_itself_sees_the_same(photos):
    import tensorflow as tf

    from trainer_module.workloads.photos import decode_photos

    jpegs = {
        name: photo
        for name, photo in photos.items()
        if name.endswith((" JPEG", "subsampling", "progressive", "grey"))
    }
    server = decode_photos(tf.constant(list(jpegs.values())), 224, 3, 512).numpy()
    phone = [preprocess(photo, contract(image_size=224, channels=3))[0] for photo in jpegs.values()]
    # TensorFlow decodes all pixels and filters in float32; Pillow decodes the largest at half their size, and
    # rounds between its two passes.
    assert {
        name: difference
        for name, *pair in zip(jpegs, server, phone, strict=True)
        if (difference := compare(*pair))[0] > 0.001
    } == {}


def test_the_steps_of_the_contract_give_the_same(photos):
    """A phone team writes these steps in float, with all pixels decoded and without our code."""

    def resize(pixels: Any, width: int, height: int) -> Any:
        planes = [Image.fromarray(np.float32(plane)) for plane in np.moveaxis(pixels, 2, 0)]
        planes = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
        return np.stack(planes, axis=-1)

    settings = json.loads(json.dumps(contract()))
    for name in ("1280 x 720 JPEG", "6000 x 400 grey", "6000 x 1500 JPEG", "97 x 61 JPEG"):
        pixels = np.asarray(Image.open(io.BytesIO(photos[name])).convert("RGB"))
        height, width = pixels.shape[:2]
        longer, side = max(width, height), settings["max_side"]
        if longer > side:
            small = [max(1, (2 * each * side + longer) // (2 * longer)) for each in (width, height)]
            pixels = np.rint(resize(pixels, *small))
        luma = (pixels @ settings["luma"])[..., np.newaxis]
        own = np.rint(resize(luma, 128, 128)).clip(0, 255)
        assert compare(own, preprocess(photos[name], settings)[0])[0] <= 0.001, name


@pytest.mark.parametrize(
    ("size", "expected"), [((1024, 683), (512, 342)), ((683, 1024), (342, 512)), ((6000, 1), (512, 1))]
)
def test_the_shorter_side_is_rounded_half_up(size, expected):
    assert scale_size(size, 512) == expected


@pytest.mark.parametrize(("mode", "clear"), [("L", 100), ("RGB", (10, 100, 20)), ("P", 3)])
def test_a_png_that_names_its_transparent_color_is_laid_on_white(mode, clear):
    photo = Image.fromarray(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)).convert(mode)
    photo.paste(clear, (8, 8, 40, 40))
    file = io.BytesIO()
    photo.save(file, "PNG", transparency=clear)
    white = Image.new("RGBA", photo.size, "white")
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        white.alpha_composite(opened.convert("RGBA"))
    plain = encode(white.convert("RGB"), "PNG")
    assert (preprocess(file.getvalue(), contract()) == preprocess(plain, contract())).all()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_taken_sideways_is_turned_upright(orientation: int):
    upright = Image.open(io.BytesIO(jpeg(128, 128, quality=100)))
    # A phone stores the rows of its sensor as they come, with a note how to turn them back.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)

    # PNG, so that nothing but the turning can differ.
    pixels = preprocess(file.getvalue(), contract(channels=3))

    np.testing.assert_array_equal(pixels[0], np.asarray(upright))


@pytest.mark.parametrize("photo", [b"", b"<html></html>", jpeg(64, 64)[:500]], ids=["empty", "text", "cut"])
def test_a_damaged_photo_is_an_error_that_says_so(photo: bytes):
    with pytest.raises(EdgelineError, match="cannot be read"):
        preprocess(photo, contract())


def test_floating_point_numbers_are_refused():
    photo = encode(Image.fromarray(np.full((32, 32), 0.5, np.float32)), "TIFF")
    with pytest.raises(EdgelineError, match="without a range"):
        preprocess(photo, contract())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "version is 2, not 3"),
        ({"resize": "area", "channels": 3, "color": "luma"}, "resize is 'area'.*color 'luma' with 3"),
        ({"luma": [0.2126, 0.7152, 0.0722]}, "luma is"),
        ({"max_side": None}, "max_side is None"),
        ({"image_size": 0}, "image_size is 0"),
    ],
    ids=str,
)
def test_a_contract_that_this_runtime_does_not_know_is_refused_with_every_reason(changes, why):
    with pytest.raises(EdgelineError, match=why):
        preprocess(jpeg(64, 64), contract(**changes))
