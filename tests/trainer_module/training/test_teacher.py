"""The teacher of a table answers each row by models that learned from other groups."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from trainer_module.training import teacher
from trainer_module.training.input_pipeline import Split

GROUPS, ROWS_OF_A_GROUP = 30, 10


def make_table(rank=3) -> Split:
    """Makes rows whose class follows from the first column, and whose group from the second."""
    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(GROUPS), ROWS_OF_A_GROUP)
    signal = generator.normal(size=len(groups))
    rows = np.stack([signal, groups, np.zeros(len(groups))], axis=1).astype(np.float32)
    rows = rows.reshape(len(groups), *(1,) * (rank - 2), 3)
    labels = np.where(generator.random(len(groups)) < 0.2, groups % 2, signal > 0).astype(np.int64)
    return Split((), (len(groups),), 64, labels, tf.constant(rows), lambda records: records, groups)


def test_its_answers_to_a_group_do_not_depend_on_the_labels_of_that_group():
    split = make_table()
    answers = teacher.teach(split, 3)
    assert answers.shape == (300, 3) and answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert (answers.argmax(axis=1) == (split.inputs.numpy()[:, 0, 0] > 0)).mean() > 0.85

    other = split.labels.copy()
    other[:5], other[5:10] = split.labels[5:10], split.labels[:5]
    again = teacher.teach(replace(split, labels=other), 3)
    np.testing.assert_array_equal(again[:ROWS_OF_A_GROUP], answers[:ROWS_OF_A_GROUP])
    assert (again != answers).any()


def test_it_learns_only_from_the_examples_that_are_shown():
    split = make_table()
    shown = split.groups % 3 > 0
    answers = teacher.teach(replace(split, only=shown), 2)
    assert not answers[~shown].any()
    hidden = np.where(shown, split.labels, 1 - split.labels)
    np.testing.assert_array_equal(teacher.teach(replace(split, only=shown, labels=hidden), 2), answers)


@pytest.mark.parametrize(
    "split",
    [
        make_table(rank=4),
        replace(make_table(), inputs=None),
        replace(make_table(), groups=np.arange(300) % 2),
        replace(make_table(), labels=(np.arange(300) == 7).astype(np.int64)),
        replace(make_table(), inputs=tf.zeros([300, 1, 3])),
    ],
    ids=["photos", "larger than memory", "two groups", "one row of a class", "nothing to learn from"],
)
def test_without_rows_or_groups_there_is_none(split):
    assert teacher.teach(split, 2) is None


def test_of_a_table_that_would_take_long_there_is_none(monkeypatch):
    monkeypatch.setattr(teacher, "_MOST_READ", 599)
    assert teacher.teach(make_table(), 2) is None  # 600 numbers: the last column is always 0
    monkeypatch.setattr(teacher, "_MOST_READ", 600)
    assert teacher.teach(make_table(), 2) is not None
