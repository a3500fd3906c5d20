"""The rules of a phone, on the table that the tests of all readers read."""

import json
import pickle
from datetime import datetime, timezone

import pytest

from edgeline.journal import parse_time
from edgeline.records.json_file import convert
from edgeline.release.layout import PushFolder, hash_bytes
from edgeline.release.manifest import SCHEMA_VERSION, FileEntry
from edgeline.release.pointer import Production
from edgeline.release.reader import (
    Accepted,
    Refused,
    Seen,
    accept_manifest,
    accept_pointer,
    check_file,
    foresee,
)
from tests.clients.make_pointers import POINTERS
from tests.clients.readers import read_current
from tests.edgeline.release.candidates import read_signed

CASES = json.loads(POINTERS.read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_python_does_what_the_table_of_pointers_says(case):
    try:
        raw = read_current(case)
    except FileNotFoundError:
        raw = None
    seen = case["seen"] and convert({**case["seen"], "client": case["client"]}, Seen)
    now = parse_time(case["now"])
    try:
        release = accept_pointer(raw, case["model"], case["keys"], seen, case["client"], now).release
    except Refused as error:
        facts = {name: str(fact) for name, fact in error.facts.items()}
        expected = {name: str(fact) for name, fact in case["expected"].get("facts", {}).items()}
        assert (error.reason, facts) == (case["expected"].get("refused"), expected)
        return
    stays = seen is not None and seen.release.manifest_sha256 == release.manifest_sha256
    assert case["expected"] == {"stays" if stays else "switches": release.version}


@pytest.mark.parametrize(
    ("version", "changes", "refused"),
    [
        (1, {}, None),
        (2, {}, ("swapped", {"file": "2/manifest.json"})),
        (1, {"colour": "blue"}, ("swapped", {"file": "1/manifest.json"})),
        (1, {"min_reader_version": SCHEMA_VERSION + 1}, ("newer", {"version": SCHEMA_VERSION + 1})),
        (
            1,
            {"expires": "2026-10-05T09:15:00Z"},
            ("expired", {"version": 1, "expires": "2026-10-05T09:15:00Z"}),
        ),
        (1, {"rollback_epoch": 1}, ("epoch", {"version": 1, "found": 1, "seen": 2})),
        (1, {"rollback_epoch": 2}, None),
    ],
)
def test_a_manifest_is_of_the_release_readable_valid_and_of_no_lower_epoch(
    root, push, version, changes, refused
):
    push("one")
    pointer, _ = read_signed(root)
    document = json.loads((root / "edge/shelf/1/manifest.json").read_bytes())
    raw = json.dumps({**document, **changes}).encode()
    named = Accepted(
        pointer, "key" if "rollback_epoch" in changes else None, Production(version, hash_bytes(raw))
    )
    seen = Seen("key", pointer, 2, "phone", named.release)
    try:
        manifest = accept_manifest(raw, named, seen, parse_time(document["created"]))
    except Refused as error:
        assert (error.reason, error.facts) == refused
    else:
        assert refused is None and manifest.version == 1


def test_a_manifest_that_is_none_or_of_another_digest_is_refused_as_swapped(root, push):
    push("one")
    pointer, _ = read_signed(root)
    whole = (root / "edge/shelf/1/manifest.json").read_bytes()
    for raw, digest in ((b"{}", hash_bytes(b"{}")), (whole, "0" * 64)):
        with pytest.raises(Refused) as caught:
            named = Accepted(pointer, None, Production(1, digest))
            accept_manifest(raw, named, None, datetime.now(timezone.utc))
        assert (caught.value.reason, caught.value.facts) == ("swapped", {"file": "1/manifest.json"})


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"thr", ("truncated", {"file": "labels.txt", "found": 3, "size": 4})),
        (b"five", ("swapped", {"file": "labels.txt"})),
    ],
)
def test_a_file_that_is_shorter_or_another_is_refused_with_the_facts(content, refused):
    with pytest.raises(Refused) as caught:
        check_file(content, "labels.txt", FileEntry("labels.txt", 4, hash_bytes(b"four")))
    assert (caught.value.reason, caught.value.facts) == refused


def test_a_file_that_is_longer_than_its_manifest_says_is_refused_by_that_name():
    with pytest.raises(Refused) as caught:
        check_file(b"four", "labels.txt", FileEntry("labels.txt", 3, hash_bytes(b"four")))
    assert (caught.value.reason, caught.value.facts) == ("large", {"file": "labels.txt", "most": 3})
    again = pickle.loads(pickle.dumps(caught.value))  # as a pool of processes hands it over
    assert (again.reason, again.facts, again.found) == ("large", caught.value.facts, caught.value.found)


def test_a_folder_in_the_place_of_a_manifest_is_no_reason_to_say_that_all_is_well(root, push):
    push("one")
    manifest = root / "edge/shelf/1/manifest.json"
    manifest.unlink()
    manifest.mkdir()
    outlook = foresee(PushFolder(root), "shelf", (), datetime.now(timezone.utc))
    assert (outlook.does, outlook.reason) == ("refuses", "broken")
