import json

import pytest

from errors import UsageError
from pipeline.settings import Settings, load


def mistakes(workload=None, profile=None, overrides=(), labels=None):
    with pytest.raises(UsageError) as refused:
        load(workload or {}, profile, overrides, labels)
    return [line.strip() for line in refused.value.found.splitlines()[1:]]


def test_without_any_layer_the_defaults_hold():
    assert load({}) == Settings()


def test_each_layer_overrules_the_ones_below_it_key_by_key(tmp_path):
    profile = tmp_path / "night.yaml"
    profile.write_text("trainer:\n  epochs: 30\n  batch_size: 32\n")
    workload = {"trainer": {"epochs": 4, "learning_rate": 0.01, "class_weights": {"damaged": 2.0}}}

    settings = load(workload, str(profile), ["trainer.batch_size=16"])

    assert settings.trainer.epochs == 30
    assert settings.trainer.batch_size == 16
    assert settings.trainer.learning_rate == 0.01
    assert settings.trainer.class_weights == {"damaged": 2.0}


def test_a_list_replaces_the_list_below_it():
    workload = {
        "evaluation": {"bounds": [{"slice": "overall", "lower": 0.9}, {"slice": "lane", "lower": 0.5}]}
    }

    settings = load(
        workload, None, ["evaluation.bounds=[{slice: class, max_drop: 0.1}]", "edge.variants=[int8]"]
    )

    assert [bound.slice for bound in settings.evaluation.bounds] == ["class"]
    assert settings.edge.variants == ("int8",)


def test_one_rule_of_the_gate_can_be_switched_without_naming_the_others():
    severity = load({}, None, ["gate.severity.drift=off"]).gate.severity

    assert severity == {
        "schema": "block",
        "drift": "off",
        "label_shift": "block",
        "class_count": "block",
        "quarantine": "block",
    }


def test_the_published_profile_is_found_by_its_name():
    model = load({}, "published").model

    assert (model.backbone, model.image_size, model.channels) == ("mobilenet_v3_small", 128, 1)


@pytest.mark.parametrize(
    ("override", "group", "key", "value"),
    [
        ("trainer.learning_rate=1e-3", "trainer", "learning_rate", 0.001),
        ("trainer.learning_rate=5E-4", "trainer", "learning_rate", 0.0005),
        ("trainer.flip=false", "trainer", "flip", False),
        ("trainer.class_weights={no: 2.0, off: 1.5}", "trainer", "class_weights", {"no": 2.0, "off": 1.5}),
        ("edge.max_size_mb=5", "edge", "max_size_mb", 5.0),
        ("beam.flags=[--runner=PortableRunner, --job_endpoint=localhost:8099]", "beam", "flags",
         ("--runner=PortableRunner", "--job_endpoint=localhost:8099")),
        ("model.weights=null", "model", "weights", None),
    ],
)  # fmt: skip
def test_values_are_parsed_as_yaml_with_words_left_words(override, group, key, value):
    assert getattr(getattr(load({}, None, [override]), group), key) == value


def test_settings_survive_json_as_the_worker_gets_them():
    settings = load({}, "published", ["edge.variants=[int8, fp32]", "push.destination=/store"])

    assert Settings.model_validate_json(json.dumps(settings.model_dump(mode="json"))) == settings


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        Settings().trainer.epochs = 3


def test_every_mistake_is_in_the_one_error():
    found = mistakes(
        {"trainr": {"epochs": 3}},
        "publishd",
        [
            "trainer.epoch=3",
            "data.window=0",
            "seed",
            "flip=1",
            "trainer.flip=1",
            "seed=[",
            "edge.variants=[fp8]",
        ],
    )

    assert len(found) == 9
    text = "\n".join(found)
    for key in ("trainr:", "--profile publishd:", "trainer.epoch:", "data.window:", "--set seed:", "flip:"):
        assert key in text
    assert "edge.variants.0: 'fp8' is not one of fp32, fp16, int8, dynamic (from --set)." in text


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("trainer.epoch=3", "trainer.epochs"),
        ("epochs=3", "trainer.epochs"),
        ("trainr={epochs: 3}", "trainer"),
        ("gate.severity.labelshift=warn", "gate.severity.label_shift"),
        ("data.max_megapixel=3", "data.max_megapixels"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_known_one(override, nearest):
    (found,) = mistakes(overrides=[override])

    assert found.endswith(f"Did you mean {nearest}?")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.window=0", "data.window: 0 is not a whole number from 1 to 1,000 (from --set)."),
        ("trainer.epochs=1.5", "trainer.epochs: 1.5 is not a whole number from 1 to 10,000 (from --set)."),
        ("trainer.epochs='3'", "trainer.epochs: '3' is not a whole number from 1 to 10,000 (from --set)."),
        ("trainer.flip=1", "trainer.flip: 1 is not true or false (from --set)."),
        ("trainer.learning_rate=0", "trainer.learning_rate: 0 is not a number above 0 to 1 (from --set)."),
        ("model.channels=2", "model.channels: 2 is not one of 1, 3 (from --set)."),
        ("gate.severity.drift=no", "gate.severity.drift: 'no' is not one of block, warn, off (from --set)."),
        ("trainer.class_weights={ok: -1}",
         "trainer.class_weights.ok: -1 is not a number above 0 to 1,000 (from --set)."),
        ("data.min_side=600",
         "data: min_side (600) is larger than max_side (512) (from --set)."),
        ("evaluation.bounds=[{slice: lane}]",
         "evaluation.bounds.0: it has neither lower nor max_drop, so it bounds nothing (from --set)."),
        ("edge.variants=[int8, int8]", "edge: variants names one twice: int8, int8 (from --set)."),
        ("trainer=3", "trainer: 3 is not a group of settings: "),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_what_is_allowed(override, sentence):
    (found,) = mistakes(overrides=[override])

    assert found.startswith(sentence)


def test_a_mistake_names_the_layer_that_made_it(tmp_path):
    profile = tmp_path / "night.yaml"
    profile.write_text("trainer: {epochs: 0}\n")

    found = mistakes({"data": {"window": 0}}, str(profile), ["seed=-1"])

    assert any(line.startswith("data.window") and "from the workload" in line for line in found)
    assert any(line.startswith("trainer.epochs") and f"from the profile {profile}" in line for line in found)
    assert any(line.startswith("seed") and "from --set" in line for line in found)


def test_a_key_that_a_profile_has_twice_is_refused(tmp_path):
    profile = tmp_path / "night.yaml"
    profile.write_text("trainer:\n  epochs: 3\n  epochs: 4\n")

    (found,) = mistakes(profile=str(profile))

    assert "epochs is there twice, line 2" in found


def test_a_class_weight_for_a_label_that_the_schema_lacks_is_refused():
    (found,) = mistakes({"trainer": {"class_weights": {"broken": 2.0}}}, labels=["ok", "damaged"])

    assert found == "trainer.class_weights.broken: the schema has no label 'broken'; its labels: ok, damaged."
