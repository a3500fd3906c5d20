"""The rules of a phone, on the table that the tests of all readers read."""

import json

import pytest

from edgeline.journal import parse_time
from edgeline.records.json_file import convert
from edgeline.release.reader import Refused, Seen, accept_pointer
from tests.clients.make_pointers import POINTERS
from tests.clients.readers import read_current

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
