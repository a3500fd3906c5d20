"""The teacher of a table answers each row by models that learned from other groups."""

import numpy as np
import pytest

from trainer_module.workloads import teacher

GROUPS, ROWS_OF_A_GROUP = 30, 10


def make_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Makes rows whose class follows from the first column, and whose group is the second."""
    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(GROUPS), ROWS_OF_A_GROUP)
    signal = generator.normal(size=len(groups))
    rows = np.stack([signal, groups, np.zeros(len(groups))], axis=1).astype(np.float32)
    labels = np.where(generator.random(len(groups)) < 0.2, groups % 2, signal > 0).astype(np.int64)
    return rows[:, np.newaxis], labels, groups


ROWS, LABELS, OF_GROUPS = make_table()


def test_its_answers_to_a_group_do_not_depend_on_the_labels_of_that_group():
    answers = teacher.teach(ROWS, LABELS, OF_GROUPS, 3)
    assert answers.shape == (300, 3) and answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert (answers.argmax(axis=1) == (ROWS[:, 0, 0] > 0)).mean() > 0.85

    other = LABELS.copy()
    other[:5], other[5:10] = LABELS[5:10], LABELS[:5]
    again = teacher.teach(ROWS, other, OF_GROUPS, 3)
    np.testing.assert_array_equal(again[:ROWS_OF_A_GROUP], answers[:ROWS_OF_A_GROUP])
    assert (again != answers).any()


@pytest.mark.parametrize(
    ("rows", "labels", "groups"),
    [
        (ROWS, LABELS, OF_GROUPS % 2),
        (ROWS, (np.arange(300) == 7).astype(np.int64), OF_GROUPS),
        (np.zeros_like(ROWS), LABELS, OF_GROUPS),
    ],
    ids=["two groups", "one row of a class", "nothing to learn from"],
)
def test_where_nothing_can_be_learned_there_is_none(rows, labels, groups):
    assert teacher.teach(rows, labels, groups, 2) is None


def test_of_a_table_that_would_take_long_there_is_none(monkeypatch):
    monkeypatch.setattr(teacher, "_MOST_READ", 599)
    assert teacher.teach(ROWS, LABELS, OF_GROUPS, 2) is None  # 600 numbers: the last column is always 0
    monkeypatch.setattr(teacher, "_MOST_READ", 600)
    assert teacher.teach(ROWS, LABELS, OF_GROUPS, 2) is not None
