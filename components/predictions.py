"""What the SavedModel said of each eval photo, and its worst mistakes with a thumbnail each."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.transformed_photos import TransformedPhotos, read_jpegs
from records.edge import MISTAKES, PREDICTIONS, Mistake, Prediction

_MOST_MISTAKES = 12
# Pixels of the longer side: enough to see what is on it, and a dozen of them stay under 100 kB.
_THUMBNAIL_SIDE = 128
_DIGITS = 6  # Float32 has no more near 1.


def write_predictions(
    folder: Path, photos: TransformedPhotos, probabilities: NDArray[np.float32], labels: Sequence[str]
) -> None:
    """Writes one JSON line a photo: `photo_id`, `label`, `lane`, `span` and `probabilities`.

    Args:
        folder: Where to.
        photos: The photos.
        probabilities: Float32 [n, classes].
        labels: Class names by id.
    """
    PREDICTIONS.write(
        folder,
        (
            Prediction(
                photo_id=photos.groups["photo_id"][number],
                label=labels[photos.labels[number]],
                lane=photos.groups["lane_id"][number],
                span=photos.spans[number],
                # JSON knows no NaN.
                probabilities=tuple(round(float(p), _DIGITS) if np.isfinite(p) else None for p in row),
            )
            for number, row in enumerate(probabilities)
        ),
    )


def write_mistakes(
    folder: Path,
    examples: Any,
    photos: TransformedPhotos,
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
) -> None:
    """Writes the mistakes that the model was surest of: `mistakes.json`, and `mistakes/NN.jpg` beside it.

    Args:
        folder: Where to.
        examples: The Examples artifact that the photos were read from; the split `eval` is used.
        photos: The photos.
        probabilities: Float32 [n, classes].
        labels: Class names by id.
    """
    from PIL import Image

    worst = _worst(photos.labels, probabilities)
    jpegs = read_jpegs(examples, "eval", {photos.groups["photo_id"][number] for number in worst})
    (folder / "mistakes").mkdir(exist_ok=True)
    mistakes = []
    for place, number in enumerate(worst, start=1):
        file = f"mistakes/{place:02d}.jpg"
        row, photo_id = probabilities[number], photos.groups["photo_id"][number]
        with Image.open(io.BytesIO(jpegs[photo_id])) as image:
            image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
            image.save(folder / file, quality=80)
        mistake = Mistake(
            file=file,
            photo_id=photo_id,
            label=labels[photos.labels[number]],
            predicted=labels[row.argmax()],
            probability=round(float(row.max()), _DIGITS),
            probability_of_label=round(float(row[photos.labels[number]]), _DIGITS),
            lane=photos.groups["lane_id"][number],
            span=photos.spans[number],
        )
        mistakes.append(mistake)
    MISTAKES.write(folder, tuple(mistakes))


def _worst(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> list[int]:
    """Positions of the photos whose wrong answer has the highest probability, highest first."""
    wrong = np.flatnonzero((probabilities.argmax(1) != labels) & np.isfinite(probabilities).all(1))
    surest = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")]
    return [int(number) for number in surest[:_MOST_MISTAKES]]
