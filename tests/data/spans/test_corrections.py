import csv
import json

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.spans import decisions
from data.spans.corrections import read_corrections
from data.spans.layout import find_files, find_spans
from edgeline.errors import DataRefused
from edgeline.records.ingest import CORRECTIONS
from runners.cli.main import main
from tests.data.importers.workbooks import write_xlsx
from tests.data.sample_photos import jpeg
from tests.data.spans.windows import window_digest

HEADER = ("example", "label", "suggested", "probability", "probability_of_label", "corrected")


@pytest.fixture
def data(tmp_path):
    """Writes two weeks of three photos each."""
    for week in range(2):
        rows = [LabelRow(f"{n}.jpg", "ok", "lane-01", f"s{n}", "") for n in range(3)]
        write_span(tmp_path / "data", [(row, jpeg(seed=10 * week + n)) for n, row in enumerate(rows)])
    return tmp_path / "data"


@pytest.fixture
def relabel(data, tmp_path, capsys):
    """Runs the command on a list of (example, label, corrected); returns its exit code and output."""

    def run(*rows, reason="looked at", header=HEADER):
        with (tmp_path / "list.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(
                (example, label, "damaged", 0.9, 0.1, corrected) for example, label, corrected in rows
            )
        code = relabel_by(tmp_path / "list.csv", data, reason=reason)
        return code, " ".join(capsys.readouterr())

    return run


def relabel_by(file, data, *options, reason="r"):
    return main(["data", "relabel", str(file), "--data", str(data), "--reason", reason, *options])


def list_corrections(data, span=0):
    return {name: (item.was, item.label) for name, item in read_corrections(find_spans(data)[span]).items()}


def test_labels_are_corrected_and_confirmed_beside_the_files_of_their_spans(data, relabel):
    before = window_digest(find_spans(data)), (find_spans(data)[0].path / "labels.csv").read_bytes()
    code, output = relabel(
        ("span-00001/0.jpg", "ok", "damaged"),
        ("span-00001/1.jpg", "ok", "ok"),
        ("span-00002/2.jpg", "ok", "misplaced"),
        ("span-00002/1.jpg", "ok", ""),
    )
    assert code == 0 and "2 labels corrected, 1 confirmed, 1 row skipped." in output
    assert list_corrections(data) == {"0.jpg": ("ok", "damaged"), "1.jpg": ("ok", "ok")}
    assert list_corrections(data, 1) == {"2.jpg": ("ok", "misplaced")}
    item = read_corrections(find_spans(data)[0])["0.jpg"]
    assert item.reason == "looked at" and "@" in item.who and item.when.endswith("Z")
    # The file of corrections is not among the texts of the span.
    assert [path.name for path in find_files(find_spans(data)[0], ".csv", ".jsonl")] == ["labels.csv"]
    # The next run sees a change of the data, and the labels file is what it was.
    assert window_digest(find_spans(data)) != before[0]
    assert (find_spans(data)[0].path / "labels.csv").read_bytes() == before[1]


@pytest.mark.parametrize("name", ["list.csv", "list.xlsx"])
def test_a_list_may_be_saved_as_a_spreadsheet_saves_it(data, tmp_path, capsys, name):
    rows = [list(HEADER), ["span-00001/0.jpg", "ok", "damaged", 0.9, 0.1, "damaged"]]
    if name == "list.xlsx":
        write_xlsx(tmp_path / name, {"list": rows})
    else:
        lines = (";".join(map(str, row)).replace(".9", ",9") for row in rows)
        (tmp_path / name).write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert relabel_by(tmp_path / name, data) == 0
    assert list_corrections(data) == {"0.jpg": ("ok", "damaged")}


def test_the_newest_decision_counts_and_may_take_one_back(data, relabel):
    assert relabel(("span-00001/0.jpg", "ok", "damaged"))[0] == 0
    assert relabel(("span-00001/0.jpg", "damaged", "ok"))[0] == 0
    assert list_corrections(data) == {"0.jpg": ("ok", "ok")}
    assert len((find_spans(data)[0].path / CORRECTIONS).read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("span-00001/0.jpg,ok,broken", "has no label 'broken'. Its labels are: ok, misplaced, damaged."),
        ("span-00001/9.jpg,ok,damaged", "9.jpg of span-00001 is not there."),
        ("span-00001/0.jpg,damaged,ok", "0.jpg of span-00001 has the label 'ok', not 'damaged'."),
        ("span-00007/0.jpg,ok,damaged", "has no span-00007."),
        ('"span-00001/0.jpg,ok,damaged\nx,ok,damaged', "line 3 is not CSV (unexpected end of data)"),
        ("span-00001/0.jpg,ok", "list.csv:3: It has 2 cells, but the header has 3."),
        ("span-00001/0.jpg,ok,damaged\nspan-00001/0.jpg,ok,ok", "lines 3 and 4 have two labels for 0.jpg"),
    ],
    ids=["label", "example", "present label", "span", "open quote", "short row", "two labels"],
)
def test_a_wrong_line_is_named_and_changes_nothing(data, tmp_path, capsys, lines, message):
    (tmp_path / "list.csv").write_text(f"example,label,corrected\nspan-00002/1.jpg,ok,damaged\n{lines}\n")
    assert relabel_by(tmp_path / "list.csv", data) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list_corrections(data) == list_corrections(data, 1) == {}


def test_after_a_span_that_could_not_be_written_the_same_command_goes_on(data, relabel, monkeypatch):
    rows = [("span-00001/0.jpg", "ok", "damaged"), ("span-00002/2.jpg", "ok", "misplaced")]
    append = decisions._append

    def refuse(place, lines):
        if "span-00002" in str(place):
            raise PermissionError(13, "Permission denied")
        append(place, lines)

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "_append", refuse)
        code, output = relabel(*rows)
    assert code != 0 and "No correction of span-00002 was recorded" in " ".join(output.split())
    assert list_corrections(data) == {"0.jpg": ("ok", "damaged")}
    assert "1 label corrected, 0 confirmed, 0 rows skipped, 1 corrected before." in relabel(*rows)[1]
    assert "0 labels corrected, 0 confirmed, 0 rows skipped, 2 corrected before." in relabel(*rows)[1]
    assert list_corrections(data) == {"0.jpg": ("ok", "damaged")}
    assert list_corrections(data, 1) == {"2.jpg": ("ok", "misplaced")}


def test_a_list_without_its_columns_or_a_reason_is_refused(data, relabel, tmp_path, capsys):
    code, output = relabel(header=("photo", "label", "a", "b", "c", "d"))
    assert code == 2 and "has no column example and no corrected." in output
    code, output = relabel(("span-00001/0.jpg", "ok", "damaged"), reason=" ")
    assert code == 2 and "The reason is empty." in output
    assert relabel_by(tmp_path / "none.csv", data) == 2
    assert "none.csv does not exist." in capsys.readouterr().err


@pytest.fixture
def texts(tmp_path):
    """Returns a function that imports 60 texts with two labels, and one that corrects their labels."""
    data = tmp_path / "data"

    def import_texts(*labels):
        rows = "".join(f"It is film {n},{labels[n % 2]}\n" for n in range(60))
        (tmp_path / "films.csv").write_text(f"text,label\n{rows}")
        columns = ("--text", "text", "--label", "label")
        assert main(["data", "import", str(tmp_path / "films.csv"), *columns, "--data", str(data)]) == 0
        return data

    def relabel_texts(row):
        (tmp_path / "list.csv").write_text(f"example,label,corrected\n{row}\n")
        assert relabel_by(tmp_path / "list.csv", data, "--workload", str(data / "workload.yaml")) == 0
        return list_corrections(data)

    return import_texts, relabel_texts


def test_a_correction_of_a_row_is_not_used_once_its_file_was_written_again(texts, caplog):
    import_texts, relabel_texts = texts
    data = import_texts("bad", "good")
    assert relabel_texts("span-00001/texts.csv:2,bad,good") == {"texts.csv:2": ("bad", "good")}
    file = data / "span-00001" / "texts.csv"
    first, *others = file.read_text().splitlines(keepends=True)
    file.write_text("".join([first, others[2], *others]))
    assert list_corrections(data) == {}
    assert "1 of 1 corrections of labels in span-00001 are not used: their files changed" in caplog.text


def test_a_label_true_is_found_where_a_spreadsheet_wrote_it_in_capitals(texts):
    import_texts, relabel_texts = texts
    import_texts("True", "False")
    assert relabel_texts("span-00001/texts.csv:2,TRUE,FALSE") == {"texts.csv:2": ("True", "False")}


def test_a_damaged_line_names_its_span_and_half_a_last_line_is_ignored(data, relabel):
    relabel(("span-00001/0.jpg", "ok", "damaged"))
    span = find_spans(data)[0]
    file = span.path / CORRECTIONS
    whole = file.read_text()
    file.write_text(whole + json.dumps({"example": "1.jpg"})[:-3])
    assert set(read_corrections(span)) == {"0.jpg"}
    # An editor may leave a whole last line without its end.
    file.write_text(whole + json.dumps(json.loads(whole) | {"example": "1.jpg"}))
    assert set(read_corrections(span)) == {"0.jpg", "1.jpg"}
    assert relabel(("span-00001/2.jpg", "ok", "damaged"))[0] == 0
    assert set(read_corrections(span)) == {"0.jpg", "1.jpg", "2.jpg"}
    file.write_text(whole + "{}\n")
    with pytest.raises(DataRefused, match="line 2 is not a correction of a label") as caught:
        read_corrections(span)
    assert caught.value.spans == ("span-00001",)
    file.unlink()
    file.mkdir()
    with pytest.raises(DataRefused, match=r"corrections.jsonl cannot be read \(Is a directory\)") as caught:
        read_corrections(span)
    assert caught.value.spans == ("span-00001",)
