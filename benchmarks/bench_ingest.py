"""Photos a second through `check_photo` and the whole ingest step, against a bare Pillow loop.

    python -m benchmarks.bench_ingest [--data SPANS] [--repeats N]

The bare loop opens each photo, decodes it and makes it gray: the least that anyone who looks at photos has
to do. The check is what ingest does to a photo; the step reads files, runs Beam, looks for copies, writes
TFRecords and reads the window again. Without spans, photos are made in three sizes, and checked only.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from data.photos.checks import check_photo
from data.photos.labels_file import PhotoSpan, read_labels
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.rejection import RowRejected

_MADE = {"192 x 144": (192, 144, 400), "512 x 384": (512, 384, 200), "1600 x 1200": (1600, 1200, 40)}


def bare(photo: bytes) -> None:
    """Open, decode, gray."""
    with Image.open(io.BytesIO(photo)) as image:
        image.load()
        image.convert("L")


def checked(photo: bytes) -> None:
    """What ingest does to a photo."""
    try:
        check_photo(photo, DataSettings())
    except RowRejected as rejected:
        sys.stderr.write(f"{rejected}\n")


def photos_a_second(work: Callable[[bytes], None], photos: Sequence[bytes]) -> float:
    """One pass over the photos."""
    start = time.perf_counter()
    for photo in photos:
        work(photo)
    return len(photos) / (time.perf_counter() - start)


def ingested_a_second(data: Path, labels: Sequence[str]) -> float:
    """One run of the step SpanExampleGen over every span in `data`."""
    from tfx.types.standard_artifacts import Examples

    from components.artifacts import Quarantine
    from components.example_gen import SpanExampleGen
    from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE
    from pipeline.workloads import BUILT_IN
    from records.ingest import INGEST

    with tempfile.TemporaryDirectory() as folder:
        examples, quarantine = Examples(), Quarantine()
        examples.uri, quarantine.uri = f"{folder}/examples", f"{folder}/quarantine"
        executor = SpanExampleGen.EXECUTOR_SPEC.executor_class
        context = executor.Context(
            beam_pipeline_args=list(FASTEST_ON_ONE_MACHINE), tmp_dir=folder, unique_id="1"
        )
        properties = {
            "data": str(data),
            "workload": replace(BUILT_IN["shelf"], labels=tuple(labels)).to_json(),
            "settings": DataSettings(window=1000).model_dump_json(),
            "window": "",
            "code": "",
        }
        start = time.perf_counter()
        executor(context).Do({}, {"examples": [examples], "quarantine": [quarantine]}, properties)
        seconds = time.perf_counter() - start
        summary = INGEST.read(Path(quarantine.uri))
    return sum(span.rows for span in summary.spans) / seconds


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
    parser.add_argument("--data", type=Path, help="a folder of spans instead of made photos")
    parser.add_argument("--repeats", type=int, default=5, help="passes, of which the median counts (5)")
    options = parser.parse_args(arguments)
    if options.data:
        spans = [PhotoSpan.of(span) for span in find_spans(options.data)]
        rows = [(span, row) for span in spans for row in read_labels(span)]
        labels = sorted({row.label for _, row in rows})
        sets = {options.data.name: [span.resolve(row.photo).read_bytes() for span, row in rows]}
    else:
        sets = {name: make_photos(*size) for name, size in _MADE.items()}
    columns = {"bare": bare, "checked": checked}
    sys.stdout.write(f"{'photos a second':<16} {'bare':>8} {'checked':>8} {'ratio':>6}")
    sys.stdout.write(f" {'ingested':>9} {'ratio':>6}\n" if options.data else "\n")
    for name, photos in sets.items():
        # In turn, so that a busy machine slows all alike.
        passes: dict[str, list[float]] = {column: [] for column in (*columns, "ingested")}
        for _ in range(options.repeats):
            for column, work in columns.items():
                passes[column].append(photos_a_second(work, photos))
            if options.data:
                passes["ingested"].append(ingested_a_second(options.data, labels))
        median = {column: float(np.median(rates)) for column, rates in passes.items() if rates}
        line = f"{name:<16} {median['bare']:>8.0f} {median['checked']:>8.0f}"
        line += f" {median['checked'] / median['bare']:>6.2f}"
        if options.data:
            line += f" {median['ingested']:>9.0f} {median['ingested'] / median['bare']:>6.2f}"
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
