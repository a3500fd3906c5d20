"""Small photos for tests."""

import io
import struct

import numpy as np
from PIL import Image


def pixels(width=64, height=48, seed=0):
    """Draws smooth random colours with a bright left edge, so that a turned photo can be told."""
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


def decode(data):
    return Image.open(io.BytesIO(data))


def with_scans(scans, mode="L"):
    """Makes a progressive JPEG of so many scans, copies of its last one of a few bytes each."""
    data = encode(Image.new(mode, (64, 48), 128), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + data[-2:]


def memory_bomb():
    """Makes a TIFF of 1 MB whose 40,000 tags all point to the same 500 kB: a reader would need 20 GB."""
    count, length = 40_000, 500_000
    place = 8 + 2 + 12 * count + 4
    tags = b"".join(struct.pack("<HHII", tag, 7, length, place) for tag in range(1, count + 1))
    return b"II*\0" + struct.pack("<IH", 8, count) + tags + bytes(4 + length)


def slow_photo():
    """Makes a plain-text PPM, which Pillow reads in Python: 12 s of CPU time for 54 MB."""
    return b"P3 3000 3000 255 " + b"1 " * 27_000_000


def as_exif(tiff, photo):
    """Adds the tags of a TIFF to a JPEG as EXIF, in as many segments as they need."""
    parts = [b"Exif\0\0" + tiff[at : at + 65_000] for at in range(0, len(tiff), 65_000)]
    return photo[:2] + b"".join(struct.pack(">HH", 0xFFE1, len(p) + 2) + p for p in parts) + photo[2:]


def exposures(count, seed=0):
    """Makes photos of one scene, each darker or brighter, cut by up to 3 % of a side, and saved again."""
    rng = np.random.default_rng(seed)
    scene = Image.fromarray(rng.integers(0, 200, (8, 10, 3), dtype=np.uint8)).resize((256, 192))
    photos = []
    for _ in range(count):
        left, top, right, bottom = (rng.uniform(0, 0.03, 4) * (256, 192, 256, 192)).round().astype(int)
        cut = scene.crop((left, top, 256 - right, 192 - bottom))
        light = rng.uniform(0.7, 1.2)
        photos.append(
            encode(cut.point([min(255, round(light * level)) for level in range(256)] * 3), quality=80)
        )
    return photos
