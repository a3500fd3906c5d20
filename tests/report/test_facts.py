import json
from dataclasses import replace

import pytest

from report.facts import Facts, by_dotted_name
from tests.report.runs import a_failed_run, a_hostile_run, a_run


@pytest.mark.parametrize("facts", [a_run(), a_failed_run(), a_hostile_run()])
def test_facts_come_back_from_json_as_they_were(facts):
    assert Facts.from_json(facts.to_json()) == facts


def test_facts_of_another_version_are_read_as_far_as_they_are_known():
    content = json.loads(a_run().to_json())
    content["weather"] = "rain"
    del content["edge"], content["about"]["resumes"]
    found = Facts.from_json(json.dumps(content).encode())
    assert found == replace(a_run(), edge=None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"about": {"run": 1}}', b'{"data": {}}'])
def test_what_is_no_facts_is_refused(content):
    with pytest.raises(ValueError):
        Facts.from_json(content)


def test_settings_get_dotted_names():
    nested = {"seed": 20, "trainer": {"epochs": 3, "class_weights": {}}, "a": {"b": {"c": None}}}
    assert by_dotted_name(nested) == {
        "seed": "20",
        "trainer.epochs": "3",
        "trainer.class_weights": "{}",
        "a.b.c": "None",
    }
