"""Real searches of KerasTuner; where only its proposals matter, no trial trains."""

import json
from functools import partial
from types import SimpleNamespace

import pytest

from edgeline.errors import HeldBack, UsageError
from edgeline.records.training import TRIAL, Search, Trial, remove_finished
from tests.trainer_module.samples import TRAIN_EXAMPLES, run_and_die, run_arguments
from trainer_module.search import tune as search_module
from trainer_module.search.tune import make_oracle, tuner_fn
from trainer_module.search.tune_settings import TuneSettings, count_trials
from trainer_module.settings import TrainerSettings

pytestmark = pytest.mark.e2e

# The second learns next to nothing in two epochs, and the third is beyond what any setting may be.
RATES = {"trainer.learning_rate": [0.05, 1e-7, 1e18]}


def arguments(files, transform_output, folder, epochs=2, **tune):
    """Returns the arguments that TFX hands to tuner_fn."""
    given = run_arguments(files, transform_output, folder)
    trainer = TrainerSettings(epochs=epochs, batch_size=8, flip=False)
    settings = json.loads(given.custom_config["settings"])
    settings["trainer"] = trainer.model_dump(mode="json")
    settings["tune"] = {"max_trials": 3, "space": RATES, **tune}
    given.custom_config["settings"] = json.dumps(settings)
    given.working_dir = str(folder / "tmp")
    return given


def searched(given):
    search = tuner_fn(given).tuner
    search.search()
    return search


@pytest.fixture(scope="module")
def search(files, transform_output, tmp_path_factory):
    return searched(arguments(files, transform_output, tmp_path_factory.mktemp("search")))


@pytest.fixture
def given(files, transform_output, tmp_path):
    """Returns the arguments that TFX hands to tuner_fn for a search in a folder of its own."""
    return partial(arguments, files, transform_output, tmp_path)


@pytest.fixture
def untrained(monkeypatch):
    """Trials take no time; the loss of each is its learning rate."""

    def train_model(task, model, trainer, *_, **__):
        history = [{"val_loss": trainer.learning_rate}] * trainer.epochs
        return SimpleNamespace(outcome=SimpleNamespace(history=history, best_epoch=0), settings=trainer)

    monkeypatch.setattr(search_module, "train_model", train_model)


def by_rate(result):
    return {trial.values["trainer.learning_rate"]: trial for trial in result.trials}


def test_the_trial_with_the_lowest_loss_is_the_best_and_keras_tuner_says_the_same(search):
    assert [trial.number for trial in search.result.trials] == [1, 2, 3]
    trials = by_rate(search.result)
    best = min(trials[0.05], trials[1e-7], key=lambda trial: trial.score)
    assert search.result.found == best and trials[0.05].score != trials[1e-7].score
    assert search.get_best_hyperparameters()[0].values == best.values
    assert search.oracle.get_best_trials()[0].score == best.score


def test_no_example_of_eval_has_a_part_in_the_search(search):
    """A fifth of train judges the trials."""
    task = search._task
    assert not set(task.training.shown) & set(task.evaluation.shown)
    assert len(task.training.shown) + len(task.evaluation.shown) == TRAIN_EXAMPLES
    assert task.evaluation.files == task.training.files


def test_a_trial_that_diverges_failed_and_the_search_went_on(search):
    failed = by_rate(search.result)[1e18]
    assert (failed.state, failed.score) == ("failed", None)
    assert "became" in failed.reason


def test_of_a_search_that_ended_nothing_is_left_once_it_is_published(search):
    remove_finished(search._folder.parent)
    assert not search._folder.exists()
    assert all(trial.seconds > 0 for trial in search.result.trials)


def test_a_search_that_was_killed_goes_on_in_the_trial_that_was_cut_off(given, tmp_path, search):
    """`search` is the unbroken one: the same trials in the same order with the same scores."""
    code = "from trainer_module.search.tune import tuner_fn; tuner_fn(arguments).tuner.search()"
    run_and_die(code, given(), epoch=1, trial=2)
    (first,) = (tmp_path / "checkpoints").glob("*/trial-1")
    before = TRIAL.read(first)
    cut_off = first.with_name("trial-2") / "checkpoints"
    assert (cut_off / "checkpoint.npz").is_file() and not (cut_off.parent / TRIAL.name).exists()

    result = searched(given()).result
    assert result.trials[0] == before
    assert [(trial.values, trial.score) for trial in result.trials] == [
        (trial.values, trial.score) for trial in search.result.trials
    ]


def test_where_every_trial_diverges_the_search_is_held_back(given, monkeypatch):
    def diverge(*_, **__):
        raise HeldBack("The loss became nan.", "", "")

    monkeypatch.setattr(search_module, "train_model", diverge)
    space = {"trainer.learning_rate": [1e18, 2e18]}
    with pytest.raises(HeldBack, match="Each of 2 trials failed; the last one: The loss became nan") as held:
        searched(given(epochs=1, max_trials=2, space=space))
    assert "tune.space" in held.value.do


def test_a_budget_that_no_trial_fits_into_is_refused(given):
    with pytest.raises(UsageError, match=r"tune\.budget, 1s, is too short for one trial"):
        searched(given(budget="1s", space={"trainer.learning_rate": [0.001, 0.01]}))


@pytest.mark.parametrize("used", [3600.0, 3599.0], ids=["all of it", "all but a second"])
def test_a_budget_that_trials_of_before_a_kill_have_used_ends_the_search_with_their_best(given, caplog, used):
    search = tuner_fn(given(budget="1h")).tuner
    first = make_oracle(search._tune, 2, 20).populate_space("0")["values"]
    done = Trial(number=1, values=first, epochs=2, score=0.5, best_epoch=1, seconds=used)
    TRIAL.write(search._folder / "trial-1", done)

    search.search()
    assert search.result == Search("val_loss", 1, (done,))
    assert "Only trial 1 succeeded" in caplog.text


def test_what_is_wrong_with_more_than_one_trial_ends_the_search_with_its_own_words(given):
    space = {"model.weights": ["imagenet"]}
    with pytest.raises(UsageError, match=r"model\.weights is imagenet, but .* no such weights"):
        searched(given(max_trials=1, space=space))


def proposed(tmp_path, epochs, **tune):
    """The trials of an oracle that is told that a higher rate is better."""
    space = {"trainer.learning_rate": {"min": 1e-5, "max": 1e-1, "log": True}}
    given = {"objective": "val_recall", "space": space, **tune}
    oracle = make_oracle(TuneSettings.model_validate(given), epochs=epochs, seed=0)
    oracle._set_project_dir(str(tmp_path), "oracle")
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        rate = trial.hyperparameters.values["trainer.learning_rate"]
        oracle.update_trial(trial.trial_id, {"val_recall": rate})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        yield dict(trial.hyperparameters.values)


def test_an_oracle_that_is_told_the_same_scores_proposes_the_same_trials(tmp_path):
    """Past its first three trials, which are random."""
    once, again = (list(proposed(tmp_path, 9, max_trials=8)) for _ in range(2))
    assert once == again and len(once) == 8


def test_settings_that_are_proposed_again_are_not_trained_with_again(given, untrained):
    # The first three, which are random, differ.
    space = {"trainer.learning_rate": [0.01, 0.001, 0.002]}
    search = searched(given(epochs=1, max_trials=5, space=space))
    trials = search.result.trials
    again = [trial for trial in trials if trial.seconds == 0.0]
    assert again and len(trials) - len(again) == len(
        {trial.values["trainer.learning_rate"] for trial in trials}
    )
    for trial in again:
        assert {one.score for one in trials if one.values == trial.values} == {trial.score}


def test_a_trial_says_how_many_epochs_its_limit_of_steps_made_of_those_that_it_was_given(given):
    (trial,) = searched(given(epochs=1, max_trials=1, space={"trainer.min_steps": [600]})).result.trials
    assert (trial.epochs, trial.allowed_epochs, trial.best_epoch) == (1, 3, 3)


def test_the_values_of_a_trial_are_those_that_a_person_would_write(given, untrained):
    """A word for false, and no more digits than can be read; the Trainer is given the same."""
    space = {
        "trainer.learning_rate": {"min": 1e-3, "max": 1e-2, "log": True},
        "trainer.batch_size": {"min": 8, "max": 16, "step": 8},
        "trainer.flip": [True, False],
        "trainer.balanced": [False],
        "trainer.brightness": [0, 0.123456789],
    }
    search = searched(given(epochs=1, max_trials=1, space=space))
    (trial,) = search.result.trials
    assert trial.values == search.get_best_hyperparameters()[0].values
    assert len(str(trial.values["trainer.learning_rate"])) <= len("0.00123457")
    assert trial.values["trainer.batch_size"] in (8, 16) and trial.values["trainer.balanced"] is False
    assert isinstance(trial.values["trainer.flip"], bool)
    assert trial.values["trainer.brightness"] in (0.0, 0.123456789)


def test_a_hyperband_that_had_too_few_values_to_give_a_trial_all_epochs_says_so(given, caplog, untrained):
    space = {"trainer.flip": [True, False]}
    search = searched(given(epochs=4, max_trials=7, algorithm="hyperband", space=space))
    assert max(trial.epochs for trial in search.result.trials) < 4
    assert "No trial had all 4 epochs" in caplog.text


@pytest.mark.parametrize("epochs", [1, 9, 26])
def test_hyperband_begins_with_few_epochs_and_gives_the_best_all_of_them(tmp_path, epochs):
    least = count_trials(epochs)
    trials = list(proposed(tmp_path, epochs, max_trials=least, algorithm="hyperband"))
    assert [trial["tuner/epochs"] == epochs for trial in trials] == [False] * (least - 1) + [True]
