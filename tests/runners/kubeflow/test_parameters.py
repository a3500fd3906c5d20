"""Parameters of a step, as a UI shows them and as TFX gets them."""

import json

import pytest

from edgeline.errors import UsageError
from pipeline.settings import load_settings
from pipeline.workloads import find_workload
from runners.kubeflow.parameters import (
    CODE_OF_IMAGE,
    LOCK_OF_IMAGE,
    RUN_ID,
    check_parameters,
    put_together,
    take_apart,
)

FILLINGS = {RUN_ID: "run-7", CODE_OF_IMAGE: "c0de", LOCK_OF_IMAGE: "10c4"}
TRAINER = {
    "custom_config": json.dumps(
        {
            "workload": json.dumps({"labels": ["ok", "damaged"], "slices": {"lane": "lane_id"}}),
            "settings": json.dumps({"seed": 20, "trainer": {"epochs": 16, "learning_rate": 0.001, "n": 2}}),
            "labels": ["ok", "damaged"],
            "code": f"{CODE_OF_IMAGE} {LOCK_OF_IMAGE}",
        }
    ),
    "run_fn": "trainer_module.run_fn.run_fn",
    "train_args": json.dumps({"splits": ["train"]}),
}
RECORD = {"run": RUN_ID, "model_name": "shelf", "recorded": "{}"}
RECORDED = load_settings(find_workload("shelf").settings).recorded()


def pass_through_cluster(step, constants, **changes):
    """Returns the parameters of a step after a cluster, which turns each number into a float."""
    shown, unshown = take_apart(step, constants)
    parameters = json.loads(json.dumps({**shown, **changes}), parse_int=float)
    return put_together(step, parameters, json.dumps(unshown), FILLINGS)


def test_tfx_gets_texts_again_with_values_of_the_pod_and_parameters_of_the_run():
    assert set(take_apart("DataGate", RECORD)[0]) == {"model_name"}
    assert take_apart("Trainer", TRAINER)[0]["custom_config"]["settings"] == {"trainer": {"n": 2}}
    parameters = pass_through_cluster("Trainer", TRAINER, epochs=3, learning_rate=0.01, seed=7)
    assert parameters["run_fn"] == TRAINER["run_fn"]
    assert json.loads(parameters["train_args"]) == {"splits": ["train"]}
    config = json.loads(parameters["custom_config"])
    settings = json.loads(config.pop("settings"))
    assert settings == {"seed": 7, "trainer": {"epochs": 3, "learning_rate": 0.01, "n": 2}}
    assert json.loads(config.pop("workload")) == {"labels": ["ok", "damaged"], "slices": {"lane": "lane_id"}}
    assert config == {"labels": ["ok", "damaged"], "code": "c0de 10c4"}
    # A whole number stays an integer.
    assert isinstance(settings["seed"], int)


def test_the_first_step_reads_the_window_of_the_run_though_it_has_a_value_of_that_name():
    constants = {"window": "", "settings": json.dumps({"data": {"window": 8, "min_side": 16}})}
    parameters = pass_through_cluster("ExampleGen", constants, epochs=3, learning_rate=0.01, seed=7, window=2)
    assert parameters["window"] == "" and set(parameters) == {"window", "settings"}
    assert json.loads(parameters["settings"]) == {"data": {"window": 2, "min_side": 16}}


def test_all_parameters_are_checked_at_once_like_settings():
    check_parameters(RECORDED, {"epochs": 3.0, "learning_rate": 1.0, "seed": 0.0, "window": 1.0})
    with pytest.raises(UsageError) as caught:
        check_parameters(RECORDED, {"epochs": 2.5, "learning_rate": 0.0, "seed": -1.0, "window": 4.0})
    text = caught.value.found
    assert (
        "trainer.epochs: 2.5 is not a whole number from 1 to 10,000 (from the parameters of the run)" in text
    )
    assert "trainer.learning_rate: 0 is not a number above 0" in text and "seed: -1 is not" in text
    assert "data.window" not in text
    assert "epochs is trainer.epochs" in caught.value.why and "another run" in caught.value.do
