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
from tests.trainer_module.training.test_input_pipeline import make_split
from trainer_module import run_fn
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import folds, input_pipeline
from trainer_module.training.task import Task

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(files, transform_output, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    run_fn.run_fn(run_arguments(files, transform_output, folder, folds=5))
    return folder


def test_every_example_is_measured_by_a_model_that_was_not_trained_on_its_session(folder):
    result = CROSS_VALIDATION.read(folder / "run")
    assert result.folds == 5
    assert result.overall.examples == TRAIN_EXAMPLES + EVAL_EXAMPLES
    assert sum(one.examples for one in result.classes.values()) == result.overall.examples
    assert 0.8 < result.overall.low <= result.overall.share <= result.overall.high <= 1


def test_predictions_are_written_with_label_and_slices_of_each_example(folder):
    predictions = list(OUT_OF_FOLD.read(folder / "run"))
    labels = [LABELS[number % 3] for count in (TRAIN_EXAMPLES, EVAL_EXAMPLES) for number in range(count)]
    assert [one.label for one in predictions] == labels
    assert {tuple(one.slices.items()) for one in predictions} == {(("lane", "lane-01"),)}
    rows = np.array([one.probabilities for one in predictions])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    right = np.array(LABELS)[rows.argmax(axis=1)] == labels
    assert right.mean() == pytest.approx(CROSS_VALIDATION.read(folder / "run").overall.share)


def test_folds_do_not_change_the_model_that_is_shipped(folder, run_dir):
    assert read_history(folder) == read_history(run_dir)
    assert not (run_dir / "run" / OUT_OF_FOLD.name).exists()


def test_tensorboard_has_only_the_training_that_is_shipped(folder):
    (training,) = (folder / "checkpoints").iterdir()
    assert (training / "fold-4").is_dir()
    assert list(training.rglob("tensorboard")) == [training / "tensorboard"]


def make_task(train: dict[str, int], evaluation: dict[str, int], dimensions: int = 3) -> Task:
    """Makes a task with these numbers of groups for each label, two examples each."""

    def make_groups(groups: dict[str, int], first: int) -> input_pipeline.Split:
        labels = np.repeat([LABELS.index(label) for label, count in groups.items() for _ in range(count)], 2)
        numbers = np.repeat(np.arange(first, first + len(labels) // 2), 2)
        inputs = tf.zeros([len(labels), *[1] * (dimensions - 1)])
        return replace(make_split(labels.tolist(), numbers.tolist()), inputs=inputs)

    return Task(SHELF, None, make_groups(train, 0), make_groups(evaluation, 1000), 20)


MANY = {"ok": 80, "misplaced": 80, "damaged": 60}
FEW = {"ok": 50, "misplaced": 50, "damaged": 30}
IN_EVAL = {"ok": 8, "misplaced": 8, "damaged": 5}


@pytest.mark.parametrize(
    ("evaluation", "dimensions", "changes", "count", "message"),
    [
        (IN_EVAL, 3, {}, 0, ""),
        (IN_EVAL, 3, {"folds": 4}, 4, ""),
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
def test_folds_are_trained_if_eval_has_few_groups_and_if_they_are_cheap(
    evaluation, dimensions, changes, count, message
):
    settings = TrainerSettings(**changes)
    plan = folds.plan_folds(make_task(MANY, evaluation, dimensions), settings)
    plan = folds.keep_to_budget(plan, settings, trained_s=10.0, left_s=settings.budget_s - 30.0)
    assert plan.folds == count
    assert bool(plan.note) == bool(message)
    assert re.search(message, plan.note)


@pytest.mark.parametrize(
    ("train", "dimensions", "changes", "calibrates"),
    [
        (MANY, 3, {}, False),
        (MANY, 3, {"folds": 5}, True),
        (FEW, 3, {}, True),
        (FEW, 3, {"folds": 0}, False),
        # Nobody knows before the training whether a budget has time for folds.
        (FEW, 3, {"budget": "5m"}, False),
        (FEW, 4, {}, False),
    ],
)
def test_what_gives_the_temperature_does_not_depend_on_eval(train, dimensions, changes, calibrates):
    settings = TrainerSettings(**changes)
    for evaluation in (IN_EVAL, {"ok": 3}, {"damaged": 100}):
        plan = folds.plan_folds(make_task(train, evaluation, dimensions), settings)
        assert plan.calibrates == calibrates
    # Out of fold, the model is judged only where eval is too small.
    assert folds.plan_folds(make_task(FEW, IN_EVAL), TrainerSettings()) == folds.Plan(5, False, True)


def test_a_fold_has_as_many_epochs_as_the_model(tmp_path, monkeypatch):
    def begin(task, model, settings, *_):
        raise LookupError(settings.count_epochs(1, groups=1)[0])

    monkeypatch.setattr(folds, "train_model", begin)
    settings = TrainerSettings(epochs=4, min_steps=600, max_steps=3, max_steps_a_group=2, budget="5m")
    task = make_task(dict.fromkeys(LABELS, 5), dict.fromkeys(LABELS, 5))
    with pytest.raises(LookupError, match=r"^4$"):
        folds.answer_out_of_fold(task, ModelSettings(), settings, 3, tf.distribute.get_strategy(), tmp_path)


def test_there_are_no_more_folds_than_groups_and_none_with_two_groups_or_without_memory():
    four, two = make_task({"ok": 3, "damaged": 1}, {"ok": 1}), make_task({"ok": 1, "damaged": 1}, {"ok": 1})
    plan = folds.plan_folds(four, TrainerSettings())
    assert (plan.folds, plan.note) == (4, "")
    note = "trainer.folds is 5: there are only enough groups and examples for 4."
    assert folds.plan_folds(four, TrainerSettings(folds=5)) == replace(plan, note=note)
    few = make_task({"ok": 7, "damaged": 7, "misplaced": 6}, {"ok": 3, "damaged": 3, "misplaced": 3})
    # The largest class has 14 examples.
    assert folds.plan_folds(few, TrainerSettings(folds=20)).folds == 14
    streamed = make_task(MANY, {"ok": 3})
    streamed = replace(streamed, training=replace(streamed.training, inputs=None))
    for task, obstacle in ((two, "too few groups (2)"), (streamed, "do not fit into memory")):
        plan = folds.plan_folds(task, TrainerSettings())
        assert plan.folds == 0 and obstacle in plan.note


def test_a_session_is_in_one_fold_and_a_class_in_all_and_no_fold_is_empty():
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(np.arange(40) % 8 == 0, 5).astype(int)  # five sessions have label 1
    fold_of = folds._assign_folds(labels, groups, 5)
    for group in range(40):
        assert len(set(fold_of[groups == group])) == 1
    assert set(fold_of[labels == 1]) == set(range(5))

    # A fold that would be empty is left out.
    sizes = [1, 1, 5, 20, 60]
    groups, labels = np.repeat(np.arange(5), sizes), np.repeat([0, 1, 2, 3, 0], sizes)
    assert set(folds._assign_folds(labels, groups, 5)) == {0, 1, 2, 3}
