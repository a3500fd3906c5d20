import os

import pytest

from edgeline.errors import UsageError
from pipeline.settings import load_settings
from pipeline.workloads import BUILT_IN, find_workload, with_features
from runners.cli.main import main
from tests.data.importers.named import import_table

SCHEMA = """
feature { name: "label" type: BYTES domain: "labels" }
string_domain { name: "labels" value: "whole" value: "broken" value: "no" }
"""


def write_workload(folder, text, schema=SCHEMA):
    (folder / "photos.pbtxt").write_text(schema, encoding="utf-8")
    path = folder / "workload.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_settings_of_each_built_in_workload_are_right(name):
    workload = find_workload(name)
    settings = load_settings(workload.settings, workload=with_features(workload))

    assert settings.evaluation.bounds


def test_a_workload_of_ones_own_is_read_from_its_file(tmp_path):
    path = write_workload(
        tmp_path,
        "name: bottles\nschema: photos.pbtxt\nmodule: trainer_module.workloads.photos\n"
        "settings: {trainer: {class_weights: {no: 3.0}}}\n",
    )

    workload = find_workload(path)

    assert (workload.name, workload.module) == ("bottles", "trainer_module.workloads.photos")
    assert workload.schema == str(tmp_path / "photos.pbtxt")
    assert with_features(workload).labels == ("whole", "broken", "no")
    settings = load_settings(workload.settings, workload=with_features(workload))
    assert settings.trainer.class_weights == {"no": 3.0}


def test_an_unknown_name_comes_with_the_nearest_known_one():
    with pytest.raises(UsageError, match=r"no workload 'shelff'.*Did you mean shelf\?"):
        find_workload("shelff")


def test_every_mistake_of_a_workload_file_is_in_the_one_error(tmp_path):
    text = "name: My Bottles\nshema: photos.pbtxt\nmodule: 3\nsettings: [1]\nslices: {span: shop}\n"
    text += "kind: table\nrules: [{rule: a < b < c, severity: warn}, {rule: a is b, severity: warn}]\n"
    path = write_workload(tmp_path, text)

    with pytest.raises(UsageError) as caught:
        find_workload(path)

    mistakes = ("name: 'My Bottles'", "schema: missing", "shema: not one of", "module: 3", "settings: [1]")
    for key in (*mistakes, "slices.span: every workload has", "rules[1], 'a is b': it has none of the forms"):
        assert key in caught.value.found


def test_a_file_of_hundreds_of_columns_as_an_import_writes_it_is_read(tmp_path):
    columns = "".join(
        f"  Messwert {n:03}: {{name: Messwert {n:03}, form: number with decimal comma}}\n" for n in range(600)
    )
    (tmp_path / "w.yaml").write_text(f"name: t\nschema: s.pbtxt\nkind: table\ncolumns:\n{columns}")
    assert len(find_workload(str(tmp_path / "w.yaml")).columns) == 600


@pytest.mark.parametrize("name", ["~nobody-of-that-name", "~nobody-of-that-name/a.yaml", "a" * 5000])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(UsageError):
        find_workload(name)


@pytest.mark.parametrize("text", ["name: [", "", "- 1\n", "a: &a [*a]"])
def test_a_file_that_is_no_workload_is_refused(tmp_path, text):
    with pytest.raises(UsageError):
        find_workload(write_workload(tmp_path, text))


def test_a_missing_file_says_how_one_is_made_and_a_pipe_is_not_waited_for(tmp_path):
    with pytest.raises(UsageError, match="edgeline data import"):
        find_workload(str(tmp_path / "workload.yaml"))
    os.mkfifo(tmp_path / "workload.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        find_workload(str(tmp_path / "workload.yaml"))


ONE_LABEL = 'feature { name: "label" domain: "labels" } string_domain { name: "labels" value: "one" }'


@pytest.mark.parametrize("schema", ["not a schema", "", ONE_LABEL])
def test_a_schema_without_two_labels_is_refused(tmp_path, schema):
    path = write_workload(tmp_path, "name: a\nschema: photos.pbtxt\nmodule: m\n", schema)

    with pytest.raises(UsageError):
        with_features(find_workload(path))


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (("ok", "bad", "ok"), "'ok': it occurs 2 times"),
        (("ok", "bad\u2028worse"), "control character U+2028"),
    ],
)
def test_labels_that_phones_could_not_tell_apart_are_refused_before_anything_runs(
    tmp_path, capsys, labels, fault
):
    values = " ".join(f'value: "{label}"' for label in labels)
    schema = f'feature {{ name: "label" domain: "labels" }} string_domain {{ name: "labels" {values} }}'
    path = write_workload(tmp_path, "name: a\nschema: photos.pbtxt\nmodule: m\n", schema)
    assert main(["run", "--workload", path, "--workspace", str(tmp_path / "workspace")]) == 2
    error = capsys.readouterr().err
    assert fault in error and "photos.pbtxt has labels that cannot be used" in error
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize("feature_type", ["INT int_domain { is_categorical: true }", "FLOAT"])
def test_a_limit_of_drift_that_no_number_reaches_is_refused(tmp_path, feature_type):
    """TFDV measures an infinity_norm of 0 between any numbers."""
    limit = "drift_comparator { infinity_norm { threshold: 0.1 } }"
    text = "name: a\nschema: photos.pbtxt\n"
    schema = f'{SCHEMA} feature {{ name: "gear" type: {feature_type} {limit} }}'
    with pytest.raises(UsageError, match="infinity_norm for gear"):
        with_features(find_workload(write_workload(tmp_path, text, schema)))
    schema = schema.replace("infinity_norm", "jensen_shannon_divergence")
    assert with_features(find_workload(write_workload(tmp_path, text, schema))).labels


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("normal: fine", "normal label 'fine', which is not in"),
        ("slices: {shop: shop_ic}", "slices by 'shop_ic', which"),
    ],
)
def test_a_normal_label_or_a_slice_that_the_schema_lacks_is_refused_before_a_run(
    tmp_path, capsys, line, message
):
    schema = f'{SCHEMA} feature {{ name: "shop_id" type: BYTES }}'
    path = write_workload(tmp_path, f"name: a\nschema: photos.pbtxt\n{line}\n", schema)
    assert main(["run", "--workload", path, "--workspace", str(tmp_path / "workspace")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "workspace").exists()
    right = f"name: a\nschema: photos.pbtxt\n{line.replace('fine', 'whole').replace('_ic', '_id')}\n"
    assert with_features(find_workload(write_workload(tmp_path, right, schema)))


def test_a_missing_schema_is_refused(tmp_path):
    path = write_workload(tmp_path, "name: a\nschema: other.pbtxt\nmodule: m\n")

    with pytest.raises(UsageError, match=r"other\.pbtxt cannot be read"):
        with_features(find_workload(path))


def resolve(workload):
    return load_settings(with_features(workload).settings).recorded()


def load_handwritten(folder, kind, settings="{}"):
    text = f"name: mine\nkind: {kind}\nschema: photos.pbtxt\nsettings: {settings}\n"
    return find_workload(write_workload(folder, text))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("{name: since, form: roman}", "roman, year-month-day: not one of number"),
        ("{name: since, part: weekday}", "weekday is not a part of a number"),
        ("{form: number}", "name"),
        ("{name: at, form: iso, parts: weekday}", r"columns\.x\.parts: not one of name, form, part"),
    ],
)
def test_a_column_that_cannot_be_read_is_refused_before_a_run(tmp_path, column, message):
    path = write_workload(tmp_path, f"name: a\nschema: photos.pbtxt\nkind: table\ncolumns: {{x: {column}}}\n")
    with pytest.raises(UsageError, match=message):
        find_workload(path)


@pytest.mark.parametrize(("kind", "text"), [("table", ""), ("text", "body")])
def test_a_file_written_by_hand_has_the_settings_of_an_imported_one(tmp_path, kind, text):
    cells = [f"{'some more words' * (n % 3)},{n % 7},{'ab'[n % 2]}" for n in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["body,number,label", *cells]), encoding="utf-8")
    import_table(tmp_path / "rows.csv", tmp_path / "data", "label", text=text)
    imported = resolve(find_workload(str(tmp_path / "data" / "workload.yaml")))
    written = resolve(load_handwritten(tmp_path, kind))
    for group in ("data", "model", "trainer", "edge"):
        assert written[group] == imported[group]


@pytest.mark.parametrize("name", ["text", "sensor"])
def test_a_file_written_by_hand_has_the_settings_of_the_built_in_one_of_its_kind(tmp_path, name):
    written, built_in = resolve(load_handwritten(tmp_path, name)), resolve(find_workload(name))
    built_in["trainer"]["class_weights"] = {}
    for group in ("data", "model", "trainer", "edge"):
        assert written[group] == built_in[group]


def test_a_workload_overrides_its_kind_and_set_overrides_both(tmp_path):
    settings = "{trainer: {epochs: 3, batch_size: 8}, edge: {variants: [fp16]}}"
    workload = load_handwritten(tmp_path, "table", settings)
    trainer = load_settings(workload.settings, overrides=["trainer.batch_size=4"]).trainer
    assert (trainer.learning_rate, trainer.epochs, trainer.batch_size) == (0.003, 3, 4)
    # The kind's limits, which could make these epochs fewer, do not apply.
    assert trainer.max_steps is None and trainer.max_steps_a_group is None
    assert load_settings(workload.settings).edge.variants == ("fp16",)
