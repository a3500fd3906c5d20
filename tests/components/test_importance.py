from dataclasses import replace
from pathlib import Path

import pytest

from components.importance import measure_importance
from edgeline.records.evaluation import METRICS, Metrics
from tests.components.test_simple_models import TABLE, write_split

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> str:
    """Saves a model that answers yes if a is above 0.5; without a value of a, the kind decides, never b."""
    import tensorflow as tf

    spec = {name: tf.io.VarLenFeature(tf.float32) for name in ("a", "b")} | {
        "kind": tf.io.FixedLenFeature([], tf.string, "")
    }

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def serve(self, examples):
            features = tf.io.parse_example(examples, spec)
            first = tf.sparse.to_dense(features["a"], default_value=-1.0)[:, 0]
            by_kind = tf.cast(features["kind"] == "y", tf.float32)
            yes = tf.where(first >= 0, tf.cast(first > 0.5, tf.float32), by_kind)
            yes = tf.where(first > 8, float("nan"), yes)
            return {"probabilities": tf.stack([1 - yes, yes], 1)}

    folder = str(tmp_path_factory.mktemp("model"))
    model = Model()
    tf.saved_model.save(model, folder, signatures={"serving_default": model.serve})
    return folder


def make_rows(count: int = 400) -> list[dict]:
    rows = []
    for number in range(count):
        label = number % 2
        values = {"a": [float(label)] if number % 10 else [], "b": [float(number)], "kind": "xy"[label]}
        rows.append({"example_id": f"{number:03d}", "label": TABLE.labels[label], **values})
    return rows


WORKLOAD = replace(TABLE, categories=("kind",), reads=("a", "b", "kind"))


def test_the_column_that_decides_matters_most_and_one_that_is_not_used_changes_nothing(
    saved_model, tmp_path: Path
):
    folder = write_split(tmp_path / "eval", make_rows())
    a, kind, b = measure_importance(saved_model, folder, WORKLOAD)
    assert (a.column, kind.column, b.column) == ("a", "kind", "b")
    # Half of the values of a go to an example of the other class; kind decides for a tenth of the examples.
    assert a.drop == pytest.approx(0.45, abs=0.05) and kind.drop == pytest.approx(0.05, abs=0.03)
    assert (b.drop, b.changed, b.largest_change) == (0.0, 0.0, 0.0) and a.changed > 0.4
    assert a.largest_change == 1.0
    assert measure_importance(saved_model, folder, WORKLOAD) == (a, kind, b)


def test_probabilities_that_are_no_numbers_leave_a_record_that_can_be_read(saved_model, tmp_path: Path):
    folder = write_split(tmp_path / "eval", [{**row, "a": [9.0]} for row in make_rows(10)])
    importance = measure_importance(saved_model, folder, WORKLOAD)
    METRICS.write(tmp_path, Metrics({}, importance=importance))
    assert METRICS.read(tmp_path).importance == importance
    assert {item.largest_change for item in importance} == {1.0}


def test_other_data_than_a_table_has_no_columns(saved_model, tmp_path: Path):
    folder = write_split(tmp_path / "eval", make_rows(10))
    assert measure_importance(saved_model, folder, replace(WORKLOAD, reads=("a",))) == ()
    assert measure_importance(saved_model, folder, replace(WORKLOAD, unmeasured=("a", "b"))) == ()
