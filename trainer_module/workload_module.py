"""What the module of a workload gives, and what it may leave out.

It has, in the module that `Workload.module` names:

    preprocessing_fn(inputs, custom_config) -> dict
        What Transform runs. `custom_config` has `labels`, `numbers` and `categories` of the workload, the
        settings of `model`, and `max_side` of `data`. Gives `label`, int64 [N], -1 where it is unknown, and
        the one feature that the model reads; what begins with _ is no feature, but what `edge_contract` reads
        back.
    build_model(labels, settings, transform) -> keras.Model
        From that feature, float32 or int32 [N, ...], to probabilities, float32 [N, labels]. One that begins
        with weights of its own may name a layer `FRONT`: what comes before it has to be frozen, its output is
        computed once and kept, and the last layer, a Dense one, is fitted to it before training begins.
    edge_contract(transform, settings, workload) -> dict
        The content of preprocessing.json: how a device makes that feature. `kind` names the module of
        `edge/contracts/` that does it.

and it may have:

    augment(features, draws, settings) -> tensor
        What varies in training: features float32 [N, ...], draws [N, DRAWS] of 0..1.
    initialize(model, batches, settings)
        What sets weights by the training examples before training begins: batches of (feature, label id).
    STORED_AS: a dtype that the feature is kept in memory as, where a smaller one holds it.
    RAW_SIGNATURE: (name, {argument: raw feature}) of the signature that takes raw values.
    TENSOR_SIGNATURE: name of the one that takes the feature itself.
    neutral_features() -> dict
        Raw features of an example that is nobody's, to warm up a server with; words and zeros stand for the
        others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from errors import UsageError
from records.workload import load_module

if TYPE_CHECKING:
    import tensorflow_transform as tft

    from trainer_module.settings import TrainerSettings

LABEL = "label"
FRONT = "front"
DRAWS = 7
TENSOR_SIGNATURE = "serve_tensors"
_RAW_SIGNATURE = "serve_raw"
_REQUIRED = ("preprocessing_fn", "build_model", "edge_contract")


def load(module: str) -> Any:
    """The module of a workload.

    Raises:
        UsageError: It raises when imported, or lacks a function.
    """
    return load_module(module, _REQUIRED, "trainer_module/workload_module.py")


def input_feature(transform: tft.TFTransformOutput) -> str:
    """The transformed feature that the model reads.

    Raises:
        UsageError: There is none, or several.
    """
    names = [name for name in transform.transformed_feature_spec() if name != LABEL and name[0] != "_"]
    if len(names) != 1:
        raise UsageError(
            f"preprocessing_fn gives the features {', '.join(sorted(names)) or 'none'} beside the label.",
            "A model reads one tensor, as a phone gives it one.",
            "Put together what the model reads, and begin the names of the others with _.",
        )
    return names[0]


def stored_dtype(module: str, feature: str) -> str | None:
    """The dtype that a feature is kept in memory as; None where it is kept as it is."""
    return getattr(load(module), "STORED_AS", {}).get(feature)


def augmentation(module: str, settings: TrainerSettings) -> Callable[[Any, Any], Any] | None:
    """What varies a batch by its draws; None where nothing varies."""
    augment = getattr(load(module), "augment", None)
    return augment and partial(augment, settings=settings)


def tensor_signature(module: str) -> str:
    """Name of the signature that takes the model's input."""
    return str(getattr(load(module), "TENSOR_SIGNATURE", TENSOR_SIGNATURE))


def raw_signature(module: str, features: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Name of the signature that takes raw values, and its arguments with the raw feature of each."""
    if named := getattr(load(module), "RAW_SIGNATURE", None):
        name, arguments = named
        return name, arguments
    arguments = {}
    for feature in features:
        # As TensorFlow has them: a column may be called `Temp. (°C)`.
        argument = re.sub("[^a-zA-Z0-9]", "_", feature)
        argument = argument if argument[0].isalpha() else f"arg_{argument}"
        while argument in arguments:
            argument += "_"
        arguments[argument] = feature
    return _RAW_SIGNATURE, arguments
