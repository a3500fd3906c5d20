"""Generated readings as a source gives them, and the graph of a real Transform of them."""

from pathlib import Path

import numpy as np

from data.sensors.generator import LABELS, NUMBERS, generate
from data.settings import DataSettings
from data.spans.source import Row
from data.tables.source import open_source
from edgeline.records.workload import Workload
from tests.examples import transform

SENSOR = Workload(
    "sensor",
    "schema/sensor.pbtxt",
    "trainer_module.workloads.tables",
    "data.tables.source",
    labels=LABELS,
    id="window_id",
    group="block",
    numbers=NUMBERS,
    categories=("machine_id",),
    label_column="fault_label",
    group_column="machine_id",
    time_column="timestamp",
    normal="normal",
)
SCHEMA = Path(__file__).parents[3] / "schema" / "sensor.pbtxt"


def windows(
    folder: Path, weeks: int, per_week: int, faults: dict | None = None, stride: int = 4, seed: int = 1
) -> list[dict]:
    """Every window of a generated sample: its features, `label`, `block`, `span` and `newest_span`."""
    spans = generate(folder, weeks=weeks, per_week=per_week, seed=seed, faults=faults or {})
    source = open_source(SENSOR, DataSettings(readings=16, stride=stride))
    return [
        source.example(span, row).features
        | {"label": row.label, "block": row.group, "window_id": f"{span.name}/{row.id}"}
        | {"span": span.number, "newest_span": int(span is spans[-1])}
        for span in spans
        for row in source.rows(span)
        if isinstance(row, Row)
    ]


def analyze(examples: list[dict], folder: Path, config: dict, schema_text: str | None = None):
    """What TFX's Transform hands on."""
    import tensorflow_transform as tft

    from trainer_module.workloads import tables

    schema = schema_text or SCHEMA.read_text()
    return tft.TFTransformOutput(transform(tables.preprocessing_fn, config, examples, schema, folder))


def raw_batch(examples: list[dict], workload: Workload = SENSOR) -> dict:
    """What the graph reads of examples, as dense tensors, but for texts, which the schema leaves sparse."""
    import tensorflow as tf

    numbers = {n: tf.constant([e[n] for e in examples], tf.float32) for n in workload.numbers}
    texts = [*workload.categories, *(["label"] if "label" in examples[0] else [])]
    return numbers | {n: tf.sparse.from_dense([[e[n]] for e in examples]) for n in texts}


def recall_at(scores: np.ndarray, alarms: np.ndarray, false_alarms: float = 0.01) -> float:
    """The share of real alarms above the score that `false_alarms` of the others exceed."""
    return float((scores[alarms] > np.quantile(scores[~alarms], 1 - false_alarms)).mean())
