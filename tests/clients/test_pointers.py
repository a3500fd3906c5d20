"""The table of what a phone does, which the tests of all readers read."""

import json
import re
from pathlib import Path

from tests.clients.make_pointers import POINTERS, make_pointers

ROOT = Path(__file__).parents[2]
REFUSALS = ROOT / "edgeline/release/refusals.json"
# A reason that a sample throws, in Kotlin, Swift and C++.
_THROWN = re.compile(r'(?:Refused\(|refuse\(|return |\? |: )"([a-z]+)"')


def test_the_table_is_what_its_script_makes():
    assert POINTERS.read_text() == make_pointers()


def test_each_case_has_a_name_of_its_own_and_the_facts_that_the_words_of_its_reason_take():
    cases = json.loads(POINTERS.read_text())
    assert len({case["name"] for case in cases}) == len(cases)
    words = json.loads(REFUSALS.read_text())
    refused = [case["expected"] for case in cases if "refused" in case["expected"]]
    for each in refused:
        for sentence in words[each["refused"]].values():
            assert set(re.findall(r"{(\w+)}", sentence)) == set(each["facts"]), each
    assert {each["refused"] for each in refused} == {
        *("missing", "large", "pointer", "signature", "other", "clock", "stale"),
        *("replayed", "lower", "earlier"),
    }
