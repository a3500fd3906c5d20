"""Serialized tf.Examples, files of them, and the graph of a real Transform."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def serialize(features: Mapping[str, Any]) -> bytes:
    """Serializes an example; each value is a text, bytes, a number, or a list of these."""
    import tensorflow as tf

    def build_feature(value: Any) -> tf.train.Feature:
        values = value if isinstance(value, list) else [value]
        if values and isinstance(values[0], str | bytes):
            texts = [text.encode() if isinstance(text, str) else text for text in values]
            return tf.train.Feature(bytes_list={"value": texts})
        kind = "int64_list" if values and isinstance(values[0], int) else "float_list"
        return tf.train.Feature(**{kind: {"value": values}})

    feature = {name: build_feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_records(path: Path, records: Iterable[bytes]) -> None:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)


def transform(
    preprocessing_fn: Callable[..., Any],
    config: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    schema_text: str,
    folder: Path,
) -> str:
    """Runs Transform on examples; returns its output folder."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
    from tfx_bsl.tfxio import tf_example_record

    from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE, speed_up_beam

    schema = text_format.Parse(schema_text, schema_pb2.Schema())
    tfxio = tf_example_record.TFExampleBeamRecord("inmem", ["test"], schema=schema)
    speed_up_beam()
    options = PipelineOptions(list(FASTEST_ON_ONE_MACHINE))
    with beam.Pipeline(options=options) as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
        records = pipeline | beam.Create(list(map(serialize, examples)), reshuffle=False)
        raw = records | tfxio.BeamSource(), tfxio.TensorAdapterConfig()
        analyzed = raw | tft_beam.AnalyzeDataset(lambda inputs: preprocessing_fn(inputs, config))
        _ = analyzed | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), str(folder / "graph" / "metadata"))
    return str(folder / "graph")
