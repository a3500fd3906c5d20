"""How fast sample photos are rendered, by number of processes: `python -m benchmarks.bench_renderer`."""

import argparse
import os
import tempfile
import time
from pathlib import Path

from data.shelf.renderer import generate

TARGET_PHOTOS, TARGET_SECONDS = 18_000, 180.0


def main() -> None:
    """Renders one week for each number of processes and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2000, help="photos to render each time (2000)")
    photos = parser.parse_args().photos
    print(f"{photos} photos, {os.cpu_count()} cores; target: {TARGET_PHOTOS / TARGET_SECONDS:.0f} photos/s")
    print(f"{'processes':>9} {'seconds':>8} {'photos/s':>9} {'x one':>6} {'of target':>10}")
    alone = 0.0
    for workers in sorted({1, 2, os.cpu_count() or 1}):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            generate(Path(folder), weeks=1, per_week=photos, seed=1, faults={}, workers=workers)
            seconds = time.perf_counter() - start
        alone = alone or seconds
        rate = photos / seconds
        ratio = rate * TARGET_SECONDS / TARGET_PHOTOS
        print(f"{workers:>9} {seconds:>8.1f} {rate:>9.0f} {alone / seconds:>6.2f} {ratio:>10.2f}")


if __name__ == "__main__":
    main()
