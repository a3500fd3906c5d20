"""Counts the photos of other things that the files for phones call unlike those of training.

    python -m benchmarks.bench_novelty WORKSPACE [FOLDER...]

For the last run of a workspace: the share of its eval photos, of blank and of noisy pictures, of crops of
scikit-learn's sample images, and of the photos in each FOLDER, for which each file's `unlike` is above 0.5.
Below each: the share whose largest probability is below that of 95 % of eval photos. `ms` is the median
latency in one thread, `apart` the mean difference of `unlike` from the SavedModel's.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

import edgeline
from benchmarks.past_run import read_eval
from edgeline.edge.interpreter import EdgeModel, preprocess
from edgeline.edge.measure import measure_speed
from edgeline.records.edge import CONVERSIONS, EDGE_FILES, PREPROCESSING, UNLIKE_FROM
from edgeline.tables.unpacking import PHOTO_SUFFIXES

_MOST, _EACH = 1_000, 100


def draw_pictures() -> Iterator[tuple[str, list[bytes]]]:
    """Yields names and pictures, as PNG, that are of nothing or of other things."""
    random = np.random.default_rng(0)
    yield "blank", [_encode(np.tile(random.integers(0, 256, 3), (200, 200, 1))) for _ in range(_EACH)]
    sides = [(160, 1) if number % 2 else (20, 8) for number in range(_EACH)]
    noise = [
        np.kron(random.integers(0, 256, (side, side, 3)), np.ones((by, by, 1), int)) for side, by in sides
    ]
    yield "noise", list(map(_encode, noise))
    crops = []
    for image in load_sample_images().images:
        for _ in range(_EACH // 2):
            side = random.integers(150, 400)
            top, left = (random.integers(0, size - side) for size in image.shape[:2])
            crops.append(_encode(image[top : top + side, left : left + side]))
    yield "scikit-learn's images", crops


def _encode(pixels: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Prints a table with a line for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", metavar="WORKSPACE")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    run = edgeline.open(arguments.workspace).run("latest")
    _, sample = read_eval(run)
    bundle = Path(run.step("EdgeConverter").artifacts["edge_models"])
    contract = PREPROCESSING.read(bundle)
    sets = {"eval": sample.inputs}
    pictures = dict(draw_pictures())
    for folder in arguments.folders:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        pictures[folder.name] = [path.read_bytes() for path in paths[:_MOST]]
    sets |= {
        name: np.concatenate([preprocess(content, contract) for content in contents])
        for name, contents in pictures.items()
    }
    variants = EDGE_FILES.read(Path(run.step("EdgeValidator").artifacts["verdict"])).variants
    measured = {each.name: each.measured for each in variants}
    print(f"| | MB | ms | apart | {' | '.join(f'{name} ({len(photos)})' for name, photos in sets.items())} |")
    print(f"|---|---|---|---|{'---|' * len(sets)}")
    for each in CONVERSIONS.read(bundle):
        difference = (at_validation := measured[each.variant]) and at_validation.unlike_difference
        if not each.file or difference is None:  # the run had model.unlike=false
            continue
        path = bundle / each.file
        answers = [EdgeModel(path).answer(photos) for photos in sets.values()]
        latency = measure_speed(path, sets["eval"], (), {}).latency.p50_ms
        figures = [
            f"{path.stat().st_size / 1e6:.3f}",
            f"{latency:.3f}",
            f"{difference:.4f}",
        ]
        figures += [f"{np.mean(unlike > UNLIKE_FROM):.2f}" for _, unlike in answers]  # type: ignore[operator]
        print(f"| {each.variant} | {' | '.join(figures)} |")
        surest = [probabilities.max(axis=1) for probabilities, _ in answers]
        shares = (f"{np.mean(each < np.quantile(surest[0], 0.05)):.2f}" for each in surest)
        print(f"| by its largest probability | | | | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
