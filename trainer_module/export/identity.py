"""The identity of a SavedModel: a digest of weights and graph that is equal for two equal trainings.

The bytes of two equal trainings differ. Measured on two trainings of the sensor workload from one cache:
Keras numbers the variables in the order of a set of objects, so that all of `variables/` differs; TensorFlow
Transform names and orders placeholders by a set of strings; function names have the number of those traced
before them; the table of a vocabulary has a temporary name. So fingerprint.pb differs, in its hashes of
weights and graph. The TFLite files were equal, but they do not contain the preprocessing.
"""

import hashlib
import json
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_NUMBER = re.compile(r"_\d+(?=_|$)")
# These functions list the variables, in their varying order.
_SAVING = re.compile(r"__inference__traced_(save|restore)")
_VARYING_NAMES = {"shared_name", "container", "config_proto", "_class"}


def compute_identity(saved_model: Path) -> str:
    """Computes one sha256 of the weights, the functions and the vocabularies of a SavedModel.

    The names of nodes and variables and their order in the file do not count; the edges of the graph do. Two
    weights of one shape that were exchanged would go unnoticed, but no two trainings differ in that way.
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
        sorted(_digest_function(item) for item in functions if not _SAVING.match(item.signature.name)),
        sorted([path.name, path.read_bytes().hex()] for path in assets if path.is_file()),
    )


def _digest_function(function: Any) -> str:
    """Computes the digest of a FunctionDef: each node by its operation, attributes and inputs."""
    nodes = {node.name: node for node in function.node_def}
    digests = {
        arg.name: _digest("argument", number, arg.type)
        for number, arg in enumerate(function.signature.input_arg)
    }

    def identify_input(source: str) -> list[str]:
        """Identifies an input: `^node`, `node:output:number`, or an argument."""
        name, _, port = source.lstrip("^").partition(":")
        return [digests[name], port, source[:1] if source.startswith("^") else ""]

    sources = {
        name: [source.lstrip("^").partition(":")[0] for source in node.input] for name, node in nodes.items()
    }
    for name in TopologicalSorter(sources).static_order():
        if name in digests:  # an argument
            continue
        inputs = nodes[name].input
        data = [identify_input(source) for source in inputs if not source.startswith("^")]
        control = sorted(identify_input(source) for source in inputs if source.startswith("^"))
        digests[name] = _digest(nodes[name].op, _list_attributes(nodes[name].attr), data, control)
    returned = sorted([name, identify_input(source)] for name, source in function.ret.items())
    return _digest(_strip_number(function.signature.name), returned, sorted(digests.values()))


def _list_attributes(attributes: Any) -> list[tuple[str, Any]]:
    contents: dict[str, Any] = {}
    for name, value in attributes.items():
        kind = value.WhichOneof("value")
        if kind == "func":
            contents[name] = _strip_number(value.func.name)
        elif kind == "list" and value.list.func:
            contents[name] = [_strip_number(function.name) for function in value.list.func]
        elif name not in _VARYING_NAMES:
            contents[name] = value.SerializeToString(deterministic=True).hex()
    return sorted(contents.items())


def _strip_number(name: str) -> str:
    """Returns a function's name without numbers: of those traced before it, in Transform too for a loop."""
    return _NUMBER.sub("", name)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
