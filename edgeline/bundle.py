"""The files of a release that answer, loaded without TensorFlow: contract, labels, interpreter."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.interpreter import EdgeModel, has_unlike, measure_unlike, preprocess, silence_stderr
from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import parse_labels
from edgeline.records.edge import UNLIKE_FROM
from edgeline.records.rejection import RowRejected, check_text
from edgeline.release.layout import LABELS, PREPROCESSING
from edgeline.release.manifest import Manifest
from edgeline.store.locations import add_path_to_errors


@dataclass(frozen=True)
class Answer:
    """The answer to one example."""

    tensor: NDArray[Any]  # the input of the models, [1, ...]
    scores: Mapping[str, NDArray[np.float32]]  # by variant, [1, classes]; the first variant's count
    labels: Sequence[str]
    # How unlike the example is to those of training, 0 to 1: of a photo by the first variant, above 0.5 for
    # 5 % of eval photos; of a row by the contract. None where neither says it.
    unlike: float | None = None

    @property
    def is_unlike(self) -> bool:
        """Returns whether the example is unlike those of training, so that the answer means little."""
        return self.unlike is not None and self.unlike > UNLIKE_FROM

    @cached_property
    def ranked(self) -> dict[str, float]:
        """Returns the first variant's probability of each label, 0..1, the highest first."""
        first = next(iter(self.scores.values()))[0]
        return {self.labels[n]: round(float(first[n]), 6) for n in np.argsort(-first, kind="stable")}


@dataclass(frozen=True)
class Bundle:
    """The parts of a release that answer."""

    manifest: Manifest
    contract: Mapping[str, Any]
    labels: Sequence[str]
    models: Mapping[str, EdgeModel]  # by variant; the first answers

    def __repr__(self) -> str:
        return f"<bundle of {self.manifest.model} version {self.manifest.version}: {', '.join(self.models)}>"

    @property
    def has_unlike(self) -> bool:
        """Returns whether its answers tell how unlike an example is to those of training."""
        return has_unlike(next(iter(self.models.values())), self.contract)

    def predict(self, content: Any) -> Answer:
        """Answers to a raw input, as `preprocess` takes it, and to no text that a run would reject.

        Raises EdgelineError if the input cannot be read.
        """
        if self.contract.get("kind") == "tokens" and isinstance(content, str | bytes):
            try:
                check_text(content if isinstance(content, str) else content.decode(errors="replace"))
            except RowRejected as error:
                raise EdgelineError(
                    error.detail, "The model was not trained on such texts.", "Leave it out."
                ) from None
        tensor = preprocess(content, self.contract)
        answers = {name: model.answer(tensor) for name, model in self.models.items()}
        scores = {name: probabilities for name, (probabilities, _) in answers.items()}
        _, of_file = next(iter(answers.values()))
        unlike = measure_unlike(content, self.contract) if of_file is None else float(of_file[0])
        return Answer(tensor, scores, self.labels, None if unlike is None else round(unlike, 6))


def load_bundle(
    manifest: Manifest, read_file: Callable[[str], bytes], variant: str | None = None, every: bool = False
) -> Bundle:
    """Loads the files of a bundle.

    Args:
        manifest: Its manifest.
        read_file: Reads a file of the bundle by its path, and checks it, as `Release.read` does.
        variant: The variant that answers; by default the one that phones run.
        every: Whether the other variants are loaded too.

    Raises UsageError if the release has no such variant, and EdgelineError if a file is damaged.
    """
    names = {variant.name: variant.file for variant in manifest.variants}
    first = variant or manifest.default_variant
    if first not in names:
        raise UsageError(
            f"Version {manifest.version} of {manifest.model} has no variant {first!r}.",
            f"Its variants are {', '.join(names)}.",
            f"Leave it out to use {manifest.default_variant}, which phones run.",
        )
    contract = json.loads(read_file(PREPROCESSING))
    models = {}
    scratch = tempfile.TemporaryDirectory(prefix="edgeline-models-")
    with scratch as folder, add_path_to_errors(Path(folder)), silence_stderr():
        for name in dict.fromkeys((first, *(names if every else ()))):
            # The interpreter trusts and maps its file, so it gets a copy of the checked bytes.
            path = Path(folder, f"{name}.tflite")
            path.write_bytes(read_file(names[name]))
            models[name] = EdgeModel(path)
    return Bundle(manifest, contract, parse_labels(read_file(LABELS), LABELS, models[first].classes), models)
