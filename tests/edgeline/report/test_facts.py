import json
from dataclasses import replace

import pytest

from edgeline.records.json_file import decode, encode
from edgeline.records.run import flatten
from edgeline.report.facts import Facts
from tests.edgeline.report.runs import a_failed_run, a_hostile_run, a_run


@pytest.mark.parametrize("facts", [a_run(), a_failed_run(), a_hostile_run()])
def test_facts_come_back_from_json_as_they_were(facts):
    assert decode(encode(facts), Facts) == facts


def test_facts_of_another_version_are_read_as_far_as_they_are_known():
    content = json.loads(encode(a_run()))
    content["weather"] = "rain"
    del content["edge"], content["run"]["resumes"]
    found = decode(json.dumps(content).encode(), Facts)
    assert found == replace(a_run(), edge=None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run": {"id": 1}}', b'{"data": {}}'])
def test_what_is_no_facts_is_refused(content):
    with pytest.raises(ValueError):
        decode(content, Facts)


def test_settings_get_dotted_names():
    nested = {"seed": 20, "trainer": {"epochs": 3, "class_weights": {}}, "a": {"b": {"c": None}}}
    assert flatten(nested) == {
        "seed": "20",
        "trainer.epochs": "3",
        "trainer.class_weights": "{}",
        "a.b.c": "None",
    }
