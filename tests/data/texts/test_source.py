import csv

import pytest

from data.settings import DataSettings
from data.spans.layout import Span
from data.spans.source import Rejected
from data.texts.source import check, count, digest_text, open_source
from edgeline.errors import DataRefused
from edgeline.records.workload import Workload

WORKLOAD = Workload(
    "text", "", "trainer_module.workloads.texts", "data.texts.source", labels=("negative", "positive")
)


@pytest.fixture
def span(tmp_path):
    (tmp_path / "span-00007").mkdir()
    return Span(7, tmp_path / "span-00007")


def write_csv(span, *rows, header=("text", "label"), name="a.csv"):
    with (span.path / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read(span, **settings):
    return list(open_source(WORKLOAD, DataSettings(**settings)).rows(span))


def read_example(span, row):
    return open_source(WORKLOAD, DataSettings()).example(span, row)


def list_reasons(span, **settings):
    return [item.reason if isinstance(item, Rejected) else "kept" for item in read(span, **settings)]


def test_rows_of_all_files_come_in_the_order_of_their_names_and_lines(span):
    write_csv(span, ("good", "positive"), ("two\nlines", "negative"), ("last", "negative"), name="b.csv")
    lines = '{"label": "positive", "text": "first"}\n\n{"text": "x", "label": "positive"}\n'
    (span.path / "a.jsonl").write_text(lines)
    (span.path / "notes.txt").write_text("not read")
    ids = [item.id for item in read(span)]
    assert ids == ["a.jsonl:1", "a.jsonl:3", "b.csv:2", "b.csv:3", "b.csv:5"]
    assert count(span) == 5


def test_an_example_has_the_text_its_source_and_its_length(span):
    text, header = "Très bien, isn't it? 👍", ("source", "label", "text", "group")
    write_csv(span, ("mail", "positive", text, "anna"), header=header)
    (row,) = read(span)
    assert (row.label, row.group) == ("positive", "anna")
    words = ["très", "bien", "isn't", "it", "?", "👍"]
    expected = {"text": text, "source": "mail", "length": 5, "length_band": "short", "words": words}
    assert read_example(span, row).features == expected


def test_without_source_and_group_the_source_is_unknown_and_the_row_is_a_group_of_its_own(span):
    write_csv(span, ("a", "positive"), ("b", "positive"))
    rows = read(span)
    assert [row.group for row in rows] == ["span-00007/a.csv:2", "span-00007/a.csv:3"]
    assert read_example(span, rows[0]).features["source"] == "unknown"


def test_copies_are_found_whatever_their_case_spacing_and_composition(span):
    texts = ("Café  straße", " cafe\u0301 STRASSE\n", "CAFÉ STRASSE", "cafe strasse")
    write_csv(span, *((text, "positive") for text in texts))
    digests = [read_example(span, row).digest for row in read(span)]
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize("words, band", [(12, "short"), (13, "medium"), (30, "medium"), (31, "long")])
def test_a_texts_band_follows_from_its_words(span, words, band):
    write_csv(span, ("w " * words, "positive"))
    (row,) = read(span)
    features = read_example(span, row).features
    assert (features["length"], features["length_band"]) == (words, band)


def test_each_row_that_cannot_be_trained_on_is_rejected_with_a_reason(span):
    rows = {
        ("", "positive"): "empty",
        (" \n\u200b\ufeff", "positive"): "empty",
        ("a", " "): "unlabelled",
        ("a", "postive"): "unknown-label",
        ("a",): "ragged",
        ("QUOTE", "positive"): "ragged",
        ("a", "positive", "b"): "ragged",
        ("bell \x07", "positive"): "control-character",
        ("NUL", "positive"): "control-character",
        ("x" * 101, "positive"): "oversized",
        ("long " * 200_000, "positive"): "oversized",
        ("x" * 100, "positive"): "kept",
        ("مرحبا بالعالم 👨‍👩‍👧 ❤️", "positive"): "kept",
        ("tab\tand\r\nnewline", "positive"): "kept",
    }
    write_csv(span, *rows)
    file = span.path / "a.csv"
    file.write_bytes(file.read_bytes().replace(b"NUL", b"\0").replace(b"QUOTE", b'"a" b'))
    assert list_reasons(span, max_characters=100) == list(rows.values())


def test_marks_that_were_decoded_twice_are_what_they_were_and_else_blanks(span):
    texts = {
        "don\u2019t": "don\u2019t",
        "don\xe2\x80\x99t stop\xe2\x80\xa6": "don\u2019t stop\u2026",
        "\x93Caf\xc3\xa9\x94 for \x805": "\u201cCafé\u201d for \u20ac5",
        "\xc2\x93so\xc2\x94": "\u201cso\u201d",
        "smile \xf0\x9f\x98\x80": "smile \U0001f600",
        "over\xe0\x80\x99long, none\x81here": "over\xe0\u20ac\u2122long, none here",
        "Ã©tat, as it is without a mark that shows it": "Ã©tat, as it is without a mark that shows it",
    }
    write_csv(span, *((text, "positive") for text in texts))
    examples = [read_example(span, row) for row in read(span)]
    assert [example.features["text"] for example in examples] == [*texts.values()]
    assert read_example(span, read(span)[0]).digest == digest_text("DON\xe2\x80\x99T")


def test_a_rejected_row_is_shown_as_it_came_with_the_nearest_label_and_a_long_text_cut(span):
    write_csv(span, ("nice " * 100, "postive"))
    (rejected,) = read(span)
    assert rejected.id == "a.csv:2"
    assert "nearest known label is 'positive'" in rejected.detail
    assert rejected.text == ("nice " * 100)[:300]
    shown = open_source(WORKLOAD, DataSettings()).show({"text": ["é".encode() * 400]})
    assert len(shown) == 300 and shown.startswith("éé")


def test_broken_lines_of_json_cost_themselves_alone(span):
    lines = [
        '{"text": "a", "label": "positive"}',
        '{"text": "a", "label": ',
        '["a", "positive"]',
        '{"text": 5.5, "label": "positive"}',
        '{"text": "\\ud83d", "label": "positive"}',
        '{"text": "a", "label": null}',
        '{"label": "positive"}',
        "[" * 100_000,
        '{"text": "b", "label": "positive", "source": null}',
    ]
    (span.path / "a.jsonl").write_text("\n".join(lines))
    assert list_reasons(span) == [
        *("kept", "broken-line", "broken-line", "broken-line", "control-character", "unlabelled", "empty"),
        *("broken-line", "kept"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,lable\na,positive\n", "has no column label; found: text, lable"),
        ("a.csv", b"text,label,text\n", "has the column 'text' twice"),
        ("a.csv", b"text,label\n\xef,positive\n", r"line 2 is not UTF-8 \(byte 1 .* 0xef\)"),
        ("a.jsonl", b"\n \n", "is empty"),
        ("a.jsonl", b'{"txt": "a", "label": "positive"}', "has no column text"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_it_is_ingested(span, name, content, message):
    (span.path / name).write_bytes(content)
    for read_span in (lambda: check(span, WORKLOAD), lambda: read(span), lambda: count(span)):
        with pytest.raises(DataRefused, match=message) as caught:
            read_span()
        assert caught.value.spans == ("span-00007",)


def test_a_span_without_texts_is_refused(span):
    (span.path / "labels.txt").write_text("")
    with pytest.raises(DataRefused, match=r"has no \.csv or \.jsonl file"):
        check(span, WORKLOAD)
    (span.path / "a.csv").mkdir()
    with pytest.raises(DataRefused, match="it is not a file"):
        check(span, WORKLOAD)


def test_the_text_of_an_example_is_read_again_as_it_was_typed(span):
    write_csv(span, ("cafe\u0301 ", "positive"), ("other", "negative"), ("", "negative"))
    (kept, _, _) = read(span)
    assert read_example(span, kept).features["text"] == "caf\u00e9 "
    source = open_source(WORKLOAD, DataSettings())
    assert dict(source.originals(span, [kept.id])) == {kept.id: "cafe\u0301 "}
