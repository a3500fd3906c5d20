"""Real searches of KerasTuner; no trial trains if only its proposals matter."""

import json
from functools import partial
from types import SimpleNamespace

import pytest

from edgeline.errors import HeldBack, UsageError
from edgeline.records.training import TRIAL, Search, Trial, remove_finished
from pipeline.workloads import find_workload
from tests.trainer_module.samples import TRAIN_EXAMPLES, run_and_die, run_arguments
from tests.trainer_module.training.test_input_pipeline import make_split
from trainer_module.search import tune as search_module
from trainer_module.search.tune import make_oracle, tuner_fn
from trainer_module.search.tune_settings import TuneSettings, count_trials
from trainer_module.settings import TrainerSettings
from trainer_module.training.task import Task

pytestmark = pytest.mark.e2e

# The second rate learns next to nothing in two epochs; with the third the loss is not finite.
RATES = {"trainer.learning_rate": [0.05, 1e-7, 1e18]}


def search_arguments(files, transform_output, folder, epochs=2, **tune):
    """Returns the arguments that TFX passes to tuner_fn."""
    fn_args = run_arguments(files, transform_output, folder)
    trainer = TrainerSettings(epochs=epochs, batch_size=8, flip=False)
    settings = json.loads(fn_args.custom_config["settings"])
    settings["trainer"] = trainer.model_dump(mode="json")
    settings["tune"] = {"max_trials": 3, "space": RATES, **tune}
    fn_args.custom_config["settings"] = json.dumps(settings)
    fn_args.working_dir = str(folder / "tmp")
    return fn_args


def run_search(arguments):
    search = tuner_fn(arguments).tuner
    search.search()
    return search


@pytest.fixture(scope="module")
def search(files, transform_output, tmp_path_factory):
    return run_search(search_arguments(files, transform_output, tmp_path_factory.mktemp("search")))


@pytest.fixture
def arguments(files, transform_output, task, tmp_path, monkeypatch):
    """Returns a function for the arguments of a search in a folder of its own; its examples are open."""

    def open_task(*arguments):
        arguments[-1].mkdir(parents=True, exist_ok=True)
        return task

    monkeypatch.setattr(search_module, "open_task", open_task)
    return partial(search_arguments, files, transform_output, tmp_path)


@pytest.fixture
def instant_trials(monkeypatch):
    """Replaces the training of trials; the loss of each is its learning rate."""

    def train_model(task, model, trainer, *_, **__):
        history = [{"val_loss": trainer.learning_rate}] * trainer.epochs
        return SimpleNamespace(outcome=SimpleNamespace(history=history, best_epoch=0), settings=trainer)

    monkeypatch.setattr(search_module, "train_model", train_model)


def group_by_rate(result):
    return {trial.values["trainer.learning_rate"]: trial for trial in result.trials}


def test_the_trial_with_the_lowest_loss_is_the_best_in_the_result_and_in_keras_tuner(search):
    assert [trial.number for trial in search.result.trials] == [1, 2, 3]
    trials = group_by_rate(search.result)
    best = min(trials[0.05], trials[1e-7], key=lambda trial: trial.score)
    assert search.result.found == best and trials[0.05].score != trials[1e-7].score
    assert search.get_best_hyperparameters()[0].values == best.values
    assert search.oracle.get_best_trials()[0].score == best.score


def test_no_example_of_eval_is_used_in_the_search(search):
    """Trials are evaluated on a fifth of train."""
    task = search._task
    assert not set(task.training.shown) & set(task.evaluation.shown)
    assert len(task.training.shown) + len(task.evaluation.shown) == TRAIN_EXAMPLES
    assert task.evaluation.files == task.training.files


def test_a_trial_that_diverges_fails_and_the_search_goes_on(search):
    failed = group_by_rate(search.result)[1e18]
    assert (failed.state, failed.score) == ("failed", None)
    assert "became" in failed.reason


def test_the_folder_of_a_search_is_removed_once_it_is_published(search):
    remove_finished(search._folder.parent)
    assert not search._folder.exists()
    assert all(trial.seconds > 0 for trial in search.result.trials)


def test_a_killed_search_goes_on_in_its_unfinished_trial(arguments, tmp_path, search):
    """It has the same trials in the same order with the same scores as `search`, the unbroken one."""
    code = "from trainer_module.search.tune import tuner_fn; tuner_fn(arguments).tuner.search()"
    run_and_die(code, arguments(), epoch=1, trial=2)
    (first,) = (tmp_path / "checkpoints").glob("*/trial-1")
    before = TRIAL.read(first)
    second = first.with_name("trial-2")
    assert (second / "checkpoints" / "checkpoint.npz").is_file() and not (second / TRIAL.name).exists()

    result = run_search(arguments()).result
    assert result.trials[0] == before
    resumed, unbroken = ([(one.values, one.score) for one in each.trials] for each in (result, search.result))
    assert resumed == unbroken


def test_a_search_whose_trials_all_diverge_is_held_back(arguments, monkeypatch):
    def diverge(*_, **__):
        raise HeldBack("The loss became nan.", "", "")

    monkeypatch.setattr(search_module, "train_model", diverge)
    space = {"trainer.learning_rate": [1e18, 2e18]}
    with pytest.raises(HeldBack, match="Each of 2 trials failed; the last one: The loss became nan") as error:
        run_search(arguments(epochs=1, max_trials=2, space=space))
    assert "tune.space" in error.value.do


def test_a_budget_too_short_for_one_trial_is_refused(arguments):
    with pytest.raises(UsageError, match=r"tune\.budget, 1s, is too short for one trial"):
        run_search(arguments(budget="1s", space={"trainer.learning_rate": [0.001, 0.01]}))


@pytest.mark.parametrize("used", [3600.0, 3599.0], ids=["all of it", "all but a second"])
def test_a_search_with_a_budget_used_before_a_kill_ends_with_the_best_trial(arguments, caplog, used):
    search = tuner_fn(arguments(budget="1h")).tuner
    first = make_oracle(search._tune, 2, 20).populate_space("0")["values"]
    trial = Trial(number=1, values=first, epochs=2, score=0.5, best_epoch=1, seconds=used)
    TRIAL.write(search._folder / "trial-1", trial)

    search.search()
    assert search.result == Search("val_loss", 1, (trial,))
    assert "Only trial 1 succeeded" in caplog.text


def test_a_search_is_refused_where_no_class_has_groups_to_hold_out(arguments, monkeypatch):
    def open_task(*_):
        split = make_split([0, 0, 1, 1], [1, 2, 3, 4])
        return Task(find_workload("shelf"), None, split, split, 20)

    monkeypatch.setattr(search_module, "open_task", open_task)
    with pytest.raises(UsageError, match="No class has examples of three groups") as error:
        tuner_fn(arguments())
    assert "tune.max_trials=0" in error.value.do


def test_an_error_of_all_trials_ends_the_search_with_its_own_message(arguments):
    space = {"model.weights": ["imagenet"]}
    with pytest.raises(UsageError, match=r"model\.weights is imagenet, but .* no such weights"):
        run_search(arguments(max_trials=1, space=space))


def propose_trials(tmp_path, epochs, **tune):
    """Yields the trials that an oracle proposes; the score of each is its learning rate."""
    space = {"trainer.learning_rate": {"min": 1e-5, "max": 1e-1, "log": True}}
    config = {"objective": "val_recall", "space": space, **tune}
    oracle = make_oracle(TuneSettings.model_validate(config), epochs=epochs, seed=0)
    oracle._set_project_dir(str(tmp_path), "oracle")
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        rate = trial.hyperparameters.values["trainer.learning_rate"]
        oracle.update_trial(trial.trial_id, {"val_recall": rate})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        yield dict(trial.hyperparameters.values)


def test_an_oracle_with_the_same_scores_proposes_the_same_trials(tmp_path):
    """There are more trials than the first three, which are random."""
    once, again = (list(propose_trials(tmp_path, 9, max_trials=8)) for _ in range(2))
    assert once == again and len(once) == 8


def test_settings_that_are_proposed_again_are_not_trained_again(arguments, instant_trials):
    # The first three trials are random and differ.
    space = {"trainer.learning_rate": [0.01, 0.001, 0.002]}
    search = run_search(arguments(epochs=1, max_trials=5, space=space))
    trials = search.result.trials
    again = [trial for trial in trials if trial.seconds == 0.0]
    assert again and len(trials) - len(again) == len(group_by_rate(search.result))
    for trial in again:
        assert {one.score for one in trials if one.values == trial.values} == {trial.score}


def test_a_trial_records_its_epochs_and_how_many_its_limit_of_steps_allowed(arguments):
    search = run_search(arguments(epochs=1, max_trials=1, space={"trainer.min_steps": [600]}))
    (trial,) = search.result.trials
    assert (trial.epochs, trial.allowed_epochs, trial.best_epoch) == (1, 3, 3)


def test_the_values_of_a_trial_are_written_as_in_a_settings_file(arguments, instant_trials):
    """Booleans stay booleans and numbers have few digits; the Trainer gets the same values."""
    space = {
        "trainer.learning_rate": {"min": 1e-3, "max": 1e-2, "log": True},
        "trainer.batch_size": {"min": 8, "max": 16, "step": 8},
        "trainer.flip": [True, False],
        "trainer.balanced": [False],
        "trainer.brightness": [0, 0.123456789],
    }
    search = run_search(arguments(epochs=1, max_trials=1, space=space))
    (trial,) = search.result.trials
    assert trial.values == search.get_best_hyperparameters()[0].values
    assert len(str(trial.values["trainer.learning_rate"])) <= len("0.00123457")
    assert trial.values["trainer.batch_size"] in (8, 16) and trial.values["trainer.balanced"] is False
    assert isinstance(trial.values["trainer.flip"], bool)
    assert trial.values["trainer.brightness"] in (0.0, 0.123456789)


def test_a_hyperband_with_too_few_values_to_give_a_trial_all_epochs_warns(arguments, caplog, instant_trials):
    space = {"trainer.flip": [True, False]}
    search = run_search(arguments(epochs=4, max_trials=7, algorithm="hyperband", space=space))
    assert max(trial.epochs for trial in search.result.trials) < 4
    assert "No trial had all 4 epochs" in caplog.text


@pytest.mark.parametrize("epochs", [1, 9, 26])
def test_hyperband_begins_with_few_epochs_and_gives_the_best_all_of_them(tmp_path, epochs):
    least = count_trials(epochs)
    trials = list(propose_trials(tmp_path, epochs, max_trials=least, algorithm="hyperband"))
    assert [trial["tuner/epochs"] == epochs for trial in trials] == [False] * (least - 1) + [True]
