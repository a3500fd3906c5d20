"""Small photos for tests."""

import io

import numpy as np
from PIL import Image


def pixels(width=64, height=48, seed=0):
    """Smooth random colours with a bright left edge, so that turning a photo shows."""
    coarse = np.random.default_rng(seed).integers(0, 200, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    image.paste((255, 255, 255), (0, 0, width // 8, height))
    return image


def encode(image, form="JPEG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def jpeg(width=64, height=48, seed=0, **options):
    return encode(pixels(width, height, seed), quality=90, **options)


def phone_exif(orientation=1, taken="2026:10:05 09:12:33"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "PhoneMaker"
    exif.get_ifd(0x8769)[0x9003] = taken
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0)})
    return exif


def decoded(data):
    return Image.open(io.BytesIO(data))
