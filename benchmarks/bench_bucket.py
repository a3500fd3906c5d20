"""Ingest from S3 beside ingest from a local disk of the same photos, where a round trip takes a while.

    python -m benchmarks.bench_bucket [--photos N] [--width PIXELS] [--delay MILLISECONDS]

Both sides are ExampleGen's executor in this process, with all imports done before; memory is this process's
peak on that side. The store is `folder_as_s3.py` in another process, which takes its share of this machine's
cores: its CPU time is printed too.
"""

import argparse
import io
import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.folder_as_s3 import BUCKET, serve_folder
from data.photos.labels_file import LabelRow, write_span
from locations import list_names, locate
from tests.components.steps import ingest

_LABELS, _PER_SESSION = ("ok", "misplaced", "damaged"), 10


def _generate_photos(count: int, width: int) -> Iterator[tuple[LabelRow, bytes]]:
    """Generates small photos with distinct colours."""
    colours = np.random.default_rng(20)
    for number in range(count):
        coarse = Image.fromarray(colours.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((width, width * 3 // 4), Image.Resampling.BILINEAR).save(file, "JPEG")
        session = f"s{number // _PER_SESSION}"
        row = LabelRow(f"{number:06}.jpg", _LABELS[number % 3], "lane-01", session, "2026-10-05T09:12:33Z")
        yield row, file.getvalue()


def _measure_ingest(data: str | Path, folder: Path) -> tuple[float, float, float, float]:
    """Returns seconds of an ingest, CPU seconds with its processes, this one's peak in MB, MB of examples."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of memory, see proc(5)
    began, used = time.monotonic(), sum(os.times()[:4])
    output = ingest(data, folder)
    seconds, used = time.monotonic() - began, sum(os.times()[:4]) - used
    assert not output.quarantined(), "each photo is of other colours"
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    size = sum(path.stat().st_size for path in Path(output.examples.uri).rglob("*") if path.is_file())
    return seconds, used, int(status["VmHWM"].split()[0]) / 1000, size / 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of both sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=int, default=2_000, help="photos (2,000)")
    parser.add_argument("--width", type=int, default=320, help="of each, in pixels (320)")
    parser.add_argument("--delay", type=float, default=30, help="of each answer, in milliseconds (30)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        data, few = Path(folder, "data"), Path(folder, "few")
        write_span(data, _generate_photos(options.photos, options.width))
        write_span(few, _generate_photos(100, options.width))
        with serve_folder(data, options.delay) as address:
            _measure_ingest(few, Path(folder, "warm"))
            list_names(locate(f"s3://{BUCKET}"))
            print(f"{options.photos:,} photos, each answer after {options.delay:g} ms")
            print(
                f"{'':6} {'seconds':>8} {'a second':>9} {'ratio':>6} {'CPU s':>6} {'peak MB':>8}", "kept MB"
            )
            first = 0.0
            for name, place in (("disk", data), ("S3", f"s3://{BUCKET}")):
                seconds, used, peak, kept = _measure_ingest(place, Path(folder, name))
                first = first or seconds
                rate, ratio = options.photos / seconds, seconds / first
                figures = (
                    f"{seconds:>8.1f} {rate:>9,.0f} {ratio:>6.2f} {used:>6.1f} {peak:>8,.0f} {kept:>7,.0f}"
                )
                print(f"{name:6} {figures}", flush=True)
            with urllib.request.urlopen(f"{address}/?counts") as answer:
                counts = json.load(answer)
        print(", ".join(f"{name}: {value:,}" for name, value in counts.items()))


if __name__ == "__main__":
    main()
