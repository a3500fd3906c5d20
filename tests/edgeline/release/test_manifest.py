import json
from datetime import timedelta

import pytest

from edgeline.errors import EdgelineError
from edgeline.journal import parse_time
from edgeline.release import store
from edgeline.release.layout import render
from edgeline.release.manifest import SCHEMA_VERSION, find_files, identify_model, parse_manifest
from tests.edgeline.release.candidates import make_candidate


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushed")
    return store.push(folder / "push", "shelf", make_candidate(folder / "candidate")).manifest


def test_a_release_expires_as_many_days_after_its_push_as_the_candidate_says(manifest):
    created = parse_time(manifest.created)
    assert parse_time(manifest.expires) == created + timedelta(days=60)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", SCHEMA_VERSION + 1, "found schema_version 3.*Update Edgeline"),
        ("min_reader_version", SCHEMA_VERSION + 1, "min_reader_version 3.*Update Edgeline"),
        ("version", "3", r"Expected `int`, got `str` - at `\$\.version`"),
        ("version", 0, "Expected `int` >= 1"),
        ("created", "yesterday", "Invalid isoformat string: 'yesterday'"),
        ("model_digest", "F" * 64, r"matching regex .*\{64\}.* at `\$\.model_digest`"),
        ("variants", [], "one of the variants"),
        ("colour", "blue", "unknown field `colour`"),
        ("rollback_epoch", -1, "Expected `int` >= 0"),
    ],
)
def test_a_wrong_value_is_refused_with_the_expected_one(manifest, key, value, message):
    document = {**json.loads(render(manifest, "A manifest")), key: value}
    with pytest.raises(EdgelineError, match=message) as caught:
        parse_manifest(json.dumps(document).encode(), "edge/shelf/1/manifest.json")
    assert caught.value.found.startswith("edge/shelf/1/manifest.json")


# The keys of a release that uses none of the later settings.
OF_VERSION_1 = {
    *("schema_version", "min_reader_version", "model", "version", "run", "created", "expires", "files"),
    *("model_digest", "default_variant", "variants", "metrics", "data", "code", "versions"),
}


def test_a_release_that_uses_no_new_setting_is_written_as_before_and_an_old_reader_can_read_it(manifest):
    document = json.loads(render(manifest, "A manifest"))
    assert set(document) == OF_VERSION_1 and document["schema_version"] == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rollback_epoch", 3),
        ("data_statement", "Photos of our own lanes, \u00fc 2026; no people."),
    ],
)
def test_a_setting_is_in_the_manifest_unchanged_and_nothing_beside_it(root, tmp_path, setting, value):
    release = store.push(root, "shelf", make_candidate(tmp_path, **{setting: value}))
    document = json.loads((release.edge / "manifest.json").read_text())
    assert document[setting] == value and document["schema_version"] == 2
    assert set(document) == {*OF_VERSION_1, setting}
    assert store.current(root, "shelf") == release and store.verify(root, "shelf") == []


def test_a_missing_key_is_named(manifest):
    document = json.loads(render(manifest, "A manifest"))
    for key in document:
        rest = {name: value for name, value in document.items() if name != key}
        with pytest.raises(EdgelineError, match=f"missing required field `{key}`"):
            parse_manifest(json.dumps(rest).encode(), "m.json")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "edge/shelf/1/../../x", "edge/shelf/2/labels.txt", "edge/shelf/1//x", "twice"]
)
def test_a_path_outside_the_release_or_listed_twice_is_refused(manifest, path):
    document = json.loads(render(manifest, "A manifest"))
    files = document["files"]
    files[0]["path"] = files[1]["path"] if path == "twice" else path
    message = "the same path twice" if path == "twice" else "not a POSIX path under serving/shelf/1/"
    with pytest.raises(EdgelineError, match=message):
        parse_manifest(json.dumps(document).encode(), "m.json")


def test_the_model_digest_depends_on_content_and_names_but_not_on_the_place(tmp_path):
    one = make_candidate(tmp_path / "one", "same").saved_model
    two = make_candidate(tmp_path / "two", "same").saved_model
    assert identify_model(one) == identify_model(two)
    (two / "variables" / "variables.index").rename(two / "variables.index")
    assert identify_model(one) != identify_model(two)
    assert list(find_files(two)) == ["saved_model.pb", "variables.index"]
