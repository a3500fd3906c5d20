import pytest
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from edgeline.errors import UsageError
from trainer_module import workload_module


def write_module(folder, monkeypatch, name, functions):
    """Writes a module with functions that do nothing, and makes it importable."""
    (folder / f"{name}.py").write_text("".join(f"def {function}(): ...\n" for function in functions))
    monkeypatch.syspath_prepend(str(folder))


def write_transform(folder, names):
    """Writes the output of Transform with features of these names."""
    details = "type: FLOAT shape { dim { size: 4 } } presence { min_fraction: 1 }"
    features = "".join(f'feature {{ name: "{name}" {details} }}' for name in names)
    schema = dataset_metadata.DatasetMetadata(text_format.Parse(features, schema_pb2.Schema()))
    metadata_io.write_metadata(schema, str(folder / "transformed_metadata"))
    return tft.TFTransformOutput(str(folder))


def test_a_module_needs_three_functions_and_nothing_else(tmp_path, monkeypatch):
    write_module(tmp_path, monkeypatch, "half_a_module", ["preprocessing_fn"])
    with pytest.raises(UsageError, match="half_a_module has no build_model and no edge_contract") as error:
        workload_module.load_workload_module("half_a_module")
    assert error.value.why and error.value.do

    write_module(tmp_path, monkeypatch, "own_module", ["preprocessing_fn", "build_model", "edge_contract"])
    assert workload_module.load_workload_module("own_module").__name__ == "own_module"
    assert workload_module.name_tensor_signature("own_module") == "serve_tensors"
    assert workload_module.find("own_module", "augment") is None
    columns = ("torque", "mean torque", "mean_torque", "2nd (°C)")
    names = ("torque", "mean_torque", "mean_torque_", "arg_2nd___C_")
    signature = ("serve_raw", dict(zip(names, columns, strict=True)))
    assert workload_module.find_raw_signature("own_module", columns) == signature


NETWORK = """
from tensorflow.keras import layers

def preprocessing_fn(inputs, custom_config):
    return layers.StringLookup()(inputs)

def edge_contract(transform, settings, workload): ...

def embed(window):
    return layers.{layer}(12)(window)

def build_model(labels, settings, transform):
    return embed(labels)
"""


def test_a_network_that_looks_words_up_is_refused_before_anything_runs(tmp_path, monkeypatch):
    """Words are looked up before the network, in preprocessing_fn."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "with_words.py").write_text(NETWORK.format(layer="Embedding"))
    workload_module.check_source("with_words")

    (tmp_path / "with_a_table.py").write_text(NETWORK.format(layer="IntegerLookup"))
    with pytest.raises(
        UsageError, match="build_model of the module with_a_table uses IntegerLookup"
    ) as error:
        workload_module.check_source("with_a_table")
    assert "preprocessing_fn" in error.value.do


def test_the_model_reads_the_one_feature_that_is_neither_label_nor_hidden(tmp_path):
    assert workload_module.find_input(write_transform(tmp_path / "1", ["label", "row", "_means"])) == "row"
    for names, message in ((["label", "_means"], "label: none"), (["row", "label", "image"], "image, row")):
        with pytest.raises(UsageError, match=message) as error:
            workload_module.find_input(write_transform(tmp_path / message[:5], names))
        assert error.value.why and error.value.do
