"""A release for phones that answers as a phone does: contract, labels, and files in an interpreter."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.runtime import EdgeModel, preprocess
from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import parse_labels
from edgeline.prediction.inputs import Input
from edgeline.release.layout import LABELS
from edgeline.release.releases import Release
from edgeline.store.locations import add_path_to_errors


@dataclass(frozen=True)
class Bundle:
    """The parts of a release that are needed to ask its files."""

    release: Release
    contract: Mapping[str, Any]
    labels: Sequence[str]
    models: Mapping[str, EdgeModel]  # by variant; the first answers


@dataclass(frozen=True)
class Answer:
    """The scores of each variant for an example, float32 [1, classes], or why there are none."""

    input: Input
    tensor: NDArray[Any] | None = None  # the input of the models
    scores: Mapping[str, NDArray[np.float32]] | None = None
    problem: str = ""


def load_bundle(release: Release, variant: str | None = None, every: bool = False) -> Bundle:
    """Loads the release's files for phones, each checked against the manifest before it is used.

    The first is `variant`, or the one that phones run; with `every`, the others follow.

    Raises:
        UsageError: The release has no such variant.
        EdgelineError: A file is damaged.
    """
    manifest = release.manifest
    names = {each.name: each.file for each in manifest.variants}
    first = variant or manifest.default_variant
    if first not in names:
        raise UsageError(
            f"Version {release.version} of {release.model} has no variant {first!r}.",
            f"Its variants are {', '.join(names)}.",
            f"Leave it out to use {manifest.default_variant}, which phones run.",
        )
    contract = json.loads(release.read("preprocessing.json"))
    labels = parse_labels(release.read(LABELS), LABELS)
    asked = dict.fromkeys((first, *(names if every else ())))
    models = load_models({name: release.read(names[name]) for name in asked})
    return Bundle(release, contract, labels, models)


def predict(input: Input, bundle: Bundle) -> Answer:
    """Returns the answer to an example, or why there is none."""
    if input.problem:
        return Answer(input, problem=input.problem)
    try:
        tensor = preprocess(input.content, bundle.contract)
    except EdgelineError as error:
        return Answer(input, problem=error.found)
    return Answer(input, tensor, {name: model.predict(tensor) for name, model in bundle.models.items()})


def rank_labels(answer: Answer, bundle: Bundle) -> dict[str, float]:
    """Returns the first variant's probability of each label, 0..1, the highest first."""
    assert answer.scores is not None
    first = answer.scores[next(iter(bundle.models))][0]
    return {bundle.labels[n]: round(float(first[n]), 6) for n in np.argsort(-first, kind="stable")}


def load_models(contents: Mapping[str, bytes]) -> dict[str, EdgeModel]:
    """Loads edge files, by name of variant, from their content, which the caller has checked.

    Raises:
        EdgelineError: A file cannot be loaded.
    """
    models = {}
    temporary = tempfile.TemporaryDirectory(prefix="edgeline-models-")
    with temporary as folder, add_path_to_errors(Path(folder)), _silence_stderr():
        for name, content in contents.items():
            # The interpreter trusts and maps its file, so it gets a copy of the checked bytes.
            path = Path(folder, f"{name}.tflite")
            path.write_bytes(content)
            models[name] = EdgeModel(path)
    return models


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discards what libraries write to the standard error during the block."""
    sys.stderr.flush()
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
