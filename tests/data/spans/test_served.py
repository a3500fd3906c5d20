"""served.csv of a span: each row is an answer or is named, and nothing in it stops a run."""

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.settings import DataSettings
from data.spans.corrections import Correction, add_corrections
from data.spans.layout import Span
from data.spans.served import COLUMNS, count_answers, read_served
from edgeline.records.served import Answer, count_served
from pipeline.workloads import find_workload, with_features

HEADER = ",".join(COLUMNS)
GOOD = "a.jpg,3,int8,ok,0.91,1970-01-02T00:00:00Z,d1,random"
ANSWER = Answer("span-00007/a.jpg", 3, "int8", "ok", 0.91, 86400.0, "d1", "random")


def read(folder, content):
    span = Span(7, folder / "span-00007")
    span.path.mkdir(exist_ok=True)
    (span.path / "served.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_served(span))


def test_a_row_is_an_answer_whatever_the_order_of_the_columns(tmp_path):
    assert read(tmp_path, f"{HEADER}\n{GOOD}\n") == [ANSWER]
    header, row = (",".join(reversed(text.split(","))) for text in (HEADER, GOOD))
    assert read(tmp_path, f"{header},more\n{row},x\n") == [ANSWER]


@pytest.mark.parametrize(("separator", "score"), [(";", "0,91"), ("\t", "0.91")])
def test_a_spreadsheet_may_have_saved_the_file(tmp_path, separator, score):
    rows = [HEADER.replace(",", separator), GOOD.replace(",", separator).replace("0.91", score)]
    assert read(tmp_path, "\ufeff" + "\r\n".join(["sep=" + separator, *rows, ""])) == [ANSWER]


def test_an_answer_that_was_not_checked_names_no_example(tmp_path):
    (answer,) = read(tmp_path, f"{HEADER}\n,3,int8,ok,1,1970-01-02,d1,\n")
    assert (answer.example, answer.chosen, answer.score) == ("", "", 1.0)


def test_answers_with_a_day_as_their_time_are_no_repeats_of_each_other(tmp_path):
    by_day, exact = ",3,int8,ok,1,1970-01-02,d1,\n", ",3,int8,ok,1,1970-01-02T06:00:00Z,d1,\n"
    served = count_served(read(tmp_path, f"{HEADER}\n{by_day * 3}{exact * 3}"), {})
    assert (served.versions[0].total.answers, served.repeated) == (4, 2)
    again = [*read(tmp_path, f"{HEADER}\n{by_day * 3}"), *read(tmp_path, f"{HEADER}\n{by_day * 2}")]
    assert count_served(again, {}).repeated == 2


def test_answers_are_counted_by_the_labels_of_the_spans_and_by_what_people_corrected(tmp_path):
    workload, settings = with_features(find_workload("shelf")), DataSettings()
    rows = [LabelRow(f"{n}.jpg", "ok", "lane-01", f"s{n}", "2026-10-05T09:12:33Z") for n in range(4)]
    span = write_span(tmp_path, [(row, b"not decoded") for row in rows])
    assert list(read_served(span)) == [] and count_answers(tmp_path, workload, settings) is None

    answers = [f"{n}.jpg,3,int8,ok,0.9,2026-10-05T09:12:33Z,d{n},random" for n in range(5)]
    (span.path / "served.csv").write_text("\n".join([HEADER, *answers, ",3,int8,ok,1,1970-01-02,d1,"]) + "\n")
    add_corrections(span, [Correction("0.jpg", "ok", "damaged", "2026-10-06T09:12:33Z", "me", "a dent")])
    (version,) = count_answers(tmp_path, workload, settings).versions
    # The photo of the fifth is not there, so it was not checked.
    total = version.total
    assert (total.answers, total.checked.examples, total.checked.share) == (6, 4, 0.75)
    assert {name: item.answers for name, item in version.slices["class"].items()} == {"damaged": 1, "ok": 3}

    later = write_span(tmp_path, [(row, b"not decoded") for row in rows])
    others = [answer.replace("09:12:33", "10:12:33") for answer in answers]
    (later.path / "served.csv").write_text("\n".join([HEADER, *others]) + "\n")
    (both,) = count_answers(tmp_path, workload, settings).versions
    until = DataSettings(until=span.name)
    assert both.total.answers == 11 and count_answers(tmp_path, workload, until).versions == (version,)


def test_a_version_is_a_whole_number_also_as_pandas_writes_it(tmp_path):
    rows = [GOOD.replace(",3,", f",{version},") for version in ("3.0", "3", "3.5")]
    *good, bad = read(tmp_path, "\n".join((HEADER, *rows)))
    assert good == [ANSWER, ANSWER] and "version is '3.5', not a version" in bad


@pytest.mark.parametrize("label", ["می\u200cخورد", "crème\u00a0brûlée"])
def test_a_label_and_a_photo_may_have_any_character_that_a_label_may_have(tmp_path, label):
    photo = "Screenshot 9.00\u202fAM.jpg"
    row = GOOD.replace("ok", label).replace("a.jpg", photo)
    (answer,) = read(tmp_path, f"{HEADER}\n{row}\n")
    assert (answer.said, answer.example) == (label, f"span-00007/{photo}")


@pytest.mark.parametrize(
    ("column", "cell", "fault"),
    [
        ("version", "0", "version is '0', not a version"),
        ("version", "9" * 30, "not a version"),
        ("score", "nan", "score is 'nan', not a probability"),
        ("captured_at", "2026-13-01", "is a time that does not exist"),
        ("device", "", "device is empty"),
        ("device", "d\x1b[31m", "device is longer than 200 characters, or no plain text"),
        ("said", "x" * 201, "said is longer than 200 characters"),
        ("chosen", "maybe", "chosen is 'maybe', not random, person or empty"),
    ],
)
def test_a_row_that_is_no_answer_is_named_and_the_others_count(tmp_path, column, cell, fault):
    bad = ",".join(
        cell if name == column else good for name, good in zip(COLUMNS, GOOD.split(","), strict=True)
    )
    first, message, last = read(tmp_path, f"{HEADER}\n{GOOD}\n{bad}\n{GOOD}\n")
    assert first == last == ANSWER
    assert message.startswith("span-00007/served.csv:3: ") and fault in message


@pytest.mark.parametrize(
    ("content", "answers", "fault"),
    [
        ("", 0, None),
        ("example,version\na.jpg,3\n", 0, "does not have the column variant, said, score"),
        (f"{HEADER}\n{GOOD}\nhalf,a\n{GOOD}\n", 2, "served.csv:3 does not have 8 cells"),
        (f'{HEADER}\n{GOOD}\n"open,{GOOD}\n{GOOD}\n', 2, "served.csv:3 is not CSV"),
        (f"{HEADER}\n{GOOD}\n{GOOD.replace('d1', chr(34) + 'd1')}\n{GOOD}\n", 2, "served.csv:3 is not CSV"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), 0, "served.csv is not UTF-8"),
        (f"{HEADER}\n{GOOD}\n".encode() + b"\xff\xfe\x00", 1, "served.csv:3 is not UTF-8"),
        (f"{HEADER}\n{GOOD}\n{GOOD.replace('ok', 'ét')}\n{GOOD}\n".encode("latin-1"), 2, ":3 is not UTF-8"),
    ],
)
def test_a_broken_file_costs_only_the_rows_that_cannot_be_read(tmp_path, content, answers, fault):
    rows = read(tmp_path, content)
    assert rows.count(ANSWER) == answers
    faults = [row for row in rows if isinstance(row, str)]
    assert len(faults) == (fault is not None) and all(fault in text for text in faults)
