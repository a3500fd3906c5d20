"""Cross-validation on examples whose groups and labels are known."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from edgeline.records.edge import OUT_OF_FOLD
from edgeline.records.training import CROSS_VALIDATION
from tests.trainer_module.samples import EVAL_EXAMPLES, LABELS, SHELF, TRAIN_EXAMPLES, run_arguments
from tests.trainer_module.test_run_fn import read_history
from tests.trainer_module.training.test_input_pipeline import split_of
from trainer_module import run_fn
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import folds, input_pipeline
from trainer_module.training.task import Task

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(files, transform_output, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    run_fn.run_fn(run_arguments(files, transform_output, folder, folds=3))
    return folder


def test_every_example_is_measured_by_a_model_that_has_not_seen_its_session(folder):
    found = CROSS_VALIDATION.read(folder / "run")
    assert found.folds == 3
    assert found.overall.examples == TRAIN_EXAMPLES + EVAL_EXAMPLES
    assert sum(one.examples for one in found.classes.values()) == found.overall.examples
    assert 0.8 < found.overall.low <= found.overall.share <= found.overall.high <= 1


def test_the_answers_are_written_with_what_the_records_say_of_each_example(folder):
    predictions = list(OUT_OF_FOLD.read(folder / "run"))
    labels = [LABELS[number % 3] for count in (TRAIN_EXAMPLES, EVAL_EXAMPLES) for number in range(count)]
    assert [one.label for one in predictions] == labels
    assert {tuple(one.slices.items()) for one in predictions} == {(("lane", "lane-01"),)}
    rows = np.array([one.probabilities for one in predictions])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    right = np.array(LABELS)[rows.argmax(axis=1)] == labels
    assert right.mean() == pytest.approx(CROSS_VALIDATION.read(folder / "run").overall.share)


def test_folds_change_nothing_of_the_model_that_is_shipped(folder, run_dir):
    assert read_history(folder) == read_history(run_dir)
    assert not (run_dir / "run" / OUT_OF_FOLD.name).exists()


def test_tensorboard_has_the_training_that_is_shipped_alone(folder):
    (training,) = (folder / "checkpoints").iterdir()
    assert (training / "fold-2").is_dir()
    assert list(training.rglob("tensorboard")) == [training / "tensorboard"]


def with_groups(train: dict[str, int], evaluation: dict[str, int], dimensions: int = 3) -> Task:
    """A task of so many groups of each label, two examples each."""

    def made(groups: dict[str, int], first: int) -> input_pipeline.Split:
        labels = np.repeat([LABELS.index(label) for label, count in groups.items() for _ in range(count)], 2)
        numbers = np.repeat(np.arange(first, first + len(labels) // 2), 2)
        inputs = tf.zeros([len(labels), *[1] * (dimensions - 1)])
        return replace(split_of(labels.tolist(), numbers.tolist()), inputs=inputs)

    return Task(SHELF, None, made(train, 0), made(evaluation, 1000), 20)


MANY = {"ok": 50, "misplaced": 50, "damaged": 30}


@pytest.mark.parametrize(
    ("evaluation", "dimensions", "changes", "count", "said"),
    [
        ({"ok": 8, "misplaced": 8, "damaged": 5}, 3, {}, 0, ""),
        ({"ok": 8, "misplaced": 8, "damaged": 5}, 3, {"folds": 4}, 4, ""),
        ({"ok": 7, "misplaced": 7, "damaged": 5}, 3, {}, 5, ""),
        ({"ok": 40, "misplaced": 40, "damaged": 4}, 3, {}, 5, ""),
        ({"ok": 40, "misplaced": 40}, 3, {}, 5, ""),
        ({"ok": 3, "damaged": 3}, 3, {"folds": 0}, 0, ""),
        ({"ok": 3}, 4, {}, 0, "Eval has only 3 groups, and .* trainer.budget is not set"),
        ({"ok": 30}, 4, {}, 0, "Eval has only 0 groups with misplaced, and "),
        ({"ok": 3}, 4, {"budget": "5m"}, 5, ""),
        ({"ok": 3}, 4, {"budget": "60s"}, 0, "they take 40 s, but trainer.budget has 30 s left"),
        ({"ok": 3}, 4, {"folds": 3}, 3, ""),
        ({"ok": 3}, 3, {"strategy": "multi_worker"}, 0, "trainer.strategy is multi_worker"),
    ],
)
def test_folds_are_trained_where_eval_has_few_groups_and_where_they_are_cheap(
    evaluation, dimensions, changes, count, said
):
    settings = TrainerSettings(**changes)
    task = with_groups(MANY, evaluation, dimensions)
    folds_, note = folds.count_folds(task, settings, trained_s=10.0, left_s=settings.budget_s - 30.0)
    assert folds_ == count
    assert bool(note) == bool(said)
    assert re.search(said, note)


def test_a_fold_has_the_epochs_that_the_model_had(tmp_path, monkeypatch):
    def begin(task, model, settings, *_):
        raise LookupError(settings.count_epochs(steps=1))

    monkeypatch.setattr(folds, "train_model", begin)
    settings = TrainerSettings(epochs=4, min_steps=600, max_steps=2, budget="5m")
    task = with_groups(dict.fromkeys(LABELS, 5), dict.fromkeys(LABELS, 5))
    with pytest.raises(LookupError, match=r"^4$"):
        folds.cross_validate(
            task, ModelSettings(), settings, 3, tf.distribute.get_strategy(), tmp_path, False
        )


def test_there_are_no_more_folds_than_groups_and_none_of_two():
    four, two = with_groups({"ok": 2, "damaged": 1}, {"ok": 1}), with_groups({"ok": 1}, {"ok": 1})
    assert folds.count_folds(four, TrainerSettings(), 1.0, 0.0) == (4, "")
    count, note = folds.count_folds(four, TrainerSettings(folds=5), 1.0, 0.0)
    assert (count, note) == (4, "trainer.folds is 5: there are only enough groups and examples for 4.")
    few = with_groups({"ok": 4, "damaged": 4, "misplaced": 3}, {"ok": 3, "damaged": 3, "misplaced": 3})
    # As many as the largest class has examples.
    assert folds.count_folds(few, TrainerSettings(folds=20), 1.0, 0.0)[0] == 14
    count, note = folds.count_folds(two, TrainerSettings(), 1.0, 0.0)
    assert count == 0 and "too few groups (2)" in note


def test_what_is_too_large_for_memory_has_no_folds():
    task = with_groups(MANY, {"ok": 3})
    streamed = replace(task, training=replace(task.training, inputs=None))
    count, note = folds.count_folds(streamed, TrainerSettings(), 1.0, 0.0)
    assert count == 0 and "do not fit into memory" in note


def test_a_session_is_in_one_fold_and_a_class_in_all():
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(np.arange(40) % 8 == 0, 5).astype(int)  # of five sessions
    fold_of = folds._assign_folds(labels, groups, 5)
    for group in range(40):
        assert len(set(fold_of[groups == group])) == 1
    assert set(fold_of[labels == 1]) == set(range(5))


def test_a_fold_that_would_be_empty_is_left_out():
    sizes = [1, 1, 5, 20, 60]
    groups, labels = np.repeat(np.arange(5), sizes), np.repeat([0, 1, 2, 3, 0], sizes)
    assert set(folds._assign_folds(labels, groups, 5)) == {0, 1, 2, 3}
