import re

import pytest

from edgeline.settings_layers import walk
from pipeline.settings import Settings


@pytest.fixture
def run_settings(command, monkeypatch):
    """Runs `edgeline settings` on a terminal of that width; returns how it ended."""

    def call(*arguments, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        return command("settings", *arguments)

    return call


def test_all_settings_are_listed_by_group_in_the_order_of_their_definition(run_settings):
    result = run_settings(width=110)
    assert result.code == 0 and max(map(len, result.out.splitlines())) > 90
    assert re.findall(r"^(\w+)(?: =|:) ", result.out, re.MULTILINE) == list(Settings.model_fields)
    assert "\n\ntrainer: The settings of the training.\ntrainer.epochs = 16 (" in result.out


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("trainer.epochs", ["trainer.epochs = 16 (a whole number from 1 to 10,000)", "    Number of"]),
        ("gate.severity", ['"label_shift": "block"', "each name one of schema,", "one of block, warn"]),
        ("workspace.max_gb", ["= null (a number above 0 or null)", "Null for no limit"]),
        ("evaluation.bounds.0.slice", ["evaluation.bounds[].slice has no default (a text)", "`overall`"]),
        ("kubeflow.steps.Trainer.gpu", ["kubeflow.steps.*.gpu = null (a whole number from 0 to 64 or null)"]),
    ],
)
def test_one_setting_is_shown_with_its_default_its_range_and_its_meaning(run_settings, name, lines):
    result = run_settings(name, width=1000)
    assert result.code == 0 and len(result.out.splitlines()) == 2
    for line in lines:
        assert line in result.out


def test_the_lines_fit_the_terminal(run_settings):
    assert 30 < max(map(len, run_settings("trainer", width=50).out.splitlines())) <= 50


def test_json_has_defaults_as_values_and_no_groups(run_settings):
    document = {setting["name"]: setting for setting in run_settings("edge", "--json").json}
    assert "edge" not in document
    assert document["edge.variants"]["default"] == ["int8", "dynamic", "fp16", "fp32"]
    assert document["edge.golden_examples"]["allowed"] == "a whole number from 0 to 200"


@pytest.mark.parametrize(
    ("name", "nearest"), [("trainr", "trainer"), ("learning_rate", "trainer.learning_rate")]
)
def test_an_unknown_name_comes_with_the_nearest_known_one(run_settings, name, nearest):
    result = run_settings(name)
    assert (result.code, result.out) == (2, "")
    assert name in result.err and f"{nearest}?" in result.err


def test_every_setting_and_every_group_has_a_description():
    schema = Settings.model_json_schema()
    nodes = dict(walk(schema, schema))

    # The value of an item is described with its list or its mapping.
    named = [name for name in nodes if "propertyNames" not in nodes.get(name.rpartition(".")[0], {})]
    missing = [name for name in named if not name.endswith(("[]", "*")) and "description" not in nodes[name]]

    assert len(named) > 120 and not missing
