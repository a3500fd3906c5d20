"""What makes two SavedModels one model: weights and graph, which two equal trainings have in common.

Their bytes differ all the same. Measured on two trainings of the sensor workload from one cache: Keras
numbers the variables in the order of a set of objects, so that all of `variables/` differs; TensorFlow
Transform names and orders placeholders by a set of strings; functions carry the number of those traced before
them; the table of a vocabulary carries a temporary name. fingerprint.pb differs with them, in its hashes of
weights and graph. The TFLite files were equal, but preprocessing is not in those.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_TRACED = re.compile(r"(__(?:inference|forward|backward)_.*?)_\d+")
# Whose order is that of the variables.
_ABOUT_FILES = re.compile(r"__inference__traced_(save|restore)")
_NAMES = {"shared_name", "container", "config_proto", "_class"}


def identity_of(saved_model: Path) -> str:
    """One sha256 of the weights, the functions and the vocabularies of a SavedModel.

    Names of nodes and variables do not count, nor the order in which they are stored; what feeds what does.
    Which of two weights of one shape goes where is not told: no two trainings end with those exchanged.
    """
    weights = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))
    arrays = [
        np.asarray(weights.get_tensor(name))
        for name in weights.get_variable_to_shape_map()
        if name.endswith("/VARIABLE_VALUE")
    ]
    model = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    assets = (saved_model / "assets").rglob("*")
    return _digest(
        sorted(
            _digest(str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest())
            for array in arrays
        ),
        sorted(_function(each) for each in functions if not _ABOUT_FILES.match(each.signature.name)),
        sorted([path.name, path.read_bytes().hex()] for path in assets if path.is_file()),
    )


def _function(function: Any) -> str:
    """The digest of a FunctionDef: each node by its operation, its attributes and what feeds it."""
    nodes = {node.name: node for node in function.node_def}
    known = {
        arg.name: _digest("argument", number, arg.type)
        for number, arg in enumerate(function.signature.input_arg)
    }

    def of(source: str) -> list[str]:
        """What an input is: `^node`, `node:output:number`, or an argument."""
        name, _, port = source.lstrip("^").partition(":")
        return [known[name], port, source[:1] if source.startswith("^") else ""]

    left = list(nodes)
    while left:
        name = left.pop()
        if name in known:
            continue
        inputs = list(nodes[name].input)
        waiting = [each for each in (i.lstrip("^").partition(":")[0] for i in inputs) if each not in known]
        if waiting:
            left += [name, *waiting]
            continue
        data = [of(each) for each in inputs if not each.startswith("^")]
        control = sorted(of(each) for each in inputs if each.startswith("^"))
        known[name] = _digest(nodes[name].op, _attributes(nodes[name].attr), data, control)
    returned = sorted([name, of(source)] for name, source in function.ret.items())
    return _digest(_plain(function.signature.name), returned, sorted(known.values()))


def _attributes(attributes: Any) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        kind = value.WhichOneof("value")
        if kind == "func":
            found[name] = _plain(value.func.name)
        elif kind == "list" and value.list.func:
            found[name] = [_plain(each.name) for each in value.list.func]
        elif name not in _NAMES:
            found[name] = value.SerializeToString(deterministic=True).hex()
    return sorted(found.items())


def _plain(name: str) -> str:
    """The name of a function without the number of those traced before it."""
    match = _TRACED.fullmatch(name)
    return match[1] if match else name


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
