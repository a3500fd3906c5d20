import pytest
import yaml

from edgeline.records.training import SEARCH, Search, Trial
from pipeline.settings import load_settings

VALUES = {
    "trainer.learning_rate": 1e-5,
    "trainer.flip": False,
    "model.hidden": 64,
    "model.weights": "/home/ü/no: #x.h5",
}
BEST = Search(
    "val_recall", 2, (Trial(1, {"model.hidden": 32}, score=0.1), Trial(2, VALUES, score=0.2, best_epoch=3))
)


def test_the_best_of_a_search_is_a_profile_whose_runs_have_its_settings_and_search_no_more(tmp_path):
    profile = tmp_path / "tuned.yaml"
    profile.write_text(BEST.as_profile(), encoding="utf-8")
    workload = {"tune": {"max_trials": 8, "space": {"model.hidden": [32, 64]}}, "trainer": {"epochs": 3}}

    settings = load_settings(workload, str(profile))
    trainer = settings.trainer
    assert settings.tune.max_trials == 0
    assert (trainer.epochs, trainer.learning_rate, trainer.flip) == (3, 1e-5, False)
    assert (settings.model.hidden, settings.model.weights) == (64, "/home/ü/no: #x.h5")
    assert yaml.safe_load(BEST.as_profile())["tune"] == {"max_trials": 0}
    assert BEST.as_profile().startswith("# The best of 2 trials, number 2: val_recall 0.2000 after epoch 3.")


def test_a_search_without_its_best_trial_is_refused(tmp_path):
    SEARCH.write(tmp_path, BEST)
    assert SEARCH.read(tmp_path) == BEST
    (tmp_path / SEARCH.name).write_text('{"objective": "val_loss", "best": 3, "trials": [{"number": 3}]}')
    with pytest.raises(ValueError, match="no trial of that number has a score"):
        SEARCH.read(tmp_path)
