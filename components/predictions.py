"""The SavedModel's answers to the eval examples, and its worst mistakes to look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.transformed_examples import TransformedExamples, read_raw
from data.settings import DataSettings
from data.spans.source import load_source
from edgeline.records.edge import MISTAKES, Mistake, Prediction
from edgeline.records.workload import Workload

_MOST_MISTAKES = 12
_DIGITS = 6  # Float32 has no more near 1.


@dataclass(frozen=True)
class Preview:
    """An example as a page shows it: a picture, by its path in the artifact, or a text."""

    file: str
    text: str


def list_predictions(
    examples: TransformedExamples, probabilities: NDArray[np.float32], labels: Sequence[str]
) -> Iterator[Prediction]:
    """Yields a prediction per example, from rows of float32 [n, classes].

    Args:
        examples: The n examples, in the order of the rows.
        probabilities: Those of a SavedModel or of a file; one that is not finite becomes None.
        labels: The names of the classes, in the order of the model's outputs.
    """
    for number, row in enumerate(probabilities):
        yield Prediction(
            example_id=examples.ids[number],
            label=labels[examples.labels[number]],
            slices=examples.get_slices(number),
            span=examples.spans[number],
            group=examples.group_of[number],
            # JSON knows no NaN.
            probabilities=tuple(round(float(p), _DIGITS) if np.isfinite(p) else None for p in row),
        )


def write_mistakes(
    folder: Path,
    artifact: Any,
    examples: TransformedExamples,
    probabilities: NDArray[np.float32],
    workload: Workload,
) -> None:
    """Writes the mistakes that the model was surest of to `mistakes.json`, and pictures beside it.

    Args:
        folder: The folder of the EdgeValidator's verdict.
        artifact: The Examples, from whose split `eval` the examples were read.
        examples: The n examples, in the order of the rows of `probabilities`.
        probabilities: The SavedModel's answers, [n, classes]; rows that are not finite are no mistakes.
        workload: The order of its labels is that of the classes.
    """
    labels = workload.labels
    worst = _find_worst(examples.labels, probabilities)
    split_of = dict.fromkeys((examples.ids[number] for number in worst), "eval")
    previews = write_previews(folder, "mistakes", artifact, split_of, workload)
    mistakes = []
    for number in worst:
        row = probabilities[number]
        mistake = Mistake(
            file=previews[examples.ids[number]].file,
            text=previews[examples.ids[number]].text,
            example_id=examples.ids[number],
            label=labels[examples.labels[number]],
            predicted=labels[row.argmax()],
            probability=round(float(row.max()), _DIGITS),
            probability_of_label=round(float(row[examples.labels[number]]), _DIGITS),
            slices=examples.get_slices(number),
        )
        mistakes.append(mistake)
    MISTAKES.write(folder, tuple(mistakes))


def write_previews(
    folder: Path, name: str, artifact: Any, split_of: Mapping[str, str], workload: Workload
) -> dict[str, Preview]:
    """Writes pictures of a few examples, given by id with their splits, to `folder / name`.

    Args:
        folder: The folder of the artifact that a page shows.
        name: The folder in it, which is made; previews name their files by it.
        artifact: The Examples that have the raw features.
        split_of: The split of each example, by id.
        workload: Its source shows an example.

    Returns:
        The previews by id, in the order of `split_of`; an example that is not there has none.
    """
    raw: dict[str, dict[str, Any]] = {}
    for split in sorted(set(split_of.values())):
        raw |= read_raw(artifact, split, {id for id in split_of if split_of[id] == split}, workload)
    source = load_source(workload.source).open_source(workload, DataSettings())
    (folder / name).mkdir(parents=True, exist_ok=True)
    previews = {}
    for place, id in enumerate((id for id in split_of if id in raw), start=1):
        shown = source.show(raw[id])
        file = ""
        if isinstance(shown, bytes):
            file = f"{name}/{place:02d}.jpg"
            (folder / file).write_bytes(shown)
        previews[id] = Preview(file, "" if isinstance(shown, bytes) else shown)
    return previews


def _find_worst(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> list[int]:
    """Returns the positions of the wrong answers with the highest probability, highest first."""
    wrong = np.flatnonzero((probabilities.argmax(1) != labels) & np.isfinite(probabilities).all(1))
    surest = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")]
    return [int(number) for number in surest[:_MOST_MISTAKES]]
