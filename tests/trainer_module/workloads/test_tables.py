"""The Transform graph of rows, which a device without TensorFlow reproduces, and the models of tables."""

import json
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from data.sensors.generator import LABELS, NUMBERS, generate
from data.settings import DataSettings
from data.spans.source import Row
from data.spans.split import hash_group
from data.tables.source import open_source
from deploy.serving import client
from edgeline.edge.contracts.row import measure_unlike, preprocess
from edgeline.edge.inspect import find_problems, inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.micro import SOURCE, write_c_array
from edgeline.errors import UsageError
from edgeline.records.columns import Column
from edgeline.records.edge import PREPROCESSING
from edgeline.records.workload import Workload
from pipeline.workloads import find_workload, with_features
from tests.examples import transform as run_transform
from tests.serving import send_warm_up, serve_model, write_bundle
from tests.trainer_module.samples import assert_same, save_model
from trainer_module.export.convert import convert
from trainer_module.export.signatures import export
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import fit
from trainer_module.training.loop import Loop
from trainer_module.workloads import tables

pytestmark = pytest.mark.e2e

SENSOR, SETTINGS = with_features(find_workload("sensor")), ModelSettings(buckets=8)
# One number has a heavy tail, one is constant, and one is always missing.
TABLE = Workload(
    "table",
    "",
    "trainer_module.workloads.tables",
    "data.tables.source",
    labels=("no", "yes"),
    numbers=("income", "constant", "empty"),
    categories=("city", "any col/umn"),
)
SHAPE = "shape { dim { size: 1 } }"
TABLE_SCHEMA = "\n".join(
    [f'feature {{ name: "{name}" type: BYTES value_count {{ min: 1 max: 1 }} }}'
     for name in ("label", *TABLE.categories)]
    + [f'feature {{ name: "{name}" type: FLOAT presence {{ min_fraction: 1 }} {SHAPE} }}'
       for name in TABLE.numbers]
)  # fmt: skip


def config(workload: Workload, settings: ModelSettings) -> dict:
    columns = {name: list(getattr(workload, name)) for name in ("labels", "numbers", "categories")}
    return columns | settings.model_dump()


def analyze(examples: list[dict], folder: Path, config: dict, schema: str) -> tft.TFTransformOutput:
    """Runs TFX's Transform on examples and returns its output."""
    return tft.TFTransformOutput(run_transform(tables.preprocessing_fn, config, examples, schema, folder))


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list[dict]:
    """Returns every window of a generated sample: its features, and those that ingest adds."""
    spans = generate(tmp_path_factory.mktemp("sample"), weeks=3, per_week=20_000, seed=1, faults={})
    source = open_source(SENSOR, DataSettings(readings=16, stride=8))
    return [
        source.example(span, row).features
        | {"label": row.label, "block": row.group, "window_id": f"{span.name}/{row.id}"}
        | {"span": span.number, "newest_span": int(span is spans[-1])}
        for span in spans
        for row in source.rows(span)
        if isinstance(row, Row)
    ]


@pytest.fixture(scope="module")
def splits(examples) -> tuple[list[dict], list[dict]]:
    in_eval = [hash_group(example["block"]) < 0.2 for example in examples]
    train, evaluation = (
        [e for e, at in zip(examples, in_eval, strict=True) if at is kept] for kept in (False, True)
    )
    return train, evaluation


@pytest.fixture(scope="module")
def transform(splits, tmp_path_factory):
    schema = Path(SENSOR.schema).read_text()
    return analyze(splits[0][::2], tmp_path_factory.mktemp("transform"), config(SENSOR, SETTINGS), schema)


@pytest.fixture(scope="module")
def table_transform(tmp_path_factory):
    rng = np.random.default_rng(1)
    same = {"constant": [3.0], "empty": [float("nan")], "label": "no", "any col/umn": "a\u00e4"}
    rows = [
        {"income": [float(np.exp(rng.normal(8, 2)))], **same}
        | {"city": "Ulm" if rng.random() < 0.7 else f"village {rng.integers(50)}"}
        for _ in range(400)
    ]
    settings = ModelSettings(buckets=8, vocabulary=4)
    folder = tmp_path_factory.mktemp("table")
    return analyze(rows, folder, config(TABLE, settings), TABLE_SCHEMA), settings


def apply_transform(transform, examples: list[dict], workload: Workload = SENSOR) -> dict[str, np.ndarray]:
    """Applies the graph to examples; texts are sparse, as in the schema."""
    raw = {n: tf.constant([e[n] for e in examples], tf.float32) for n in workload.numbers}
    texts = [*workload.categories, *(["label"] if "label" in examples[0] else [])]
    raw |= {n: tf.sparse.from_dense([[e[n]] for e in examples]) for n in texts}
    layer = transform.transform_features_layer()
    return {name: value.numpy() for name, value in layer(raw).items()}


def make_contract(transform, settings: ModelSettings, workload: Workload) -> dict:
    return json.loads(json.dumps(tables.edge_contract(transform, settings, workload)))


def convert_int8(model: keras.Model, rows: np.ndarray, folder: Path) -> Path:
    saved = save_model(model, "serve_tensors", folder / "model")
    (conversion,) = convert(saved, "serve_tensors", ["int8"], rows[:200], folder)
    assert conversion.error is None
    return folder / conversion.file


def score_alone(values: np.ndarray, folder: Path) -> np.ndarray:
    """Returns the z-scores of a table's only number, the same by the graph and by its contract."""
    alone = replace(TABLE, numbers=("income",), categories=("city",))
    schema = "\n".join(
        line for line in TABLE_SCHEMA.splitlines() if not re.search("constant|empty|any", line)
    )
    rows = [{"income": [float(np.float32(value))], "city": "Ulm", "label": "no"} for value in values]
    transform = analyze(rows, folder, config(alone, ModelSettings()), schema)
    graph = apply_transform(transform, rows, alone)["row"]
    PREPROCESSING.write(folder, make_contract(transform, ModelSettings(), alone))
    ours = np.concatenate([preprocess(row, PREPROCESSING.read(folder)) for row in rows])
    np.testing.assert_allclose(ours, graph, atol=1e-5)
    return graph[:, 0, 0]


def test_a_number_close_to_the_largest_float32_is_scored_by_graph_and_contract(tmp_path):
    values = np.random.default_rng(1).normal(5e36, 1e36, 200)  # like NetCDF's fill value
    scores = score_alone(values, tmp_path)
    np.testing.assert_allclose(scores.std(), 1, rtol=1e-3)


def test_values_far_from_all_others_do_not_make_the_others_alike(tmp_path):
    """The deviation that the quartiles of 400 readings tell is right to 15 %: their own error is 6 %."""
    values = np.random.default_rng(1).normal(20, 3, 400)
    is_far = np.arange(400) % 33 == 0
    scores = score_alone(np.where(is_far, -9999, values), tmp_path)
    np.testing.assert_allclose(scores[~is_far].std(), 1, rtol=0.15)
    assert (scores[is_far] == -tables.CLIP).all()


def test_a_text_for_no_reading_is_missing_on_a_device_and_older_readers_refuse_the_contract(
    table_transform, tmp_path
):
    transform, settings = table_transform
    assert make_contract(transform, settings, TABLE)["version"] == 3
    described = replace(TABLE, columns={"income": Column("income", missing=("-9999",))})
    PREPROCESSING.write(tmp_path, make_contract(transform, settings, described))
    contract = PREPROCESSING.read(tmp_path)
    assert contract["version"] == 4
    row = {"constant": "3", "empty": "", "city": "Ulm", "any col/umn": "b"}
    empty, marked, other = (preprocess(row | {"income": cell}, contract) for cell in ("", "-9999", "-999"))
    np.testing.assert_array_equal(marked, empty)
    assert (other != empty).any()


def test_numbers_are_scored_without_the_missing_ones(transform, splits):
    out = apply_transform(transform, splits[0][::2])
    assert out["row"].shape[1:] == (16, 3 * 8 + 33)
    scores, missing = out["row"][..., :8], out["row"][..., 8:16]
    present = np.where(missing == 0, scores, np.nan)
    np.testing.assert_allclose(np.nanmean(present, axis=(0, 1)), 0, atol=0.02)
    np.testing.assert_allclose(np.nanstd(present, axis=(0, 1)), 1, atol=0.1)
    assert (scores[missing == 1] == 0).all() and 0 < missing.mean() < 0.02
    assert np.abs(scores).max() <= tables.CLIP
    # Each eighth of the ranks has equally many readings.
    ranks = out["row"][..., 16:24]
    assert np.isin(np.round((ranks + 1) * 3.5, 4), range(8))[missing == 0].all()
    np.testing.assert_allclose(ranks[missing == 0].mean(), 0, atol=0.05)


def test_labels_and_vocabulary_are_those_of_the_data(transform, splits):
    out = apply_transform(transform, splits[1])
    assert [LABELS[label] for label in out["label"]] == [e["label"] for e in splits[1]]
    machines = out["row"][:, :, 24:]
    assert (machines.sum(axis=-1) == 1).all() and (machines[..., 0] == 0).all()
    unknown = apply_transform(transform, [splits[1][0] | {"machine_id": "m-99", "label": "smoke"}])
    assert (unknown["row"][..., 24] == 1).all() and unknown["label"].tolist() == [-1]


def test_a_device_prepares_a_window_as_the_graph_does(transform, splits):
    contract = make_contract(transform, SETTINGS, SENSOR)
    assert contract["kind"] == "row" and [n["name"] for n in contract["numbers"]] == list(NUMBERS)
    ours = np.concatenate([preprocess(example, contract) for example in splits[1]])
    np.testing.assert_allclose(ours, apply_transform(transform, splits[1])["row"], atol=1e-5)


def test_a_device_prepares_values_that_no_training_row_had_as_the_graph_does(table_transform):
    transform, settings = table_transform
    contract = make_contract(transform, settings, TABLE)
    rows = [
        {"income": [income], "constant": [constant], "empty": [empty], "city": city, "any col/umn": text}
        for income, constant, empty in ((2e3, 3, np.nan), (1e9, 4, 5), (np.nan, np.nan, -1), (0, 2.5, 0))
        for city, text in (("Ulm", "a\u00e4"), ("", "b"), ("Atlantis", ""))
    ]
    ours = np.concatenate([preprocess(row, contract) for row in rows])
    graph = apply_transform(transform, rows, TABLE)["row"]
    assert np.isfinite(graph).all() and graph.shape == (12, 1, 3 * 3 + 2 * 5)
    assert not graph[:, 0, 1:3].any()  # in training `constant` is always 3 and `empty` is missing
    np.testing.assert_allclose(ours, graph, atol=1e-5)
    single = rows[0] | {"income": 2e3, "constant": 3, "empty": None}
    np.testing.assert_array_equal(preprocess(single, contract), ours[:1])


def test_a_schema_without_a_shape_is_refused_by_name(tmp_path: Path):
    schema = TABLE_SCHEMA.replace(SHAPE, "")
    with pytest.raises(UsageError, match="gives the feature income no fixed shape"):
        analyze([], tmp_path, config(TABLE, SETTINGS), schema)


def test_anomalies_are_found_by_a_file_without_floats_for_a_microcontroller(
    transform, splits, tmp_path: Path, warm_converter
):
    train, evaluation = (apply_transform(transform, split) for split in splits)
    keras.utils.set_random_seed(20)
    model = tables.build_model(LABELS, SETTINGS, transform)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(train["row"], train["label"], batch_size=64, epochs=10, verbose=0)
    alarms = evaluation["label"] != LABELS.index("normal")
    probabilities = model.predict(evaluation["row"], verbose=0)
    # There are 78 such windows; with two seeds the shares were 0.59 and 0.76.
    scores = 1 - probabilities[:, 0]
    assert (scores[alarms] > np.quantile(scores[~alarms], 0.99)).mean() > 0.5
    assert (probabilities.argmax(axis=1) == evaluation["label"]).mean() > 0.95

    model_file = convert_int8(model, train["row"], tmp_path)
    report, size = inspect(model_file), model_file.stat().st_size
    assert find_problems(report, "int8") == [] and size < 100_000
    assert set(report.ops) <= {"CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX"}
    write_c_array(model_file, tmp_path)
    source = tmp_path / SOURCE
    assert f"g_model_data[{size}]" in source.read_text()

    # A sensor far beyond all of training is told, and leaves the file with the model's answers.
    contract = make_contract(transform, SETTINGS, SENSOR)
    far = []
    for at, window in enumerate(splits[1][:100]):
        shifted = contract["numbers"][at % len(NUMBERS)]
        name, distance = shifted["name"], 250 * shifted["deviation"]
        far.append({**window, name: [reading + distance for reading in window[name]]})
    unlike = [measure_unlike(window, contract) for window in (*splits[1][:100], *far)]
    assert np.mean(np.array(unlike[:100]) > 0.5) < 0.05 and min(unlike[100:]) > 0.99
    rows = np.concatenate([preprocess(window, contract) for window in far])
    answers = EdgeModel(model_file).predict(rows)
    assert (answers.argmax(1) == model.predict(rows, verbose=0).argmax(1)).mean() >= 0.95


def test_a_row_is_served_with_any_column_names(table_transform, tmp_path, capsys):
    transform, settings = table_transform
    model = tables.build_model(TABLE.labels, settings, transform)
    assert model.input.shape == (None, 1, 19) and model.output.shape == (None, 2)
    workload = replace(TABLE, reads=(*TABLE.numbers, *TABLE.categories))
    export(model, transform, str(tmp_path / "model"), workload)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    numbers = {name: tf.constant([[2e3]]) for name in TABLE.numbers}
    answer = loaded.signatures["serve_raw"](
        **numbers, city=tf.constant(["Ulm"]), any_col_umn=tf.constant(["b"])
    )
    probabilities = answer["probabilities"].numpy()[0]
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)

    shapes = send_warm_up(tmp_path / "model", loaded)
    del shapes["transform_features"]
    probabilities_of = dict.fromkeys(("serving_default", "serve_raw", "serve_tensors"), (1, 2))
    assert {name: shape["probabilities"] for name, shape in shapes.items()} == probabilities_of

    bundle = write_bundle(tmp_path / "bundle", "table", list(TABLE.labels), {"kind": "row"})
    row = {"income": [2e3], "constant": [2e3], "empty": [2e3], "city": "Ulm", "any_col_umn": "b"}
    (tmp_path / "row.json").write_text(json.dumps(row))
    with serve_model(loaded, "table", 3) as servers:
        for server in servers:
            client.main([str(bundle), str(tmp_path / "row.json"), "--server", server])
            label, score = capsys.readouterr().out.split()
            assert label == TABLE.labels[probabilities.argmax()]
            assert float(score) == pytest.approx(probabilities.max(), abs=1e-4)


def test_members_learn_separately_and_their_mean_is_converted_without_floats(
    table_transform, tmp_path, warm_converter
):
    transform, settings = table_transform
    settings = settings.model_copy(update={"members": 4, "hidden": 16})
    model = tables.build_model(TABLE.labels, settings, transform)
    rows = np.random.default_rng(0).normal(size=(300, 1, 19)).astype(np.float32)
    labels = (rows[:, 0, 0] * rows[:, 0, 1] > 0).astype(np.int64)
    fit.compile_model(model, 0.02, 400)
    loop = Loop(model, tf.distribute.get_strategy(), TrainerSettings(batch_size=300))
    batch = tuple(map(tf.constant, (rows, labels, np.ones(300, np.float32))))
    tally = loop.run(iter([batch] * 400), 400)
    each = model(rows, training=True).numpy()
    assert each.shape == (300, 4, 2) and np.ptp(each, axis=1).max() > 0.05
    answers = model(rows, training=False).numpy()
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    assert tally.logs(300)["accuracy"] > 0.7 and (answers.argmax(1) == labels).mean() > 0.9

    model_file = convert_int8(model, rows, tmp_path)
    assert find_problems(inspect(model_file), "int8") == []
    assert set(inspect(model_file).ops) <= {"ADD", "FULLY_CONNECTED", "MEAN", "MUL", "RESHAPE", "SOFTMAX"}
    edge_model = EdgeModel(model_file)
    quantised = np.concatenate([edge_model.predict(row[np.newaxis]) for row in rows])
    assert (quantised.argmax(axis=1) == answers.argmax(axis=1)).mean() > 0.95


def test_a_seed_gives_the_same_members_in_each_training_of_a_process(table_transform):
    transform, settings = table_transform

    def begin() -> list[np.ndarray]:
        keras.utils.set_random_seed(20)
        return tables.build_model(TABLE.labels, settings, transform).get_weights()

    assert_same(begin(), begin())


def test_models_in_half_precision_answer_in_single_precision(table_transform, transform):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        models = [
            tables.build_model(TABLE.labels, *reversed(table_transform)),
            tables.build_model(SENSOR.labels, SETTINGS, transform),
        ]
    finally:
        keras.config.set_dtype_policy("float32")
    assert [model.output.dtype for model in models] == ["float32", "float32"]
