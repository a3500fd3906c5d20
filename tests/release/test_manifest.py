import json
from datetime import timedelta

import pytest

from errors import EdgelineError
from release import store
from release.documents import parse_time
from release.manifest import SCHEMA_VERSION, files_below, model_digest, parse_manifest
from tests.release.candidates import make_candidate


@pytest.fixture
def manifest(root, candidate):
    return store.push(root, "shelf", candidate).manifest


def test_a_manifest_survives_writing_and_reading(manifest):
    assert parse_manifest(manifest.render(), "m.json") == manifest


def test_a_release_expires_when_it_says(manifest):
    created = parse_time(manifest.created)
    assert not manifest.expired(created + timedelta(days=60) - timedelta(seconds=1))
    assert manifest.expired(created + timedelta(days=60))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", SCHEMA_VERSION + 1, "found schema_version 2.*Update Edgeline"),
        ("min_reader_version", SCHEMA_VERSION + 1, "found min_reader_version 2.*Update Edgeline"),
        ("version", "3", r"found 'version' = '3' \(str\)\. Expected type int"),
        ("version", True, "Expected type int"),
        ("version", 0, "integer of at least 1"),
        ("created", "yesterday", "Expected a UTC time"),
        ("model_digest", "F" * 64, "64 hexadecimal digits"),
        ("files", {}, "Expected type list"),
        ("files", [7], "a mapping with path, size and sha256"),
        ("variants", [], "one of the variants"),
        ("variants", ["fp16"], "a mapping for each variant"),
        ("metrics", None, "Expected type dict"),
        ("colour", "blue", "unknown keys colour"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_found_and_expected(manifest, key, value, message):
    document = {**json.loads(manifest.render()), key: value}
    with pytest.raises(EdgelineError, match=message) as caught:
        parse_manifest(json.dumps(document).encode(), "edge/shelf/1/manifest.json")
    assert caught.value.found.startswith("edge/shelf/1/manifest.json")


def test_a_missing_key_is_named(manifest):
    document = json.loads(manifest.render())
    for key in document:
        rest = {name: value for name, value in document.items() if name != key}
        with pytest.raises(EdgelineError, match=f"found no '{key}'"):
            parse_manifest(json.dumps(rest).encode(), "m.json")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "edge/shelf/1/../../x",
        "edge/shelf/2/labels.txt",
        "edge/other/1/labels.txt",
        "edge/shelf/1//x",
    ],
)
def test_a_path_outside_the_release_is_refused(manifest, path):
    document = json.loads(manifest.render())
    document["files"][0]["path"] = path
    with pytest.raises(EdgelineError, match="Expected a POSIX path under serving/shelf/1/"):
        parse_manifest(json.dumps(document).encode(), "m.json")


def test_a_path_listed_twice_is_refused(manifest):
    document = json.loads(manifest.render())
    document["files"].append(document["files"][0])
    with pytest.raises(EdgelineError, match="the same path twice"):
        parse_manifest(json.dumps(document).encode(), "m.json")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_json_object_is_refused(raw):
    with pytest.raises(EdgelineError, match="Expected a JSON object"):
        parse_manifest(raw, "m.json")


def test_the_model_digest_knows_content_and_names_but_not_place(tmp_path):
    one = make_candidate(tmp_path / "one", "same").saved_model
    two = make_candidate(tmp_path / "two", "same").saved_model
    assert model_digest(one) == model_digest(two)
    (two / "variables" / "variables.index").rename(two / "variables.index")
    assert model_digest(one) != model_digest(two)
    assert list(files_below(two)) == ["saved_model.pb", "variables.index"]
