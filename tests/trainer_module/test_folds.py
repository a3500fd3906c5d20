"""Cross-validation on examples whose sessions and labels are known."""

import numpy as np
import pytest

from errors import UsageError
from pipeline import settings as pipeline_settings
from records.training import CROSS_VALIDATION
from tests.trainer_module.samples import EVAL_EXAMPLES, TRAIN_EXAMPLES, run_arguments
from tests.trainer_module.test_run import history
from trainer_module import folds, run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(files, transform_output, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    run.run_fn(run_arguments(files, transform_output, folder, folds=4, epochs=12))
    return folder


def test_every_example_is_measured_by_a_model_that_has_not_seen_its_session(folder):
    found = CROSS_VALIDATION.read(folder / "run")
    assert found.folds == 4
    assert found.overall.examples == TRAIN_EXAMPLES + EVAL_EXAMPLES
    assert sum(one.examples for one in found.classes.values()) == found.overall.examples
    assert 0.8 < found.overall.low <= found.overall.share <= found.overall.high <= 1


def test_folds_change_nothing_of_the_model_that_is_shipped(folder, files, transform_output, tmp_path):
    run.run_fn(run_arguments(files, transform_output, tmp_path, epochs=12))
    assert history(folder) == history(tmp_path)


def test_a_session_is_in_one_fold_and_a_class_in_all():
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(np.arange(40) % 8 == 0, 5).astype(int)  # of five sessions
    dealt = folds._dealt(labels, groups, 5)
    for group in range(40):
        assert len(set(dealt[groups == group])) == 1
    assert set(dealt[labels == 1]) == set(range(5))


def test_an_interval_of_few_large_sessions_is_wider_than_of_as_many_examples_alone():
    right = np.repeat([1, 1, 1, 0, 1, 1, 0, 1], 50)
    sessions = folds._estimate(right, np.repeat(np.arange(8), 50))
    alone = folds._estimate(right, np.arange(400))
    assert sessions.share == alone.share == 0.75
    assert sessions.low < 0.55 < alone.low < 0.75 < alone.high < 0.85 < sessions.high


def test_fewer_sessions_than_folds_are_refused():
    with pytest.raises(UsageError, match="folds is 5, and the examples are of 4 sessions") as refused:
        folds._dealt(np.zeros(8, int), np.repeat(np.arange(4), 2), 5)
    assert "trainer.folds to 4 at most" in refused.value.do


@pytest.mark.parametrize("count", [1, 2, 21])
def test_a_number_of_folds_that_cannot_be_is_a_mistake_in_the_settings(count):
    with pytest.raises(UsageError, match="takes 0, or 3 to 20"):
        pipeline_settings.load({}, overrides=[f"trainer.folds={count}"])
