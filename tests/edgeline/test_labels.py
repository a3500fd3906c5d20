import pytest

from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import check_labels, find_fault, format_count, parse_labels, render_labels

# Every character at which str.splitlines breaks a line, beside \n and \r.
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def test_a_label_with_any_kind_of_line_end_is_refused_by_name():
    for end in LINE_ENDS:
        with pytest.raises(UsageError, match="control character U") as caught:
            check_labels(["ok", f"da{end}maged"], "The schema")
        assert end not in caught.value.found


@pytest.mark.parametrize("label", ["\0", "\ud800", "", " ok", "ok\u3000"], ids=ascii)
def test_a_label_that_readers_could_take_for_another_is_refused(label):
    assert find_fault(label)


@pytest.mark.parametrize("label", ["größe 2", "👩‍🔧", "a, b: c", "שלום"])
def test_labels_of_any_language_are_kept_through_labels_txt(label):
    labels = (label, "other")
    assert parse_labels(render_labels(labels), "labels.txt") == labels


@pytest.mark.parametrize(
    "raw", [b"", b"ok\nbad", b"ok\n\nbad\n", b"ok\r\nbad\r\n", b"ok\nok\n", b"\xff\n", b"a\xc2\x85b\n"]
)
def test_a_labels_file_in_another_format_is_damaged(raw):
    with pytest.raises(EdgelineError, match="does not fit the model"):
        parse_labels(raw, "labels.txt")


@pytest.mark.parametrize(
    ("labels", "schema", "outputs"),
    [(("a", "b"), ("b", "a"), 2), (("a", "b"), ("a", "b"), 3), (("a", "b", "c"), ("a", "b"), None)],
    ids=["another order", "another number of outputs", "one more"],
)
def test_labels_have_to_be_those_of_the_schema_and_as_many_as_the_model_has_outputs(labels, schema, outputs):
    with pytest.raises(EdgelineError, match="does not fit the model"):
        parse_labels(render_labels(labels), "labels.txt", outputs, schema)
    assert parse_labels(render_labels(schema), "labels.txt", len(schema), schema) == schema


def test_a_count_of_one_is_singular():
    counts = [(1, "text"), (2, "text"), (1, "class"), (3, "class"), (1_200, "photo"), (0, "row")]
    assert [format_count(number, noun) for number, noun in counts] == [
        *("1 text", "2 texts", "1 class", "3 classes", "1,200 photos", "0 rows")
    ]
