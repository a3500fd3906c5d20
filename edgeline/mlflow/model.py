"""A release as a model that MLflow can load: its files, the code that reads them, and a signature."""

import json
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeline.edge.contracts.row import list_columns
from edgeline.labels import parse_labels
from edgeline.release.layout import LABELS, PREPROCESSING

_LIBRARIES, _PHOTO_LIBRARIES = ("ai-edge-litert", "numpy", "pandas", "pillow"), ("pillow-heif",)


def save_model(bundle: dict[str, bytes], target: Path) -> None:
    """Saves the files of a bundle as a model that MLflow can load, with the code that reads them."""
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
        for name, content in bundle.items():
            Path(folder, name).write_bytes(content)
        contract = json.loads(bundle.get(PREPROCESSING, b"{}"))
        is_of_photos = contract.get("kind", "image") == "image"
        libraries = _LIBRARIES + (_PHOTO_LIBRARIES if is_of_photos else ())
        pins = [f"{name}=={version(name)}" for name in libraries]
        labels = parse_labels(bundle[LABELS], LABELS) if LABELS in bundle else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # MLflow would like an example of an input
            pyfunc.save_model(
                target,
                "edgeline.edge.pyfunc",
                folder,
                code_paths=[str(Path(__file__).parents[1])],
                pip_requirements=pins,
                signature=_make_signature(contract, labels),
            )


def _make_signature(contract: dict[str, Any], labels: Sequence[str]) -> Any:
    """Returns MLflow's signature of a model: the columns that it takes, and those of its answers.

    A photo is bytes or a path and a cell a number or a text, so an input's type is "any".
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    kind = contract.get("kind", "image")
    if kind == "row":
        inputs: list[Any] = [ColSpec(AnyType(), name) for name in list_columns(contract)]
    elif kind == "tokens":
        inputs = [ColSpec(AnyType(), contract.get("column", contract["input"]))]
    else:
        inputs = [ColSpec(AnyType())]  # the only column, whatever its name

    scores = dict.fromkeys(("probability", *labels))
    outputs: list[Any] = [ColSpec("string", "label"), *(ColSpec("double", name) for name in scores)]
    if kind in ("image", "row"):
        outputs.append(ColSpec("double", "unlike", required=False))
    return ModelSignature(Schema(inputs), Schema(outputs))


def warm_up() -> None:
    """Lets MLflow scan the installed packages, as it does before the first model of a process."""
    with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
        save_model({}, Path(folder, "model"))
