from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from data.importers.curated_schema import add_labels, build_photo_schema, read_label_domain, widen_schema
from edgeline.errors import UsageError
from edgeline.labels import find_fault
from edgeline.records.verdict import Difference

SHELF = Path(__file__).parents[3] / "schema" / "shelf.pbtxt"
ODD = ("no", "0", "1e3", "äpfel, birnen", 'a "quoted" \\ one', "it's", "两", "#5", "value: x }")


def parse(text):
    return text_format.Parse(text, schema_pb2.Schema())


def map_features(schema):
    return {feature.name: feature for feature in schema.feature}


def test_labels_are_read_as_other_writers_of_the_format_quote_them():
    rewritten = text_format.MessageToString(parse(build_photo_schema(ODD)), as_utf8=False)
    assert "\\303" in rewritten
    assert read_label_domain(rewritten) == ODD


@settings(max_examples=20)
@given(st.lists(st.text(max_size=12).filter(lambda label: not find_fault(label)), max_size=6, unique=True))
def test_any_labels_survive(labels):
    text = build_photo_schema(labels)
    assert list(parse(text).string_domain[0].value) == labels == list(read_label_domain(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (build_photo_schema(("a\nb", "c")), "labels that cannot be used"),
        (build_photo_schema(("a", "b", "a")), "labels that cannot be used"),
        ('feature { name: "label" }', 'string_domain with the name "label"'),
    ],
    ids=["two lines", "twice", "none"],
)
def test_a_schema_without_labels_or_with_some_that_could_not_be_told_apart_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_label_domain(text)


def test_new_labels_go_to_the_end_and_nothing_else_changes():
    text = build_photo_schema(("b", "a")) + "# a note of ours\n"
    more = add_labels(text, ("c }", "ö"))
    assert read_label_domain(more) == ("b", "a", "c }", "ö")
    assert more.replace('\n  value: "c }"\n  value: "ö"', "") == text
    line = text_format.MessageToString(parse(more), as_utf8=True, as_one_line=True)
    assert read_label_domain(add_labels(line, ("d",))) == ("b", "a", "c }", "ö", "d")


def test_the_shelf_has_its_labels_and_its_40_lanes():
    text = SHELF.read_text(encoding="utf-8")
    schema = parse(text)
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    assert domains["label"] == ["ok", "misplaced", "damaged"] == list(read_label_domain(text))
    assert domains["lane_id"] == [f"lane-{number:02d}" for number in range(1, 41)]
    features = map_features(schema)
    assert set(features) == set(map_features(parse(build_photo_schema(("a",)))))
    assert (features["label"].domain, features["lane_id"].domain) == ("label", "lane_id")


def test_bounds_of_whole_numbers_are_widened_to_whole_numbers():
    text = 'feature { name: "a" type: INT int_domain { min: -9223372036854775808 max: 10 } }'
    difference = Difference("a", "range", "", "", True, bounds=(-5.0, 1_234_567_891_234.0))
    domain = map_features(parse(widen_schema(text, difference, "a new site")))["a"].int_domain
    assert (domain.min, domain.max) == (-(2**63), 1_234_567_891_234)


@pytest.mark.parametrize(
    ("text", "difference", "lacks"),
    [
        ('feature { name: "a" }', Difference("b", "range", "", "", True, bounds=(0.0, 1.0)), "feature b"),
        ('feature { name: "a" }', Difference("a", "range", "", "", True, bounds=(0.0, 1.0)), "bounds of a"),
        ('feature { name: "a" }', Difference("a", "values", "", "", True, values=("x",)), "domain of a"),
        ('feature { name: "a" domain: "d" }', Difference("a", "values", "", "", True), "string_domain d"),
    ],
)
def test_a_schema_in_another_form_is_left_to_people(text, difference, lacks):
    with pytest.raises(UsageError, match=f"has no {lacks} that can be widened"):
        widen_schema(text, difference, "a new site")
