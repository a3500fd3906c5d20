import re

import pytest

from data.importers.table_file import (
    TABLE,
    ColumnEntry,
    Roles,
    TableFile,
    read_table_file,
    write_columns,
    write_table_file,
)
from data.importers.table_roles import Named
from data.importers.tables import inspect_table
from edgeline.errors import UsageError
from edgeline.records.columns import Column
from tests.data.importers.named import import_table
from tests.data.importers.test_tables import AGES, load, open_workload, write_table

COLUMNS = {"age": AGES, "town": ["A", "B", "C"] * 100, "price": [f"{n},50" for n in range(300)]}
FILE = TableFile(
    {
        "at": ColumnEntry("time", "year-month-day", reason="was named with --time"),
        "no": ColumnEntry("label"),
        "born": ColumnEntry("date", "day.month.year", {"born_age": "age", "born_month": "month"}),
        'a: "b" # é\n': ColumnEntry("number", "number with decimal comma", missing=("-9999", "012")),
        "town": ColumnEntry("category", reason="has few names: 'off', 'no'", since="span-00002"),
        "id": ColumnEntry(reason="numbers the rows"),
    },
    "my table.csv",
    16,
)


def test_what_is_written_is_read_and_the_age_is_up_to_the_time(tmp_path):
    write_table_file(tmp_path, FILE)
    file = read_table_file(tmp_path)
    assert file == FILE
    assert file.numbers["born_age"] == Column("born", "day.month.year", "age", "at")
    assert (file.roles, file.categories) == (Roles("no", time="at"), ("town",))
    assert read_table_file(tmp_path / "none") is None


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / TABLE).write_bytes("ä".encode("cp1252"))
    with pytest.raises(UsageError, match=r"table\.yaml has mistakes:\n  It cannot be read \(.*utf-8"):
        read_table_file(tmp_path)


def test_a_column_is_written_in_its_place_or_below_the_last_and_all_else_stays_as_it_is(tmp_path):
    (tmp_path / TABLE).write_text("""\
version: 1  # of the file
columns:
    # The label.
    y: {role: label}
    "wind":
        role: leave out
        reason: it is new
    # The town comes last.
    town:
        role: category
        missing: []
    # Nothing else.
source: a.csv""")
    added = {"wind": ColumnEntry("number", "number", since="span-00003"), "no": ColumnEntry("category")}
    write_columns(tmp_path, added)
    expected = """\
version: 1  # of the file
columns:
    # The label.
    y: {role: label}
    wind:
      role: number
      form: number
      since: span-00003
    # The town comes last.
    town:
        role: category
        missing: []
    'no':
      role: category
    # Nothing else.
source: a.csv"""
    assert (tmp_path / TABLE).read_text() == expected
    file = read_table_file(tmp_path)
    assert {name: file.columns[name] for name in added} == added


def write(tmp_path, text):
    (tmp_path / TABLE).write_text(text)
    with pytest.raises(UsageError) as error:
        read_table_file(tmp_path)
    return str(error.value)


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path):
    text = """\
version: 1
sauce: a.csv
readings: 1e9
columns:
  y: {role: label}
  y: {role: label}
  a: {role: nummer, form: number}
  b: {role: number, from: number}
  c: {role: date, form: prose, features: {c_day: day}}
  d: words
  e: {role: number, form: number, missing: -9999}
"""
    message = write(tmp_path, text)
    assert re.findall(r"line (\d+)", message) == ["2", "3", "6", "7", "8", "9", "9", "10", "11"]
    assert "did you mean number" in message


@pytest.mark.parametrize(
    ("columns", "messages"),
    [
        ("", ["no column has the role label"]),
        ("y: {role: label}\n  z: {role: label}", ["line 5: z is the label too, beside y"]),
        ("y: {role: label}\n  a: {role: number}", ["line 5: a: a number needs a form"]),
        ("y: {role: label}\n  a: {role: date, features: {b: age}}", ["needs a column with", "of the forms"]),
        ("y: {role: label}\n  a: {role: date, form: year-month-day}", ["a date needs features"]),
        ("y: {role: label}\n  t: {role: text}", ["a category is not read beside texts"]),
        ("y: {role: label}\n  span: {role: category}", ["the feature 'span' is also one of examples"]),
        (
            "y: {role: label}\n  d: {role: date, form: year-month-day, features: {c: month}}",
            ["line 5: the feature 'c' is also one of c"],
        ),
    ],
)
def test_roles_and_forms_that_do_not_fit_together_are_named(tmp_path, columns, messages):
    text = write(tmp_path, f"version: 1\ncolumns:\n  c: {{role: category}}\n  {columns}\n")
    assert [message for message in messages if message not in text] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\ncolumns: {y: {role: word}}", "has version 2, and this version of Edgeline reads 1"),
        ("columns: {y: {role: label}, a: {role: category}}", "line 1: version is missing, not 1"),
        ("version: 1", "it has no columns"),
        ("version: 1\ncolumns: {y: {role: label}}", "no column has a role from which a model learns"),
        ("version: 1\ncolumns: [", "it is not YAML"),
        ("", "line 1: it has no version and no columns"),
    ],
)
def test_a_file_of_a_newer_version_or_none_at_all_is_refused(tmp_path, text, message):
    assert message in write(tmp_path, text)


def test_a_table_is_inspected_and_edited_before_it_is_imported(tmp_path):
    labels = ["yes", "no"] * 150
    source = write_table(tmp_path / "a.csv", {**COLUMNS, "paid": labels}, ";")
    list(inspect_table(str(source), tmp_path / "data", Named(Roles("paid"))))
    path = tmp_path / "data" / TABLE
    text = path.read_text()
    assert "has numbers" in text and "number with decimal comma" in text and "a.csv" in text
    path.write_text(text.replace("  town:\n    role: category", "  town:  # by mistake\n    role: leave out"))
    report = import_table(source, tmp_path / "data", "paid")
    assert (report.numbers, report.categories) == (("age", "price"), ())
    assert "# by mistake" in path.read_text()
    assert open_workload(tmp_path / "data").columns["price"].form == "number with decimal comma"


def test_a_column_tells_which_rules_were_asked_and_which_decided(tmp_path):
    source = str(write_table(tmp_path / "a.csv", {**COLUMNS, "paid": ["yes", "no"] * 150}, ";"))
    lines = list(inspect_table(source, tmp_path / "data", Named(Roles("paid")), explain="town"))
    assert lines[0] == "1. chosen to be left out? no"
    assert lines[-2].endswith(". names? yes: category")
    assert lines[-1] == "town has few names: 300 cells, such as 'A' in a.csv:2."
    assert not (tmp_path / "data").exists()


def test_a_folder_without_the_file_is_read_by_its_schema_and_its_workload_and_gets_one(tmp_path):
    days = [f"{n % 28 + 1:02}.{n % 12 + 1:02}.20{n % 5 + 20}" for n in range(300)]
    columns = {**COLUMNS, "since": days, "at": [f"2026-01-{n // 12 + 1:02}" for n in range(300)]}
    load(tmp_path, columns, separator=";", time="at")
    file = read_table_file(tmp_path / "data")
    (tmp_path / "data" / TABLE).unlink()
    columns["age"] = [age + 1 for age in AGES]
    report = load(tmp_path, columns, separator=";", name="b.csv")
    assert report.rows == 300 and report.numbers and report.left_out == ()
    again = read_table_file(tmp_path / "data")
    assert (again.numbers, again.times, again.categories) == (file.numbers, file.times, file.categories)


def test_a_file_that_no_longer_fits_the_schema_beside_it_is_refused(tmp_path):
    load(tmp_path, COLUMNS, separator=";")
    path = tmp_path / "data" / TABLE
    text = path.read_text()
    path.write_text(text.replace("  town:\n    role: category", "  town:\n    role: leave out"))
    with pytest.raises(UsageError, match=r"table\.yaml and .*schema\.pbtxt differ in town"):
        load(tmp_path, COLUMNS, separator=";", name="b.csv")
    path.write_text(text.replace("number with decimal comma\n    reason", "number\n    reason"))
    with pytest.raises(UsageError, match=r"table\.yaml and .*workload\.yaml differ in age, price"):
        load(tmp_path, COLUMNS, separator=";", name="b.csv")
