"""The interface of a workload's module: the names that it must define, and those that it may.

The module that `Workload.module` names must define the functions of `WorkloadModule`.

It may also define:

    augment(features, draws, settings) -> tensor
        Varies features, float32 [N, ...], in training, by draws [N, DRAWS] in 0..1.
    initialize(model, batches, settings, transform)
        Sets weights from the training examples, batches of (feature, label id), before training begins.
    teach(features, labels, groups, classes) -> probabilities
        Returns a teacher's answers to examples of train, float32 [N, classes], from which the model learns
        beside the labels, by `trainer.teacher`; None for no teacher. Labels and groups are int64 [N].
    find_features(model) -> tensor
        Returns the tensor of a trained model, [N, features], from which its files tell how unlike an example
        is to those of training; without it they have no output `unlike`.
    settle(custom_config, examples) -> dict
        Returns the configuration of `preprocessing_fn` with what has to be known before its graph is made,
        from the raw features of a sample of training examples, each a `tf.train.Feature` by name.
    STORED_AS: {feature: dtype}, for a feature that fits into a smaller dtype in memory.
    RAW_SIGNATURE: (name, {argument: raw feature}) of the signature that takes raw values.
    TENSOR_SIGNATURE: name of the signature that takes the feature itself.
    neutral_features() -> dict
        Returns raw features of a made-up example, to warm up a server; words and zeros stand for the others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edgeline.errors import UsageError
from edgeline.records.workload import check_module, load_module

if TYPE_CHECKING:
    import keras
    import tensorflow_transform as tft

    from edgeline.records.workload import Workload
    from trainer_module.settings import ModelSettings

LABEL = "label"
FRONT = "front"
DRAWS = 7
TENSOR_SIGNATURE = "serve_tensors"
_RAW_SIGNATURE = "serve_raw"
_GUIDE = "trainer_module/workload_module.py"
_REQUIRED = ("preprocessing_fn", "build_model", "edge_contract")
# Layers of Keras, and classes of TensorFlow, that TFLite's own operators cannot do.
_TABLES = {
    *("IntegerLookup", "StringLookup", "TextVectorization", "Hashing", "HashedCrossing"),
    *("StaticHashTable", "StaticVocabularyTable", "MutableHashTable", "DenseHashTable"),
}


class WorkloadModule(Protocol):
    """The functions that a workload's module must define."""

    def preprocessing_fn(self, inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, Any]:
        """Runs in Transform, on tensors of raw features.

        `custom_config` has `labels`, `numbers` and `categories` of the workload, the settings of `model`, and
        `max_side` of `data`. Returns `label`, int64 [N], its index in `labels` or -1, and the single feature
        that the model reads; names that begin with _ are values for `edge_contract`. At serving, there is no
        label in `inputs`, and `label` is left out.
        """

    def build_model(
        self, labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
    ) -> keras.Model:
        """Maps that feature, float32 or int32 [N, ...], to probabilities, float32 [N, labels].

        A model with pretrained weights may name a layer `FRONT`: the layers before it have to be frozen, its
        output is computed once and stored, and the last layer, a Dense one, is fitted to it before training
        begins.

        Args:
            labels: In the order of their ids.
            settings: Those of `model`.
            transform: Has the shape of the feature, and the vocabularies.
        """

    def edge_contract(
        self, transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
    ) -> Mapping[str, Any]:
        """Returns the content of preprocessing.json, by which a device makes that feature.

        `kind` names the module of `edgeline/edge/contracts/` that does it.

        Args:
            transform: Has what the graph learned, such as vocabularies and the features that begin with _.
            settings: Those of `model`, with which the graph was made.
            workload: Has the columns that a device passes.
        """


def check_source(module: str) -> None:
    """Raises as `load_workload_module` does, as far as the source of the module shows; does not import it.

    Raises UsageError also if the network would look something up in a table.
    """
    tree = check_module(module, _REQUIRED, _GUIDE)
    tables = sorted(_TABLES & _find_names(tree, "build_model")) if tree else []
    if tables:
        raise UsageError(
            f"build_model of the module {module} uses {', '.join(tables)}.",
            "A file for phones cannot hold such a table: no file would ship after the training.",
            "Look words and numbers up in preprocessing_fn, as with tft.compute_and_apply_vocabulary, and let"
            " the network read their ids.",
        )


def _find_names(tree: ast.Module, start: str) -> set[str]:
    """Returns the names that a function of a module reads, also in functions of the module that it names."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names = set[str]()
    waiting = [start]
    while waiting:
        function = functions.pop(waiting.pop(), None)
        if function is None:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Name | ast.Attribute):
                names.add(node.id if isinstance(node, ast.Name) else node.attr)
        waiting += names & functions.keys()
    return names


def load_workload_module(module: str) -> WorkloadModule:
    """Imports the module of a workload. Raises UsageError if that fails, or it lacks a function."""
    imported: WorkloadModule = load_module(module, _REQUIRED, _GUIDE)
    return imported


def find_input(transform: tft.TFTransformOutput) -> str:
    """Returns the name of the feature that the model reads. Raises UsageError for none or several."""
    names = [name for name in transform.transformed_feature_spec() if name != LABEL and name[0] != "_"]
    if len(names) != 1:
        raise UsageError(
            f"Features that preprocessing_fn returns beside the label: {', '.join(sorted(names)) or 'none'}.",
            "A model reads one tensor, the one that a phone passes.",
            "Return one feature for the model, and begin the names of the other features with _.",
        )
    return names[0]


def find(module: str, name: str, default: Any = None) -> Any:
    """Returns one of the names that a workload's module may define, or the default.

    Args:
        module: As `Workload.module` has it.
        name: Stands at the top of this file.
        default: For a module that does not define the name.
    """
    return getattr(load_workload_module(module), name, default)


def name_tensor_signature(module: str) -> str:
    """Returns the name of the signature that takes the model's input."""
    return str(find(module, "TENSOR_SIGNATURE", TENSOR_SIGNATURE))


def find_raw_signature(module: str, features: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Returns the name of the signature that takes raw values, and the raw feature of each argument."""
    if signature := find(module, "RAW_SIGNATURE"):
        name, arguments = signature
        return name, arguments
    arguments = {}
    for feature in features:
        # TensorFlow restricts argument names, and a column may be called `Temp. (°C)`.
        argument = re.sub("[^a-zA-Z0-9]", "_", feature)
        argument = argument if argument[0].isalpha() else f"arg_{argument}"
        while argument in arguments:
            argument += "_"
        arguments[argument] = feature
    return _RAW_SIGNATURE, arguments
