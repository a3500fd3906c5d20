"""The file that phones run as a model of MLflow; a copy of this room goes with each registered version.

`mlflow.pyfunc.load_model` needs what its requirements.txt names, and neither this project nor TensorFlow.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge.contracts import row
from edge.runtime import EdgeModel, preprocess
from labels import parse_labels


class Model:
    """A folder with one .tflite file, its preprocessing.json and labels.txt."""

    def __init__(self, folder: Path) -> None:
        self._contract = json.loads((folder / "preprocessing.json").read_bytes())
        self._labels = parse_labels((folder / "labels.txt").read_bytes(), "labels.txt")
        (file,) = folder.glob("*.tflite")
        self._model = EdgeModel(file)

    def predict(self, examples: Any, params: Any = None) -> Any:
        """A pandas.DataFrame with label, its probability and that of each label, an example a row.

        Args:
            examples: Another one. Of photos one column, their bytes or paths of their files; of texts one; of
                rows those of the training, as texts (`read_csv(..., dtype=str)`) where it was imported from
                such, and where there are several readings, of one group, oldest first.
            params: None is known.

        Raises:
            EdgelineError: An example cannot be read.
            KeyError: A column is missing.
        """
        import pandas as pd

        places, found = [], []
        for place, content in self._contents(examples):
            scores = self._model.predict(preprocess(content, self._contract))[0]
            best = int(np.argmax(scores))
            places.append(place)
            found.append((self._labels[best], float(scores[best]), *map(float, scores)))
        return pd.DataFrame(found, places, ["label", "probability", *self._labels])

    def _contents(self, examples: Any) -> Iterator[tuple[Any, Any]]:
        """Each example as `preprocess` takes it, by its place; of readings from when there are enough."""
        contract, kind = self._contract, self._contract.get("kind", "image")
        if kind != "row":
            known = (contract.get("column"), contract.get("input"), examples.columns[0])
            name = next(name for name in known if name in examples)
            for place, value in examples[name].items():
                is_path = kind == "image" and isinstance(value, str)
                yield place, Path(value).read_bytes() if is_path else value
            return
        names = row.columns_of(contract)
        for end in range(contract["readings"], len(examples) + 1):
            rows = examples.iloc[end - contract["readings"] : end]
            yield rows.index[-1], {name: list(rows[name]) for name in names}


def _load_pyfunc(path: str) -> Model:
    """What MLflow calls."""
    return Model(Path(path))
