"""Earlier releases answer the newest span, each by its own SavedModel and with its own labels."""

import pytest

from components.earlier_releases import score_releases
from edgeline.records.evaluation import EarlierRelease
from edgeline.release import store
from tests.edgeline.release.candidates import make_candidate
from tests.examples import serialize, write_records

LABELS = ("ok", "misplaced", "damaged")


def push_answering(root, folder, number, labels=LABELS):
    """Pushes a release whose model gives every example the label of a number."""
    import tensorflow as tf

    candidate = make_candidate(folder, f"{number} {labels}", labels=labels)
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
    def serve(examples):
        return {"probabilities": tf.one_hot(tf.fill(tf.shape(examples), number), len(labels))}

    tf.saved_model.save(module, str(candidate.saved_model), {"serving_default": serve})
    return store.push(root, "shelf", candidate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Makes a store with five versions, of which production is the fifth, and eval examples of two spans."""
    folder = tmp_path_factory.mktemp("aged")
    push = str(folder / "push")
    push_answering(push, folder / "1", 0)
    push_answering(push, folder / "2", 0, ("damaged", "ok"))
    store.push(push, "shelf", make_candidate(folder / "3", "no SavedModel of TensorFlow"))
    push_answering(push, folder / "4", 1)
    store.rollback(push, "shelf", "it calls everything misplaced")
    push_answering(push, folder / "5", 2)
    records = [serialize({"label": label, "newest_span": newest}) for label, newest in EXAMPLES]
    write_records(folder / "eval" / "data-00000-of-00001.gz", records)
    return folder


EXAMPLES = [("ok", 0)] * 9 + [("ok", 1)] * 3 + [("damaged", 1)] * 2


def test_each_release_is_scored_on_the_newest_span_but_production_and_one_that_was_rolled_back(
    folder, caplog
):
    scores = list(score_releases(str(folder / "push"), "shelf", 5, str(folder / "eval")))
    assert scores == [EarlierRelease(1, 5, 3), EarlierRelease(2, 5, 2)]
    assert "Version 3 was not scored on the newest span: " in caplog.text


def test_without_an_earlier_release_or_an_example_of_the_newest_span_nothing_is_scored(folder, tmp_path):
    store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "1"))
    assert list(score_releases(str(tmp_path / "push"), "shelf", 1, str(folder / "eval"))) == []
    old = serialize({"label": "ok", "newest_span": 0})
    write_records(tmp_path / "eval" / "data-00000-of-00001.gz", [old])
    assert list(score_releases(str(folder / "push"), "shelf", 5, str(tmp_path / "eval"))) == []
