"""The edge file as an MLflow model; a copy of this package goes with each registered version.

`mlflow.pyfunc.load_model` needs the packages of its requirements.txt, not this project or TensorFlow.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeline.edge.contracts import row
from edgeline.edge.interpreter import EdgeModel, has_unlike, measure_unlike, preprocess
from edgeline.labels import parse_labels


class Model:
    """A folder with one .tflite file, its preprocessing.json and labels.txt."""

    def __init__(self, folder: Path) -> None:
        self._contract = json.loads((folder / "preprocessing.json").read_bytes())
        self._labels = parse_labels((folder / "labels.txt").read_bytes(), "labels.txt")
        (file,) = folder.glob("*.tflite")
        self._model = EdgeModel(file)

    def predict(self, examples: Any, params: Any = None) -> Any:
        """Predicts labels: a pandas.DataFrame of label, its probability and that of each label, a row each.

        Of photos and rows it has the column `unlike` too, above 0.5 if one is unlike those of training.

        Args:
            examples: A DataFrame. Photos are one column of bytes or file paths, texts one column; rows have
                the columns of the training, as texts (`read_csv(..., dtype=str)`) if they were imported as
                texts. Where a prediction takes several readings: the rows of one group, oldest first.
            params: Not used.

        Raises:
            EdgelineError: An example cannot be read.
            KeyError: A column is missing.
        """
        import pandas as pd

        index, rows = [], []
        for key, content in self._iterate_contents(examples):
            (scores,), of_file = self._model.answer(preprocess(content, self._contract))
            unlike = measure_unlike(content, self._contract) if of_file is None else of_file[0]
            best = int(np.argmax(scores))
            index.append(key)
            also = () if unlike is None else (unlike,)
            rows.append((self._labels[best], float(scores[best]), *map(float, (*scores, *also))))
        names = ["unlike"] if has_unlike(self._model, self._contract) else []
        return pd.DataFrame(rows, index, ["label", "probability", *self._labels, *names])

    def _iterate_contents(self, examples: Any) -> Iterator[tuple[Any, Any]]:
        """Yields the index and content of each example; a window begins once there are enough readings."""
        contract = self._contract
        kind = self._contract.get("kind", "image")
        if kind != "row":
            candidates = (contract.get("column"), contract.get("input"), examples.columns[0])
            name = next(name for name in candidates if name in examples)
            for key, value in examples[name].items():
                is_path = kind == "image" and isinstance(value, str)
                yield key, Path(value).read_bytes() if is_path else value
            return
        names = row.list_columns(contract)
        for end in range(contract["readings"], len(examples) + 1):
            rows = examples.iloc[end - contract["readings"] : end]
            yield rows.index[-1], {name: list(rows[name]) for name in names}


def _load_pyfunc(path: str) -> Model:
    """Loads the model; MLflow calls this function by its name."""
    return Model(Path(path))
