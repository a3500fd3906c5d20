"""Tables as people have them: second headers, other encodings, merged cells, sentinels, odd types."""

import csv
import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.importers.table_file import TABLE, Roles, read_table_file
from data.importers.table_roles import Named
from data.importers.tables import import_table as import_named
from data.importers.tables import inspect_table
from edgeline.errors import DataRefused, UsageError
from tests.data.importers.named import import_table
from tests.data.importers.test_tables import load, make_labels, open_workload, read, write_table
from tests.data.importers.workbooks import write_xlsx

AGES = [18 + n % 50 for n in range(300)]
READINGS = [-9999 if n % 20 == 0 else 15 + n % 70 / 10 for n in range(300)]


@pytest.mark.parametrize(
    ("lines", "places"),
    [(["years,,Response"], "a.csv:2"), (["How old?,Where?,Paid?", "{Q1},{Q2},{Q3}"], "a.csv:2 and a.csv:3")],
)
def test_lines_of_names_below_the_first_one_are_named(tmp_path, lines, places):
    rows = [f"{age},{'AB'[n % 2]},{'yes' if n % 3 else 'no'}" for n, age in enumerate(AGES)]
    (tmp_path / "a.csv").write_text("\n".join(["age,town,paid", *lines, *rows]))
    with pytest.raises(DataRefused, match=f"has names in {places} too"):
        import_table(tmp_path / "a.csv", tmp_path / "data", "paid")
    rows[0] = "18,,yes"
    (tmp_path / "a.csv").write_text("\n".join(["age,town,paid", *rows, *lines]))
    assert import_table(tmp_path / "a.csv", tmp_path / "data", "paid").numbers == ("age",)


@pytest.mark.parametrize(
    ("encoding", "names", "guess"),
    [
        ("cp1251", ["насос", "клапан", "датчик", "хорошо"], "cp1251 ("),
        ("gbk", ["传感器", "阀门", "水泵", "温度过高"], "gb18030 ("),
        ("mac_roman", ["heiß", "größer", "kürzer", "Wärme"], "heiß"),
        # Each letter of these is one of Windows-1252 too: of many words, it is the less likely encoding.
        (
            "cp1250",
            ["Česko", "Řecko", "Německo", "Švýcarsko", "Šrí", "Čína", "Kypřané", "Třebíč"],
            "cp1250 (Česko",
        ),
        (
            "cp1254",
            ["İsveç", "Şili", "İzmir", "İtalya", "Değişik", "Ağustos", "Boğaz", "Güneş"],
            "cp1254 (İsveç",
        ),
        ("cp932", ["センサー", "バルブ", "ポンプ", "温度"], "cp932 ("),
    ],
)
def test_an_encoding_that_gives_words_of_no_language_is_asked_for(tmp_path, encoding, names, guess):
    rows = [f"{age},{names[n % len(names)]},{'yes' if n % 3 else 'no'}" for n, age in enumerate(AGES)]
    source = tmp_path / "a.csv"
    source.write_bytes("\n".join(["age,town,paid", *rows]).encode(encoding))
    with pytest.raises(DataRefused, match="Name its encoding with --encoding") as error:
        import_table(source, tmp_path / "data", "paid")
    assert guess in str(error.value)
    report = import_named(str(source), tmp_path / "data", Named(Roles("paid"), encoding=encoding))
    assert "was read as" in report.notes[0]
    assert names[0] in (tmp_path / "data/span-00001/table.csv").read_text()


def test_western_words_are_read_as_before_and_a_wrong_encoding_is_named(tmp_path):
    names = [
        "heiß",
        "café",
        "Ñandú",
        "5 °C",
        "São",
        "Müller®",
        "Malmö",
        "Reykjavík",
        "Besançon",
        "Brønderslev",
    ]
    rows = [f"{age},{names[n % 10]},{'yes' if n % 3 else 'no'}" for n, age in enumerate(AGES)]
    source = tmp_path / "a.csv"
    source.write_bytes("\n".join(["age,town,paid", *rows]).encode("cp1252"))
    assert import_table(source, tmp_path / "data", "paid").notes == (f"{source} was read as Windows-1252.",)
    with pytest.raises(UsageError, match="--encoding is 'klingon', which is not known"):
        import_named(str(source), tmp_path / "x", Named(Roles("paid"), encoding="klingon"))
    with pytest.raises(DataRefused, match="is not utf-8"):
        import_named(str(source), tmp_path / "x", Named(Roles("paid"), encoding="utf-8"))


def test_a_frequent_number_far_from_all_others_is_missing_where_the_file_says_so(tmp_path):
    labels = make_labels(300)
    source = str(write_table(tmp_path / "a.csv", {"temp": READINGS, "age": AGES, "paid": labels}))
    named = Named(Roles("paid"))
    warned = [line for line in inspect_table(source, tmp_path / "data", named) if "far from all" in line]
    assert len(warned) == 1 and "temp is -9999 in 15 of 300 cells" in warned[0]
    path = tmp_path / "data" / TABLE
    path.write_text(path.read_text().replace("  temp:\n", "  temp:\n    missing: ['-9999']\n"))
    report = import_named(source, tmp_path / "data", named)
    assert not [line for line in report.warnings if "far from all" in line]
    assert open_workload(tmp_path / "data").columns["temp"].missing == ("-9999",)
    temperatures = [row["temp"][0] for row in read(tmp_path / "data")]
    assert temperatures[0] != temperatures[0] and temperatures[1] == pytest.approx(15.1)
    second = {"temp": [-9999, *READINGS[1:]][::-1], "age": AGES, "paid": labels}
    assert import_named(str(write_table(tmp_path / "b.csv", second)), tmp_path / "data", named).rows > 200


def test_numbers_and_dates_that_may_stand_for_no_reading_are_asked_about(tmp_path):
    days = ["9999-12-31" if n % 10 == 0 else f"2026-0{n % 6 + 1}-{n % 28 + 1:02}" for n in range(300)]
    tenths = ["999,9" if n % 15 == 0 else f"{15 + n % 70 / 10:.1f}".replace(".", ",") for n in range(300)]
    far = [90_000 if n == 7 else 15 + n % 70 / 10 for n in range(300)]
    columns = {"temp": READINGS, "until": days, "tenths": tenths, "far": far, "age": AGES}
    columns["paid"] = make_labels(300)
    asked = []

    def ask(question, choices, guess):
        asked.append(question)
        return choices[1] if question.startswith("tenths ") else guess

    report = load(tmp_path, columns, separator=";", ask=ask)
    assert [question.split(",")[0] for question in asked] == [
        "temp is -9999 in 15 of 300 cells",
        "until is 9999-12-31 in 30 of 300 cells",
        "tenths is 999",
    ]
    entries = read_table_file(tmp_path / "data").columns
    missing = {name: entry.missing for name, entry in entries.items() if entry.missing}
    assert missing == {"temp": ("-9999",), "until": ("9999-12-31",)} and not report.warnings
    # Without the far one, the days reach over half a year.
    assert [*entries["until"].features] == ["until_weekday"]

    silent = load(tmp_path, columns, separator=";", into="x")
    lines = ["-9999'] below temp", "9999-12-31'] below until", "999,9'] below tenths"]
    assert all(f"write missing: ['{line}" in text for line, text in zip(lines, silent.warnings, strict=True))


def test_numbers_that_float32_merges_are_named(tmp_path):
    far = [4_520_000_000 + n * 7 for n in range(300)]
    report = load(tmp_path, {"northing": [f"{number}.25" for number in far], "age": AGES})
    assert "northing has numbers that differ by less than a model can see" in report.warnings[0]


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_name_of_two_columns_that_nobody_named_is_left_out(tmp_path, name):
    rows = [[age, f"a{n}", f"b{n}", "yes" if n % 3 else "no"] for n, age in enumerate(AGES)]
    rows.insert(0, ["age", "other", "other", "paid"])
    if name == "a.xlsx":
        write_xlsx(tmp_path / name, {"Data": rows})
    else:
        (tmp_path / name).write_text("\n".join(",".join(map(str, row)) for row in rows))
    report = import_table(tmp_path / name, tmp_path / "data", "paid")
    assert dict(report.left_out)["other"].startswith("is the name of two columns")
    with pytest.raises(DataRefused, match="has the column 'other' twice"):
        import_table(tmp_path / name, tmp_path / "x", "paid", chosen={"other": "category"})


def test_durations_and_times_of_day_are_seconds_and_other_types_are_named(tmp_path):
    columns = {
        "took": [datetime.timedelta(minutes=n % 50) for n in range(300)],
        "at": [datetime.time(n % 24, 30, 0, 250_000) for n in range(300)],
        "parts": [[n, n] for n in range(300)],
        "owner": [{"name": "a"}] * 300,
        "scan": [bytes([n % 256, 255]) for n in range(300)],
        "paid": make_labels(300),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    report = import_table(tmp_path / "a.parquet", tmp_path / "data", "paid")
    assert report.numbers == ("took", "at")
    assert dict(report.left_out) == {
        "parts": "has lists in its cells",
        "owner": "has structures in its cells",
        "scan": "has bytes that are no text in its cells",
    }
    assert [read(tmp_path / "data")[1][name][0] for name in report.numbers] == [60, 5400.25]


def test_a_time_after_the_year_9999_spoils_its_own_cell_alone(tmp_path):
    hours = [1_800_000_000_000 + n * 3_600_000 for n in range(300)]
    hours[5] = 300_000_000_000_000
    columns = {"at": pa.array(hours, pa.timestamp("ms")), "age": AGES, "paid": make_labels(300)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    report = import_table(tmp_path / "a.parquet", tmp_path / "data", "paid")
    assert report.numbers == ("at_hour", "age")
    with (report.span.path / "table.csv").open(newline="") as file:
        times = [row["at"] for row in csv.DictReader(file)]
    assert (times[4], times[5]) == ("2027-01-15 12:00:00.000", "11476-08-15 05:20:00.000")


def test_names_are_the_same_in_what_nobody_sees(tmp_path):
    labels = make_labels(300)
    first = {"cafe\u0301\u00a0size ": READINGS, "\ufeffage": AGES, "pa\u200bid": labels}
    report = import_table(write_table(tmp_path / "a.csv", first), tmp_path / "data", "paid")
    assert report.numbers == ("café size", "age") and not report.notes
    second = {"caf\u00e9  size": READINGS[::-1], "age\u200b": AGES, "paid": labels}
    assert load(tmp_path, second, name="b.csv").rows > 100
    assert read(tmp_path / "data")[0]["café size"] == pytest.approx(READINGS[-1:])


def test_the_difference_of_two_names_that_look_alike_is_spelled_out(tmp_path):
    columns = {"age": AGES, "age\u200b": [age + 1 for age in AGES], "temp": READINGS}
    report = load(tmp_path, columns)
    assert report.notes == ("Two columns are called 'age'. They differ in U+200B (zero width space).",)
    assert report.numbers == ("age", "age\u200b", "temp")
    assert [row["age\u200b"][0] for row in read(tmp_path / "data")] == [age + 1 for age in AGES]
    spelled = r"They differ in U\+0435 \(cyrillic small letter ie\)\."
    with pytest.raises(UsageError, match=rf"Did you mean temp\? {spelled}"):
        load(tmp_path, columns, into="x", chosen={"t\u0435mp": "number"})
    later = {"age": AGES, "age\u200b": AGES, "t\u0435mp": READINGS}
    with pytest.raises(UsageError, match=rf"no column temp, which earlier spans have.* {spelled}"):
        load(tmp_path, later, name="b.csv")
