import csv
import gzip
import json

import pytest

from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.source import Rejected
from data.texts.source import open_source
from edgeline.errors import DataRefused, UsageError
from pipeline.workloads import find_workload, with_features
from tests.data.importers.named import import_table

TEXTS = [
    ("r1", "I liked it; much\nand more", "good", "anna"),
    ("r2", "Nie wieder, äußerst schlecht", "bad", "ben"),
    ("r3", "", "bad", "ben"),
    ("r4", "fine", "", "anna"),
    ("r5", "fine", "good", "carl"),
]
HEADER = ("id", "review", "stars", "author")


def write(path, texts=TEXTS, separator=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([HEADER, *texts])
    return path


def write_lines(path, lines):
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def read(data_dir):
    workload = with_features(find_workload(str(data_dir / "workload.yaml")))
    (span,) = find_spans(data_dir)
    source = open_source(workload, DataSettings())
    items = list(source.rows(span))
    return workload, items, [source.example(span, row).features for row in items if hasattr(row, "content")]


def test_texts_of_any_columns_are_a_span_and_a_workload_whose_source_reads_them(tmp_path):
    src = write(tmp_path / "a.csv", separator=";")
    report = import_table(src, tmp_path / "data", "stars", "author", text="review")
    workload, items, features = read(tmp_path / "data")
    span = tmp_path / "data" / "span-00001"
    assert report.sentences() == [
        f"{span} holds 4 texts of {tmp_path / 'a.csv'}, with 2 labels: bad, good.",
        "Left out because stars is missing: 1 (a.csv:6).",
        f"{tmp_path / 'data/table.yaml'} says how each column is read, and why; later weeks are read by it.",
        "Warning: Texts that a run will quarantine for their cells: 1 of 4. The text is empty (a.csv:5).",
    ]
    assert workload.module == "trainer_module.workloads.texts"
    assert (workload.labels, workload.reads) == (("bad", "good"), ("text",))
    assert [item.reason for item in items if isinstance(item, Rejected)] == ["empty"]
    assert [item.group for item in items if not isinstance(item, Rejected)] == ["anna", "ben", "carl"]
    assert [text["text"] for text in features] == [TEXTS[0][1], TEXTS[1][1], "fine"]
    assert [text["source"] for text in features] == ["anna", "ben", "carl"]


def test_without_a_group_a_text_stands_for_itself(tmp_path):
    import_table(write(tmp_path / "a.csv"), tmp_path / "data", "stars", text="review")
    _, items, features = read(tmp_path / "data")
    assert len({item.group for item in items if not isinstance(item, Rejected)}) == 3
    assert {text["source"] for text in features} == {"unknown"}
    # Groups of many values are no sources.
    texts = [(f"r{n}", f"text {n}", ("good", "bad")[n % 2], f"author {n}") for n in range(60)]
    import_table(write(tmp_path / "b.csv", texts), tmp_path / "many", "stars", "author", text="review")
    _, items, features = read(tmp_path / "many")
    assert len({item.group for item in items}) == 60
    assert {text["source"] for text in features} == {"unknown"}


def test_json_lines_are_texts_too_and_a_broken_line_of_many_is_named(tmp_path):
    more = {"meta": {"a": [1]}, "more": 1.5}
    lines = [json.dumps({**more, "review": f"text {n}\n", "stars": n % 3}) for n in range(200)]
    lines[0] = '{"review": "no stars"}'
    lines[6] = '{"review": "text"'
    lines[7] = '{"review": "half a smile: \\ud83d", "stars": 1}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    report = import_table(tmp_path / "a.jsonl", tmp_path / "data", "stars", text="review")
    _, items, features = read(tmp_path / "data")
    assert features[5]["text"] == "half a smile: ?"
    assert report.labels == ("0", "1", "2") and report.rows == len(items) == 198
    assert report.sentences()[2].startswith("Not imported: a.jsonl:7: The line is not JSON")


@pytest.mark.parametrize(("values", "labels"), [((True, False), ("False", "True")), ((1.0, 2), ("1", "2"))])
def test_labels_of_json_lines_are_whole_numbers_and_yes_or_no_too(tmp_path, values, labels):
    lines = [{"text": f"text {n}", "label": values[n % 2]} for n in range(60)]
    src = write_lines(tmp_path / "a.jsonl", lines)
    assert import_table(src, tmp_path / "data", "label", text="text").labels == labels
    # A span of JSON lines has the same labels.
    (tmp_path / "data/span-00001/texts.csv").unlink()
    src.rename(tmp_path / "data/span-00001/texts.jsonl")
    assert {item.label for item in read(tmp_path / "data")[1]} == {*labels}


def test_other_values_of_json_lines_are_refused_as_such(tmp_path):
    src = write_lines(tmp_path / "a.jsonl", [{"review": f"text {n}", "stars": 4.5} for n in range(60)])
    with pytest.raises(DataRefused, match="stars is neither a text nor a whole number") as caught:
        import_table(src, tmp_path / "data", "stars", text="review")
    assert caught.value.do.startswith("Correct them; write fractions, lists and objects as texts.")


def test_a_table_of_nothing_but_texts_is_refused(tmp_path):
    texts = [(f"r{n}", f"a text of many words, {n} " * 4, ("good", "bad")[n % 2], "x") for n in range(60)]
    with pytest.raises(DataRefused, match="name a column of texts with --text review"):
        import_table(write(tmp_path / "a.csv", texts), tmp_path / "data", "stars")
    assert not (tmp_path / "data").exists()


def test_json_lines_without_a_column_of_texts_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"age": 3.5, "stars": 1}')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name in ("a.jsonl", "b.jsonl.gz"):
        with pytest.raises(UsageError, match="no column of texts is named"):
            import_table(tmp_path / name, tmp_path / "data", "stars")


def test_the_author_of_earlier_weeks_is_the_group_of_later_ones_unless_another_column_is_named(tmp_path):
    import_table(write(tmp_path / "a.csv"), tmp_path / "w", "stars", "author", text="review")
    week = [("r6", "new words", "good", "dora"), ("r7", "other ones", "bad", "emil")]
    import_table(write(tmp_path / "b.csv", week), tmp_path / "w", "stars", text="review")
    source = open_source(with_features(find_workload(str(tmp_path / "w/workload.yaml"))), DataSettings())
    assert {row.group for row in source.rows(find_spans(tmp_path / "w")[1])} == {"dora", "emil"}
    renamed = write(tmp_path / "c.csv", [("r8", "good words", "good", "fay")])
    renamed.write_text(renamed.read_text().replace("author", "writer"))
    with pytest.raises(UsageError, match=r"c\.csv has no column author, which earlier spans have"):
        import_table(renamed, tmp_path / "w", "stars", text="review")
    assert import_table(renamed, tmp_path / "w", "stars", "writer", text="review").rows == 1


def test_texts_are_added_to_spans_of_ones_own_tools_and_those_in_json_lines_are_known(tmp_path):
    data_dir = tmp_path / "data"
    for number in (1, 2):
        (data_dir / f"span-{number:05}").mkdir(parents=True)
    (data_dir / "span-00001" / "texts.tfrecord.gz").write_text("no import writes such a file")
    lines = [{"text": text, "label": label} for _, text, label, _ in TEXTS[:2]]
    lines.append({"text": "so so", "label": 5})
    write_lines(data_dir / "span-00002" / "texts.jsonl", lines)
    src = write(tmp_path / "a.csv", [*TEXTS, ("r6", "so so", "5.0", "dora"), ("r7", "well", "5.0", "dora")])
    report = import_table(src, data_dir, "stars", text="review")
    assert (report.known, report.rows, report.labels) == (3, 3, ("5", "bad", "good"))
    assert (data_dir / "span-00003" / "texts.csv").read_text().splitlines()[-1] == "well,5"


def test_texts_of_many_authors_are_known_when_a_few_of_them_come_again(tmp_path):
    texts = [(n, f"text {n}", ("good", "bad")[n % 2], f"author {n // 2}") for n in range(120)]
    import_table(write(tmp_path / "a.csv", texts), tmp_path / "data", "stars", "author", text="review")
    again = write(tmp_path / "b.csv", [*texts[:4], (0, "new", "good", "author 1")])
    report = import_table(again, tmp_path / "data", "stars", text="review")
    assert (report.known, report.rows) == (4, 1)


def test_equal_texts_with_different_labels_are_told(tmp_path):
    texts = [(f"r{n}", f"text number {n}", "good" if n % 2 else "bad", "") for n in range(398)]
    source = write(
        tmp_path / "a.csv", [*texts, ("a", "Thank you", "good", ""), ("b", "thank  YOU", "bad", "")]
    )
    (remark,) = import_table(source, tmp_path / "d", "stars", text="review").remarks
    assert remark.startswith("2 texts with equal words have different labels, and a run quarantines all of")


def test_the_gate_allows_for_texts_that_people_often_repeat(tmp_path):
    texts = [(f"r{n}", f"text number {n}", "good" if n % 2 else "bad", "") for n in range(198)]
    repeated = [("a", "Thank you", "good", ""), ("b", "thank  YOU", "good", "")]
    few = write(tmp_path / "few.csv", [*texts, *repeated])
    assert not import_table(few, tmp_path / "few", "stars", text="review").remarks
    assert "gate" not in find_workload(str(tmp_path / "few" / "workload.yaml")).settings
    texts = [*texts[:98], *repeated]
    report = import_table(write(tmp_path / "t.csv", texts), tmp_path / "d", "stars", text="review")
    remark = "2 of 100 texts are there more than once, and a run keeps one of each"
    assert report.remarks == (f"{remark}: gate.max_quarantine_fraction in workload.yaml is 0.07.",)
    workload = find_workload(str(tmp_path / "d" / "workload.yaml"))
    assert workload.settings["gate"] == {"max_quarantine_fraction": 0.07}
    # A span that is imported twice has only copies, which the gate must still refuse.
    same = write(tmp_path / "same.csv", texts[-2:] * 9 + texts[:2])
    import_table(same, tmp_path / "e", "stars", text="review")
    workload = find_workload(str(tmp_path / "e" / "workload.yaml"))
    assert workload.settings["gate"] == {"max_quarantine_fraction": 0.9}


def test_texts_that_come_again_under_another_label_are_counted_at_the_import(tmp_path):
    texts = [(n, f"text {n}", ("good", "bad")[n % 2], "") for n in range(40)]
    import_table(write(tmp_path / "a.csv", texts), tmp_path / "data", "stars", text="review")
    corrected = [(0, "text 0", "bad", ""), (1, "text 1", "good", ""), *texts[2:6], (40, "new", "good", "")]
    report = import_table(write(tmp_path / "b.csv", corrected), tmp_path / "data", "stars", text="review")
    assert (report.known, report.rows) == (4, 3)
    (remark,) = report.remarks
    assert remark.startswith("With another label in earlier spans: 2 texts.") and "data relabel" in remark
    again = import_table(tmp_path / "b.csv", tmp_path / "data", "stars", text="review")
    assert (again.span, again.remarks) == (None, ())


def test_labels_of_known_texts_are_compared_as_values(tmp_path):
    (tmp_path / "data" / "span-00001").mkdir(parents=True)
    old = [{"text": "so so", "label": 5}, {"text": "well", "label": ""}, {"text": "fine", "label": 4}]
    write_lines(tmp_path / "data" / "span-00001" / "texts.jsonl", old)
    src = write(tmp_path / "a.csv", [(1, "so so", "5.0", ""), (2, "well", "5.0", ""), (3, "fine", "4.0", "")])
    assert import_table(src, tmp_path / "data", "stars", text="review").remarks == ()


def test_texts_that_were_decoded_twice_are_counted(tmp_path):
    texts = [f"I don\xe2\x80\x99t mind {n}" if n % 5 == 0 else f"I don't mind {n}" for n in range(20)]
    rows = [f'"{text}",{"good" if n % 3 else "bad"}' for n, text in enumerate(texts)]
    (tmp_path / "a.csv").write_text("\n".join(["review,stars", *rows]))
    report = import_table(tmp_path / "a.csv", tmp_path / "data", "stars", text="review")
    (remark,) = report.remarks
    assert remark.startswith("Marks that were decoded twice") and "are in 4 texts: runs, predict" in remark
    assert not report.warnings
    assert sum("don\u2019t" in each["text"] for each in read(tmp_path / "data")[2]) == 4
