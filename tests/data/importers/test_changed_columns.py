import numpy as np
import pytest

from data.importers.changed_columns import ColumnsChanged
from data.importers.table_file import read_table_file
from data.sensors import generator as sensors
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.tables.source import open_source
from edgeline.errors import DataRefused, UsageError
from tests.data.importers.named import import_table
from tests.data.importers.test_tables import load, open_workload, read_cells, write_table

AGES = [18.5 + n % 60 for n in range(300)]
FIRST = {"age": AGES, "town": ["A", "B", "C"] * 100, "size": [n * 7 % 31 + 0.25 for n in range(300)]}


@pytest.fixture
def folder(tmp_path):
    load(tmp_path, FIRST)
    return tmp_path


def make_week(number, **columns):
    return {**FIRST, "age": [age + number / 8 for age in AGES], **columns}


def without(column, week):
    return {name: cells for name, cells in week.items() if name != column}


def find_change(folder, week, **more):
    with pytest.raises(ColumnsChanged) as error:
        load(folder, week, name="b.csv", **more)
    (change,) = error.value.changes
    return change


def read_entry(folder, name):
    entry = read_table_file(folder / "data").columns[name]
    return entry.until, entry.now


def test_a_column_that_is_gone_is_missing_from_then_on(folder):
    change = find_change(folder, without("size", make_week(1)))
    assert (change.column, change.cell, change.guess) == ("size", "", "")
    report = load(folder, without("size", make_week(1)), name="b.csv", dropped=("size",))
    assert "size is missing in tables after span-00001, as table.yaml says." in report.remarks
    assert (report.numbers, report.categories) == (("age",), ("town",))
    assert read_entry(folder, "size") == ("span-00001", "")
    assert {row["size"] for row in read_cells(folder / "data")} == {""}

    # Later weeks need no option, a run reads them all, and a column that returns is passed over.
    load(folder, without("size", make_week(2)), name="c.csv")
    later = load(folder, make_week(3), name="d.csv")
    assert dict(later.left_out) == {"size": "is missing after span-00001: remove `until` to read it again"}
    assert {row["size"] for row in read_cells(folder / "data")} == {""}
    source, spans = open_source(open_workload(folder / "data"), DataSettings()), find_spans(folder / "data")
    sizes = [source.example(span, next(iter(source.rows(span)))).features["size"][0] for span in spans]
    assert sizes[0] == 0.25 and np.isnan(sizes[1:]).all()


def test_a_column_that_is_renamed_goes_on(folder):
    week = {**without("size", make_week(1)), "size_cm": FIRST["size"]}
    assert find_change(folder, week).guess == "size_cm"
    report = load(folder, week, name="b.csv", renamed={"size": "size_cm"})
    assert "size is called size_cm in tables after span-00001, as table.yaml says." in report.remarks
    assert report.numbers == ("age", "size") and report.left_out == ()
    assert read_entry(folder, "size") == ("span-00001", "size_cm")
    assert [row["size"] for row in read_cells(folder / "data")][:2] == ["0.25", "7.25"]

    # Later weeks may have either name, and the name may change again.
    load(folder, {**without("size", make_week(2)), "size_cm": FIRST["size"]}, name="c.csv")
    load(folder, make_week(3), name="d.csv")
    load(folder, {**without("size", make_week(4)), "cm": FIRST["size"]}, name="e.csv", renamed={"size": "cm"})
    assert read_entry(folder, "size") == ("span-00004", "cm")


def test_whole_numbers_of_a_renamed_column_end_as_in_earlier_spans(tmp_path):
    stores = [109, 208, 316] * 100
    load(tmp_path, {"age": AGES, "store": stores}, chosen={"store": "category"})
    week = {"age": [age + 0.25 for age in AGES], "shop": [f"{store}.0" for store in stores]}
    load(tmp_path, week, name="b.csv", renamed={"store": "shop"})
    assert {row["store"] for row in read_cells(tmp_path / "data")} == {"109", "208", "316"}


def test_the_only_new_column_of_the_same_kind_is_the_guess(folder):
    columns = {"qqq": FIRST["size"], "zzz": ["x", "y"] * 150}
    assert find_change(folder, {**without("size", make_week(1)), **columns}).guess == "qqq"
    assert find_change(folder, {**without("size", make_week(1)), **columns, "www": AGES}).guess == ""


def test_a_label_can_be_renamed_and_cannot_be_dropped(folder):
    path = write_table(folder / "b.csv", {**make_week(1), "has_paid": ["yes", "no"] * 150})
    with pytest.raises(ColumnsChanged) as error:
        import_table(path, folder / "data", "paid")
    (change,) = error.value.changes
    assert (change.guess, change.is_needed) == ("has_paid", True)
    import_table(path, folder / "data", "paid", renamed={"paid": "has_paid"})
    assert read_entry(folder, "paid") == ("span-00001", "has_paid")
    with pytest.raises(UsageError, match="--drop paid: it is the label"):
        load(folder, make_week(2), name="c.csv", dropped=("paid",))


def test_a_column_of_another_type_is_asked_about(folder):
    week = make_week(1, size=["high", "low"] * 150)
    change = find_change(folder, week)
    assert (change.column, change.cell) == ("size", "'high' in b.csv:2")
    load(folder, week, name="b.csv", dropped=("size",))
    assert {row["size"] for row in read_cells(folder / "data")} == {""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"renamed": {"size": "width"}}, "has no column width"),
        ({"renamed": {"wind": "size"}}, "--rename wind: no model reads that column"),
        ({"dropped": ("wind",)}, "--drop wind: no model reads that column"),
    ],
)
def test_an_option_for_a_column_that_is_not_there_is_refused(folder, options, message):
    with pytest.raises(UsageError, match=message):
        load(folder, make_week(1), name="b.csv", **options)


@pytest.mark.parametrize("text", ["", "town"])
def test_a_table_is_not_mixed_into_the_spans_of_a_sample(tmp_path, text):
    sensors.generate(tmp_path / "data", weeks=2, per_week=400, seed=1, faults={})
    with pytest.raises(DataRefused, match=r"data has 2 spans that no import wrote.*span-00002 has the"):
        load(tmp_path, FIRST, text=text)
    assert [span.number for span in find_spans(tmp_path / "data")] == [1, 2]


def test_a_table_is_added_to_spans_with_its_columns_that_lack_their_files(folder):
    for name in ("workload.yaml", "schema.pbtxt", "table.yaml"):
        (folder / "data" / name).unlink()
    assert load(folder, make_week(1), name="b.csv").span.number == 2
