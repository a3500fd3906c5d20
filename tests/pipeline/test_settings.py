import json
import os
import re
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.errors import UsageError
from edgeline.settings_layers import merge_layers
from pipeline.settings import Settings, load_settings
from pipeline.workloads import find_workload, read_kinds, with_features

SHELF = with_features(find_workload("shelf"))


def get_mistakes(own=None, profile=None, overrides=(), workload=None):
    with pytest.raises(UsageError) as caught:
        load_settings(own or {}, profile, overrides, workload)
    return [line.strip() for line in caught.value.found.splitlines()[1:]]


def test_each_layer_overrules_the_ones_below_it_key_by_key(tmp_path):
    profile, platform = tmp_path / "profile.yaml", tmp_path / "platform.yaml"
    profile.write_text("trainer: {epochs: 3, batch_size: 8}\nkubeflow: {image: ours:1, namespace: us}\n")
    platform.write_text("trainer: {batch_size: 16}\nkubeflow: {image: ours:2, retries: 5}\n")
    workload = {"trainer": {"epochs": 4, "learning_rate": 0.01, "class_weights": {"damaged": 2.0}}}

    settings = load_settings(workload, str(profile), ["kubeflow.retries=1"], platform=str(platform))

    assert (settings.trainer.epochs, settings.trainer.batch_size) == (3, 16)
    assert (settings.trainer.learning_rate, settings.trainer.class_weights) == (0.01, {"damaged": 2.0})
    assert (settings.kubeflow.image, settings.kubeflow.namespace) == ("ours:2", "us")
    assert settings.kubeflow.retries == 1


def test_a_list_and_a_range_replace_those_below_and_an_empty_mapping_removes_what_is_there():
    workload = {
        "edge": {"variants": ["fp32", "fp16"]},
        "trainer": {"class_weights": {"damaged": 2.0}, "epochs": 7},
        "tune": {"space": {"model": {"hidden": {"min": 32, "max": 128, "step": 32}}}},
    }
    overrides = ["trainer.class_weights={}", "tune.space.model.hidden={min: 16, max: 24}"]
    settings = load_settings(workload, None, [*overrides, "edge.variants=[int8]"])
    assert settings.edge.variants == ("int8",)
    assert settings.trainer.class_weights == {} and settings.trainer.epochs == 7
    assert settings.tune.space["model.hidden"].step is None
    own = {"steps": {"Own": {"component": "a.B"}}}
    assert not merge_layers(own, None, None, ["steps={}"])[0].values["steps"]
    settings = load_settings(workload, None, ["trainer={}", "tune.space.model.hidden.max=64"])
    assert settings.trainer.class_weights == {"damaged": 2.0} and settings.trainer.epochs == 7
    assert (settings.tune.space["model.hidden"].max, settings.tune.space["model.hidden"].step) == (64, 32)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (12, 600, None)),
        (["trainer.epochs=2"], (2, None, None)),
        (["trainer.epochs=2", "trainer.min_steps=50"], (2, 50, None)),
        (["trainer.max_steps=50", "trainer.epochs=2"], (2, None, 50)),
    ],
)
def test_a_number_of_epochs_that_a_person_sets_holds_against_limits_of_steps_that_nobody_set(
    overrides, expected
):
    trainer = load_settings(read_kinds()["photos"]["settings"], None, overrides).trainer
    assert (trainer.epochs, trainer.min_steps, trainer.max_steps) == expected


@pytest.mark.parametrize(
    ("kind", "override", "words"),
    [
        ("table", "trainer.flip=false", "trainer.flip: it has no effect here; it is for photos"),
        ("photos", "model.hidden=64", "model.hidden: it has no effect here; it is for tables"),
        ("sensor", "model.members=4", "model.members: it has no effect here; windows of readings have one"),
    ],
)
def test_an_override_that_would_have_no_effect_is_refused(kind, override, words):
    settings = read_kinds()[kind]["settings"]
    workload = replace(SHELF, module=read_kinds()[kind]["module"], normal="ok")
    with pytest.raises(UsageError) as caught:
        load_settings(settings, None, [override], workload)
    assert f"{words} (from --set)." in caught.value.found
    # A profile may be for several kinds of workloads, and a module of one's own may read anything.
    assert load_settings(settings, None, [override])
    assert load_settings(settings, None, [override], replace(workload, module="my.module"))


def test_one_rule_of_the_gate_can_be_switched_without_naming_the_others():
    severity = load_settings({}, None, ["gate.severity.drift=off"]).gate.severity

    assert severity == {**Settings().gate.severity, "drift": "off"} != Settings().gate.severity


def test_the_published_profile_is_found_by_its_name_and_needs_weights():
    model = load_settings({}, "published", ["model.weights=mine.h5"]).model
    assert (model.backbone, model.image_size, model.channels) == ("mobilenet_v3_small", 128, 1)
    (mistake,) = get_mistakes(profile="published")
    assert "set it to a file of weights (from the profile published)" in mistake


@pytest.mark.parametrize(
    ("override", "group", "key", "value"),
    [
        ("trainer.learning_rate=1e-3", "trainer", "learning_rate", 0.001),
        ("trainer.learning_rate=5E-4", "trainer", "learning_rate", 0.0005),
        ("trainer.flip=false", "trainer", "flip", False),
        ("trainer.class_weights={no: 2.0, off: 1.5}", "trainer", "class_weights", {"no": 2.0, "off": 1.5}),
        ("trainer.check_numerics=true", "trainer", "check_numerics", True),
        ("edge.max_size_mb=5", "edge", "max_size_mb", 5.0),
        ("beam.flags=[--runner=PortableRunner, --job_endpoint=localhost:8099]", "beam", "flags",
         ("--runner=PortableRunner", "--job_endpoint=localhost:8099")),
        ("model.weights=null", "model", "weights", "none"),
    ],
)  # fmt: skip
def test_values_are_parsed_as_yaml_with_words_left_words(override, group, key, value):
    assert getattr(getattr(load_settings({}, None, [override]), group), key) == value


def test_settings_survive_json_as_the_worker_gets_them():
    settings = load_settings(
        {}, "published", ["model.frozen_stages=3", "edge.variants=[int8, fp32]", "push.destination=/store"]
    )

    assert Settings.model_validate_json(json.dumps(settings.model_dump(mode="json"))) == settings


def test_every_mistake_is_in_the_one_error():
    overrides = ["trainer.epoch=3", "data.window=0", "seed", "flip=1", "trainer.flip=1", "seed=["]
    mistakes = get_mistakes({"trainr": {"epochs": 3}}, "publishd", [*overrides, "edge.variants=[fp8]"])

    assert len(mistakes) == 9
    text = "\n".join(mistakes)
    for key in ("trainr:", "--profile publishd:", "trainer.epoch:", "data.window:", "--set seed:", "flip:"):
        assert key in text
    assert "edge.variants.0: 'fp8' is not one of int8, dynamic, fp16, fp32 (from --set)." in text


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "trainer.epoch=3",
            "trainer.epoch: there is no such setting (from --set). Did you mean trainer.epochs?",
        ),
        ("gate.severity.labelshift=warn", "no such setting (from --set). Did you mean gate.severity.label_"),
        ("kubeflow.steps={Traner: {gpu: 1}}", "no step of that name (from --set). Did you mean Trainer?"),
        ("trainer.strategy=mirored", "trainer.strategy: 'mirored' is not one of auto, mirrored, one_"),
        ("data.until=12", "data.until: 12 is not the name of a span, such as span-00012 (from --set)."),
        ("trainer.epochs=1.5", "trainer.epochs: 1.5 is not a whole number from 1 to 10,000 (from --set)."),
        ("trainer.flip=1", "trainer.flip: 1 is not true or false (from --set)."),
        ("trainer.learning_rate=0", "trainer.learning_rate: 0 is not a number above 0 to 1 (from --set)."),
        ("trainer.folds=1", "trainer.folds: 1 is not 0 or 2 to 20: one fold is measured, the others"),
        ("gate.severity.drift=no", "gate.severity.drift: 'no' is not one of block, warn, off (from"),
        ("trainer.class_weights.ok=-1", "trainer.class_weights.ok: -1 is not a number above 0 to"),
        ("data.min_side=600", "data: min_side (600) is larger than max_side (512) (from --set)."),
        ("evaluation.bounds=[{slice: lane}]", "evaluation.bounds.0: a bound without lower, upper and"),
        ("edge.variants=[int8, int8]", "edge: variants lists one twice: int8, int8 (from --set)."),
        ("trainer=3", "trainer: 3 is not a group of settings: "),
        ("model.weights=~nobody-of-that-name/x", "model.weights: ~nobody-of-that-name/x cannot be"),
        ("registry.uri=mlruns", "registry.uri: the value is not http"),
        ("trainer.check_numerics=true", "set trainer.precision=float32 beside it (from --set)."),
        ("push.min_app_version=2.10", "push.min_app_version: 2.1 is not a version of three numbers"),
        ("model.frozen_stages=0", "model.frozen_stages: 0 is not a whole number from 1 to 7 or all ("),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(override, sentence):
    half = {"trainer": {"precision": "mixed_float16"}} if "numerics" in override else {}
    (mistake,) = get_mistakes(half, overrides=[override])

    assert sentence in mistake and mistake.startswith(re.split("[.=]", override)[0])


def test_a_mistake_names_the_layer_that_made_it(tmp_path):
    profile = tmp_path / "night.yaml"
    profile.write_text("trainer: {epochs: 0}\n")

    lines = get_mistakes({"data": {"window": 0}}, str(profile), ["seed=-1"])

    assert any(line.startswith("data.window") and "from the workload" in line for line in lines)
    assert any(line.startswith("trainer.epochs") and f"from the profile {profile}" in line for line in lines)
    assert any(line.startswith("seed") and "from --set" in line for line in lines)


def test_a_key_that_a_profile_has_twice_is_refused(tmp_path):
    profile = tmp_path / "night.yaml"
    profile.write_text("trainer:\n  epochs: 3\n  epochs: 4\n")

    (mistake,) = get_mistakes(profile=str(profile))

    assert "the key epochs twice, line 3" in mistake


@pytest.mark.parametrize(
    ("bounds", "kind", "allowed"),
    [
        ("bounds", "lane", "overall, class, machine, span"),
        ("served", "span", "overall, class, machine, variant"),
    ],
)
def test_a_bound_on_slices_that_the_workload_or_the_answers_of_phones_lack_is_refused(bounds, kind, allowed):
    workload = replace(SHELF, slices={"machine": "machine"})
    for known in ("machine", "device" if bounds == "served" else "span"):
        load_settings({}, None, [f"evaluation.{bounds}=[{{slice: {known}, lower: 0.5}}]"], workload)
    with pytest.raises(UsageError, match=rf"{bounds}\.0\.slice: '{kind}' is not one of {allowed}"):
        load_settings({}, None, [f"evaluation.{bounds}=[{{slice: {kind}, lower: 0.5}}]"], workload)


@pytest.mark.parametrize("known", ["device", "served device"])
def test_a_workload_with_slices_by_device_has_those_of_phones_under_another_name(known):
    workload = replace(SHELF, slices={"device": "device"})
    assert load_settings({}, None, [f"evaluation.served=[{{slice: {known}, lower: 0.5}}]"], workload)


@pytest.mark.parametrize("metric", ["auc", "recall_at_false_alarms"])
def test_a_bound_on_a_metric_of_alarms_is_refused_without_a_normal_label(metric):
    bounds = [f"evaluation.bounds=[{{slice: overall, metric: {metric}, lower: 0.9}}]"]
    assert load_settings({}, None, bounds, replace(SHELF, normal="ok")).evaluation.bounds
    with pytest.raises(UsageError, match=rf"bounds\.0\.metric: {metric} .* no `normal`"):
        load_settings({}, None, bounds, SHELF)


def test_windows_of_events_are_refused_without_a_normal_label():
    events = {"data": {"window_label": "event"}}
    assert load_settings(events, workload=replace(SHELF, normal="ok")).data.window_label == "event"
    with pytest.raises(UsageError, match=r"data\.window_label: an event is a label other than `normal`"):
        load_settings(events, workload=SHELF)


def test_a_class_weight_for_a_label_that_the_schema_lacks_is_refused():
    (text,) = get_mistakes({"trainer": {"class_weights": {"broken": 2.0}}}, workload=SHELF)

    assert text.startswith("trainer.class_weights.broken: the schema has no label 'broken'")
    assert text.endswith("its labels: ok, misplaced, damaged.")


BOMB = "\n".join(
    [
        "a: &a {x: 1}",
        *(f"{b}: &{b} [{', '.join([f'*{a}'] * 20)}]" for a, b in zip("abcdef", "bcdefg", strict=True)),
    ]
)
UNREADABLE = {
    "an int that is none": ("!!int abc", "a value with the tag !!int"),
    "code": ("!!python/object/apply:os.getpid []", "a value with the tag !!python/object/apply:os.getpid"),
    "an alias of itself": ("&a [*a]", "an alias, *a"),
    "a bomb of aliases": (BOMB, "an alias, *a"),
    "brackets without end": ("[" * 900, "nested more than 20 deep"),
    "a key that is a list": ("{[a]: 1}", "a key that is not a text"),
    "a null byte": ("a\0b", "the character U+0000"),
    "an escape sequence": (r'"\e[2J"', "the character U+001B"),
    "half of a character": (r'"\ud800"', "the character U+D800"),
    "a character beyond the last": (r'"\UFFFFFFFF"', "a character that does not exist"),
    "half of a character, raw": ("\ud800", "the character U+D800"),
    "more than any person writes": ("[" + "1, " * 30_000 + "1]", "more than 32 KiB"),
    "many lines that are keys": ("".join(f"a{i}: 1\n" for i in range(30_000)), "more than 32 KiB"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_yaml_that_no_setting_needs_is_a_mistake_of_its_layer_at_once(text, message, tmp_path):
    profile = tmp_path / "night.yaml"
    profile.write_text(text, encoding="utf-8", errors="surrogatepass")
    started = time.process_time()
    tracemalloc.start()

    *layers, window = get_mistakes({"data": {"window": 0}}, str(profile), [f"seed={text}"])

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [mistake.split()[0] for mistake in layers] == ["--profile", "--set"] and window.startswith("data")
    for mistake in layers:
        assert message in mistake or (text == "\ud800" and "a byte that is not utf-8" in mistake)
        assert len(mistake) < 400
    # Tracing memory takes most of the time; both layers are read.
    assert time.process_time() - started < 10 and peak < 20e6


def test_a_key_that_is_nested_thousands_deep_is_a_mistake():
    (mistake,) = get_mistakes(overrides=[".".join(["a"] * 5000) + "=1"])

    assert mistake.startswith("--set a.a.a.") and "nested 5,000 deep" in mistake and len(mistake) < 400


def test_a_key_stays_the_text_that_was_written():
    weights = load_settings({}, None, ["trainer.class_weights={1e3: 1, true: 2, 2026-10-05: 3, ~: 4, <<: 5}"])

    assert list(weights.trainer.class_weights) == ["1e3", "true", "2026-10-05", "~", "<<"]


@pytest.mark.parametrize("key", ["tr\udcffiner.epochs", "a\x1b[2J.b", "a\0"])
def test_a_key_with_a_forbidden_character_is_a_mistake_that_can_be_printed(key):
    (mistake,) = get_mistakes(overrides=[f"{key}=1"])

    assert "U+" in mistake
    assert mistake.isprintable()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "no readable file"),
        (os.mkfifo, "no readable file"),
        (lambda path: path.symlink_to("/dev/zero"), "no readable file"),
        (lambda path: path.symlink_to(path.name), "no readable file"),
        (lambda path: path.write_bytes(b"a: \xff"), "a byte that is not utf-8"),
        (lambda path: (path.touch(), os.truncate(path, 2**40)), "more than 32 KiB"),
    ],
    ids=["folder", "fifo", "device", "circle", "not UTF-8", "terabyte"],
)
def test_a_file_of_settings_that_cannot_be_read_is_refused_at_once(make, message, tmp_path):
    path = tmp_path / "night.yaml"
    make(path)

    with pytest.raises(UsageError) as caught:
        load_settings({"data": {"window": 0}}, profile=str(path), platform=str(path))

    _, *mistakes = caught.value.found.splitlines()
    assert [line.split()[0] for line in mistakes] == ["--profile", "--settings", "data.window:"]
    assert all(message in line for line in mistakes[:2])


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-that-name/x", ""])
def test_a_name_that_no_file_can_have_is_a_mistake(name):
    (mistake,) = get_mistakes(profile=name)

    assert mistake.startswith("--profile ") and "no readable file" in mistake


@pytest.mark.parametrize(
    "override",
    [
        "beam.flags=[--runner=FlinkRunner, --s3_secret_access_key=hunter2]",
        "beam.flags=[--spark_conf=spark.hadoop.fs.s3a.secret.key=hunter2=]",
        "beam.flags=[--spark_conf=spark.ssl.keyPassword=hunter2]",
        "beam.flags=[--job_endpoint=http://me:hunter2@flink:8099]",
        "beam.flags=[--job_endpoint, http://me:hunter2@flink:8099]",
    ],
)
def test_a_secret_in_a_recorded_setting_is_refused(override):
    (mistake,) = get_mistakes(overrides=[override])

    assert "every run would record" in mistake and "hunter2" not in mistake


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("space.trainer.learning_rat=[1]", "(from --set). Did you mean trainer.learning_rate?"),
        ("space.seed=[1, 2]", "space.seed: only settings of model and trainer can be searched (from --set)"),
        ("space.trainer.learning_rate=[0.1, 5]", "learning_rate: 5 is not a number above 0 to 1 (from"),
        ("space.model.hidden={min: 32.5, max: 64}", "hidden: 32.5 is not a whole number from 8 to 1,024"),
        ("space.model.hidden={min: 64, max: 32}", "nor {min, max} with min below max"),
        ("space.model.hidden={min: 32, mx: 64}", "tune.space.model.hidden.mx: there is no such setting"),
        ("space.model.hidden={min: a, max: 64}", "hidden.min: 'a' is not a number or null"),
        ("space.trainer.crop={min: 0, max: 0.5, log: true}", "log needs a min above 0 and no step"),
        ("space.model.image_size=[64, 96]", "cannot be searched: Transform uses it before the first trial"),
        ("space.model.weights=[none, imagenet]", "none cannot be searched beside weights: the learning rate"),
        ("space.trainer.budget=[5m]", "it cannot be searched: tune.budget limits the time of all trials"),
        ("space.trainer.flip=[{a: 1}]", "{'a': 1} is not true or false, a number or a text"),
        ("space.model.frozen_stages=[3, all]", "a list of values has numbers, texts, or true and false"),
        ("space.trainer.crop={min: 0.1, max: 0.2, step: 0.5}", "step 0.5 is larger than max - min"),
        ("space.trainer.epochs={min: 4, max: 8, step: 0.5}", "it is a whole number, but step is 0.5"),
        ("space=[1]", "[1] is not a mapping"),
        ("max_trials=3", "max_trials is 3, but space has no setting to search"),
        ("budget=5", "tune.budget: 5 is not a text or null"),
    ],
)
def test_a_mistake_in_a_search_is_refused_before_its_first_trial(override, message):
    (mistake,) = get_mistakes(overrides=[f"tune.{override}"])
    assert mistake.startswith("tune") and message in mistake


def test_weights_of_imagenet_are_refused_before_a_run_for_a_backbone_without_them():
    photos = {"model": {"backbone": "efficientnet_lite0", "weights": "imagenet"}}
    (mistake,) = get_mistakes(own=photos, overrides=["model.backbone=compact"])
    assert mistake.startswith("model.backbone: ") and "set model.weights=none" in mistake
    assert load_settings(photos, None, ["model.backbone=compact", "model.weights=none"])


def test_settings_that_several_workers_cannot_use_are_refused_before_they_begin():
    overrides = ["trainer.strategy=multi_worker", "trainer.folds=3", "tune.max_trials=2"]
    folds, search = get_mistakes(overrides=[*overrides, "tune.space.trainer.flip=[true, false]"])
    for mistake, key in ((folds, "trainer.folds"), (search, "tune.max_trials")):
        assert mistake.startswith(f"{key}: ") and "trainer.strategy is multi_worker" in mistake
        assert "(from --set)" in mistake


def test_the_registry_is_in_the_workspace_or_at_a_chosen_uri_or_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).registry.of(Path("workspace")) == f"sqlite:///{tmp_path}/workspace/mlflow.db"
    assert load_settings({}, None, ["registry.enabled=false"]).registry.of(Path("workspace")) is None
    for setting, uri in (
        ("postgresql+psycopg://me@host:5432/db", "postgresql+psycopg://me@host:5432/db"),
        ("https://mlflow.example.com:5000", "https://mlflow.example.com:5000"),
        ("sqlite:///all.db", f"sqlite:///{tmp_path}/all.db"),
    ):
        settings = load_settings({}, None, [f"registry.uri={setting}"])
        assert settings.registry.of(Path("workspace")) == uri
        # The record of a run does not depend on its registry.
        assert settings.recorded() == Settings().recorded()


def test_hyperband_needs_enough_trials_to_train_one_to_the_end():
    search = ["tune.algorithm=hyperband", "tune.space.trainer.flip=[true, false]", "tune.max_trials=16"]
    (mistake,) = get_mistakes(overrides=[*search, "tune.space.trainer.epochs=[4, 8]"])
    assert "remove trainer.epochs from space" in mistake
    (mistake,) = get_mistakes(overrides=[*search, "trainer.epochs=16"])
    assert mistake.startswith("tune.max_trials: 16 is too few for hyperband: it needs 17 trials to train")
    assert load_settings({}, None, [*search, "trainer.epochs=9"]).tune.max_trials == 16


def test_a_space_is_read_nested_or_by_dotted_names_with_its_values_as_the_settings_have_them():
    space = {"trainer.brightness": [0, 0.5], "model": {"hidden": {"min": 32, "max": 64, "step": 16}}}
    tune = load_settings(
        {"tune": {"max_trials": 4, "space": space}}, None, ["tune.space.trainer.brightness=[0]"]
    ).tune
    assert {name: values.ends for name, values in tune.space.items()} == {
        "trainer.brightness": (0.0,),
        "model.hidden": (32, 64),
    }
    assert isinstance(tune.space["trainer.brightness"].choices[0], float)
    assert Settings.model_validate_json(Settings(tune=tune).model_dump_json()).tune == tune


def test_the_search_of_the_documentation_can_be_loaded(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "start" / "search.md").read_text(encoding="utf-8")
    example = page.split("\n    tune:\n")[1].split("\n\n")[0]
    (tmp_path / "tune.yaml").write_text(f"    tune:\n{example}\n", encoding="utf-8")
    tune = load_settings({}, str(tmp_path / "tune.yaml")).tune
    assert (tune.max_trials, len(tune.space)) == (12, 3)


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        ([], 2e-4),
        (["model.backbone=compact", "model.weights=none"], 2e-3),
        (["model.weights=none", "trainer.learning_rate=0.5"], 0.5),
    ],
)
def test_photos_are_trained_with_a_rate_for_the_weights_that_training_begins_with(overrides, rate):
    settings = load_settings(read_kinds()["photos"]["settings"], overrides=overrides)
    assert settings.trainer.learning_rate == rate
