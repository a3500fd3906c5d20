"""Photos a second through `check_photo`, against a bare Pillow loop over the same bytes.

    python benchmarks/bench_ingest.py [--photos FOLDER] [--repeats N]

The bare loop opens each photo, decodes it and makes it gray: the least that anyone who looks at photos has
to do. The check does the rest of ingest's work on a photo. Without a folder, photos are made in three
sizes.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data.photo_checks import PhotoLimits, PhotoRejected, check_photo

_MADE = {"192 x 144": (192, 144, 400), "512 x 384": (512, 384, 200), "1600 x 1200": (1600, 1200, 40)}


def bare(photo: bytes) -> None:
    """Open, decode, gray."""
    with Image.open(io.BytesIO(photo)) as image:
        image.load()
        image.convert("L")


def checked(photo: bytes) -> None:
    """What ingest does to a photo."""
    try:
        check_photo(photo, PhotoLimits())
    except PhotoRejected as rejected:
        sys.stderr.write(f"{rejected}\n")


def photos_a_second(work: Callable[[bytes], None], photos: Sequence[bytes]) -> float:
    """One pass over the photos."""
    start = time.perf_counter()
    for photo in photos:
        work(photo)
    return len(photos) / (time.perf_counter() - start)


def make_photos(width: int, height: int, count: int) -> list[bytes]:
    """Photos with detail at every scale, as JPEG at quality 88."""
    rng = np.random.default_rng(0)
    photos = []
    for _ in range(count):
        image = Image.new("RGB", (width, height))
        for cells, share in ((4, 0.6), (16, 0.4), (64, 0.25)):
            layer = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            image = Image.blend(image, layer.resize((width, height), Image.Resampling.BICUBIC), share)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=88)
        photos.append(file.getvalue())
    return photos


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs instead of made ones")
    parser.add_argument("--repeats", type=int, default=5, help="passes, of which the median counts (5)")
    options = parser.parse_args(arguments)
    if options.photos:
        paths = sorted(options.photos.rglob("*.jpg"))[:2000]
        sets = {options.photos.name: [path.read_bytes() for path in paths]}
    else:
        sets = {name: make_photos(*size) for name, size in _MADE.items()}
    sys.stdout.write(f"{'photos':<16} {'bare / s':>10} {'checked / s':>12} {'ratio':>6}\n")
    for name, photos in sets.items():
        # In turn, so that a busy machine slows both alike.
        passes = [
            (photos_a_second(bare, photos), photos_a_second(checked, photos)) for _ in range(options.repeats)
        ]
        slow, fast = (float(np.median(column)) for column in zip(*passes, strict=True))
        sys.stdout.write(f"{name:<16} {slow:>10.0f} {fast:>12.0f} {fast / slow:>6.2f}\n")


if __name__ == "__main__":
    main()
