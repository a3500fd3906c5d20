import csv
import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.importers.table_file import read_table_file
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.source import Rejected
from data.tables.source import open_source
from edgeline.edge.contracts.row import preprocess
from edgeline.errors import DataRefused, UsageError
from edgeline.prediction.inputs import read_inputs
from pipeline.workloads import find_workload, read_schema, with_features
from tests.data.importers.named import import_table
from tests.data.importers.workbooks import write_xlsx

RNG = random.Random(5)
# Ages of people, which are no running numbers.
AGES = [n * 7 % 61 + 18 for n in range(300)]
HOW_GROUPED = "--group COLUMN if each is a machine, person or customer"
NAMES_LEAK = f"gives the label away ({HOW_GROUPED}, --number or --category keeps it)"


def make_labels(count=300):
    """Makes labels that do not depend on other columns."""
    rng = random.Random(2)
    return [rng.choice(("yes", "no")) for _ in range(count)]


def make_people():
    rng, rows = random.Random(1), []
    for number in range(300):
        paid = rng.choice(("yes", "no"))
        age = "" if number % 50 == 0 else rng.randint(18, 90)
        day = f"20{rng.randint(10, 24)}-0{rng.randint(1, 9)}-15"
        rows.append((f"K{number:04d}", age, rng.choice("ABC"), day, "x", {"yes": 1, "no": 0}[paid], paid))
    return to_columns(("id", "age", "town", "since", "fixed", "code", "paid"), rows)


def to_columns(names, rows):
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def write_table(path, columns, separator=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([columns, *zip(*columns.values(), strict=True)])
    return path


def load(tmp_path, columns, label="paid", name="a.csv", into="data", separator=",", **options):
    """Imports a table of these columns; without labels, it gets random ones."""
    tmp_path.mkdir(exist_ok=True)
    if label not in columns:
        columns = {**columns, label: make_labels(len(next(iter(columns.values()))))}
    return import_table(write_table(tmp_path / name, columns, separator), tmp_path / into, label, **options)


def read_cells(data_dir):
    """Reads the rows of the newest span as they were written."""
    with (find_spans(data_dir)[-1].path / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def open_workload(data_dir):
    return with_features(find_workload(str(data_dir / "workload.yaml")))


def read(data_dir):
    """Reads the newest span as a run does; each row also has its label."""
    source, span = open_source(open_workload(data_dir), DataSettings()), find_spans(data_dir)[-1]
    return [
        item if isinstance(item, Rejected) else {**source.example(span, item).features, "": item.label}
        for item in source.rows(span)
    ]


def test_the_kind_of_each_column_is_found_and_columns_to_leave_out_are_named(tmp_path):
    index = {"Unnamed: 0": list(range(300)), "group": ["a", "b", "c"] * 100}
    report = load(tmp_path, make_people() | index)
    assert report.numbers == ("age", "since_weekday", "since_month") and report.categories == ("town",)
    schema = read_schema(find_workload(str(tmp_path / "data" / "workload.yaml")))
    drifting = {feature.name for feature in schema.feature if feature.HasField("drift_comparator")}
    # Each month differs from those of the weeks before, so it does not count as drift.
    assert drifting == {"label", "missing_share", "age", "since_weekday", "town"}
    assert dict(report.left_out) == {
        "id": "is different in nearly every row",
        "fixed": "has one value",
        "code": "gives the label away",
        "Unnamed: 0": "has no name",
        "group": "is called like another feature of examples (rename it to learn from it)",
    }
    assert report.labels == ("no", "yes")
    # A run reads every row.
    rows = read(tmp_path / "data")
    assert len(rows) == 300 and {row[""] for row in rows} == {"yes", "no"}
    assert {*rows[1]} >= {"age", "since_weekday", "since_month", "town", "missing_share"}
    day = date.fromisoformat(read_cells(tmp_path / "data")[1]["since"])
    assert (rows[1]["since_month"], rows[1]["since_weekday"]) == ([day.month], [day.isoweekday()])


@pytest.mark.parametrize(
    ("label", "more", "message"),
    [
        ("paid", {"paid": ["yes"] * 300}, r"is 'yes' in every row"),
        ("id", {}, r"each a different one"),
        ("nothing", {}, r"no column nothing.*id, age"),
        ("paid", {"paid": [n // 5 for n in range(300)]}, r"has 60 different numbers in 300 rows.*bands"),
    ],
)
def test_a_label_from_which_nothing_can_be_learned_is_refused(tmp_path, label, more, message):
    write_table(tmp_path / "a.csv", make_people() | more)
    with pytest.raises(UsageError, match=message):
        import_table(tmp_path / "a.csv", tmp_path / "data", label)
    assert not (tmp_path / "data").exists()


def test_more_labels_than_a_model_tells_apart_are_not_one_for_each_row(tmp_path):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, {"x": range(4000), "paid": [f"shop {n % 1001}" for n in range(4000)]})
    assert caught.value.found.endswith("has over 1,000 different labels.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,paid\n", "has no row"),
        (b"a,paid,paid\n1,2,no\n", "has the column 'paid' twice"),
        (b"a,paid\n1,no\n1,2,yes\n", r"a\.csv:3: It has 3 cells, but the header has 2.*1 of 2 rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataRefused, match=message):
        import_table(tmp_path / "a.csv", tmp_path / "data", "paid")


def test_another_week_has_the_columns_of_the_first_whatever_is_in_them(tmp_path):
    load(tmp_path, make_people())
    # Alone, this week would have no town, day or label to learn from, and `fixed` and `code` as numbers.
    week = {"id": [f"Q{n}" for n in range(30)], "age": range(20, 50), "town": "A" * 30}
    week |= {"since": ["2025-03-15"] * 30, "fixed": range(30), "code": [n * 1.5 for n in range(30)]}
    report = load(tmp_path, week | {"paid": ["yes"] * 30}, name="b.csv")
    assert (report.numbers, report.categories) == (("age", "since_weekday", "since_month"), ("town",))
    reasons = {"id": "is different in nearly every row", "code": "gives the label away"}
    left_out = {name: why.partition(": ")[0] for name, why in report.left_out}
    assert left_out == reasons | {"fixed": "has one value"}
    # Cells that no model reads stay in the span.
    used = dict(age="20", town="A", since="2025-03-15", paid="yes")
    assert read_cells(tmp_path / "data")[0] == used | dict(id="Q0", fixed="0", code="0")


def test_a_new_label_goes_to_the_end_of_the_schema_and_is_named(tmp_path):
    load(tmp_path, make_people())
    report = load(tmp_path, make_people() | {"paid": ["late", *make_people()["paid"][1:]]}, name="b.csv")
    assert report.new_labels == ("late",)
    assert "Labels added at the end of the schema: late." in report.sentences()
    assert open_workload(tmp_path / "data").labels == ("no", "yes", "late")


@pytest.fixture(scope="module")
def people_folder(tmp_path_factory):
    """Imports people into a folder; tests add nothing to it."""
    folder = tmp_path_factory.mktemp("people")
    load(folder, make_people())
    return folder


@pytest.mark.parametrize(
    ("renamed", "more", "given", "message"),
    [
        ({"town": "city"}, {}, {}, "b.csv has no column town, which earlier spans have"),
        ({"town": "TOWN"}, {}, {}, "Say what it is called with --rename OLD=NEW"),
        ({}, {}, {"group": "id"}, "have no column as group, not id.*Leave out --group"),
        ({}, {}, {"text": "id"}, "has texts, and .* has data of kind table"),
        ({}, {"stars": [*"12"] * 150}, {"label": "stars"}, "paid as label, not stars.*Pass --label paid"),
        ({}, {"age": ["young"] * 300}, {}, "age of .* cannot be read as numbers, as in .* spans: 'young' in"),
        ({}, {"paid": [" YES", " NO"] * 150}, {}, "earlier spans have '(yes|no)'"),
        ({}, {"paid": ["1", "0"] * 150}, {}, "has the labels [01], [01], and earlier spans no, yes"),
    ],
)
def test_another_table_is_not_mixed_into_a_folder(people_folder, renamed, more, given, message):
    week = {renamed.get(name, name): cells for name, cells in make_people().items()}
    with pytest.raises((UsageError, DataRefused), match=message):
        load(people_folder, week | more, name="b.csv", **given)
    assert len(find_spans(people_folder / "data")) == 1


def test_numbers_with_a_decimal_comma_are_numbers_where_semicolons_separate(tmp_path):
    cells = ["1.234,5" if n % 9 == 0 else f"{n},25" if n % 2 else n for n in range(300)]
    columns = {"price": cells, "size": [f"{n}.5" for n in range(300)]}
    assert load(tmp_path, columns, separator=";").numbers == ("price", "size")
    assert [row["price"] for row in read_cells(tmp_path / "data")[:3]] == ["1.234,5", "1,25", "2"]
    rows = read(tmp_path / "data")
    assert [row["price"] for row in rows[:4]] == [[1234.5], [1.25], [2.0], [3.25]]
    assert rows[1]["size"] == [1.5]


def test_without_semicolons_the_cells_of_a_column_decide_what_a_comma_means(tmp_path):
    columns = {
        "price": [f"{n},25" if n % 2 else n for n in range(300)],
        "mass": [f"{n},250" if n % 3 else f"{n},250.5" for n in range(1, 301)],
        "count": [f"{n},250" for n in range(1, 301)],
    }
    report = load(tmp_path, columns)
    assert report.numbers == ("price", "mass")
    why = "has numbers with an ambiguous decimal comma (pass --decimal . or --decimal ,)"
    assert report.left_out == (("count", why),)
    rows = read(tmp_path / "data")
    assert [row["price"] for row in rows[:3]] == [[0.0], [1.25], [2.0]]
    assert [row["mass"] for row in rows[:3]] == [[1250.0], [2250.0], [3250.5]]
    assert "count" in load(tmp_path, columns, into="said", decimal=".").numbers
    assert read(tmp_path / "said")[0]["count"] == [1250.0]


@pytest.mark.parametrize(
    ("form", "seventh"), [("%d.%m.%Y", "7.03.2026"), ("%m/%d/%Y 6:30", "03/07/2026 6:30")]
)
def test_dates_of_one_clear_form_become_weekdays_and_hours_and_times_are_in_utc(tmp_path, form, seventh):
    cells = [(datetime(2026, 3, 1) + timedelta(n)).strftime(form) for n in range(300)]
    cells[6] = seventh
    columns, hour = {"since": cells, "day": cells}, ["since_hour"] if "30" in form else []
    assert load(tmp_path, columns, time="day").numbers == ("since_weekday", *hour, "since_age")
    row = read(tmp_path / "data")[6]
    assert row["day"] == f"2026-03-07T{'06:30' if hour else '00:00'}:00Z"
    assert (row["since_weekday"], row["since_age"]) == ([6.0], [0.0])
    assert row.get("since_hour") == ([6.5] if hour else None)
    report = load(tmp_path, columns, into="days", time="day", chosen={"since": "number"})
    assert report.numbers == ("since",)
    assert read(tmp_path / "days")[6]["since"] == pytest.approx([20519 + (6.5 / 24 if hour else 0)], abs=1e-3)


@pytest.mark.parametrize(
    ("cells", "first", "second"),
    [
        (["2026-01-09", "09.01.2026"] * 150, "2026-01-09", "09.01.2026"),
        ([f"{n}.5" if n % 2 else f"{n},5" for n in range(300)], "0,5", "1.5"),
    ],
    ids=["dates", "numbers"],
)
def test_dates_or_numbers_in_several_forms_are_refused_with_a_row_of_each(tmp_path, cells, first, second):
    with pytest.raises(DataRefused, match=rf"mixes formats: '{first}' in a\.csv:2, '{second}' in a\.csv:3"):
        load(tmp_path, {"x": cells}, separator=";")


def test_a_column_in_several_forms_may_be_left_out_or_kept_as_names(tmp_path):
    columns = {"age": AGES, "x": ["2026-01-09", "09.01.2026", "2026-01-11"] * 100}
    assert load(tmp_path, columns, into="out", chosen={"x": "leave out"}).numbers == ("age",)
    assert load(tmp_path, columns, into="kept", chosen={"x": "category"}).categories == ("x",)
    # A later week may have more columns than the schema, whatever they are.
    load(tmp_path, {"age": AGES})
    why = "table.yaml does not have: --add x takes it from now on"
    assert dict(load(tmp_path, columns, name="b.csv").left_out) == {"x": why}


def test_a_column_that_is_added_is_read_from_its_week_on_and_earlier_weeks_have_it_missing(tmp_path):
    wind = [round(RNG.uniform(0, 30), 2) for _ in AGES]
    week = {"age": AGES, "wind": wind, "sky": ["clear", "rain", "fog"] * 100}
    load(tmp_path, {"age": AGES})
    load(tmp_path, week | {"age": [age + 0.5 for age in AGES]}, name="b.csv")
    report = load(tmp_path, week | {"age": [age + 0.25 for age in AGES]}, name="c.csv", add=("wind", "sky"))

    assert (report.numbers, report.categories) == (("age", "wind"), ("sky",))
    # The second week has the cells, which no model of that week read.
    remark = "A model reads sky, wind from span-00002 on; 300 rows of the spans before are without."
    assert remark in report.remarks
    workload = open_workload(tmp_path / "data")
    assert (workload.numbers, workload.categories) == (("age", "wind"), ("sky",))
    assert workload.since == {"wind": 2, "sky": 2}
    source, spans = open_source(workload, DataSettings()), find_spans(tmp_path / "data")
    winds = [source.example(span, next(iter(source.rows(span)))).features["wind"][0] for span in spans]
    assert np.isnan(winds[0]) and winds[1:] == pytest.approx([wind[0], wind[0]], rel=1e-6)

    # From then on, the column is one like any other.
    assert load(tmp_path, week | {"age": [age + 0.75 for age in AGES]}, name="d.csv").left_out == ()
    with pytest.raises(UsageError, match="has no column wind, which earlier spans have"):
        load(tmp_path, {"age": [age + 0.1 for age in AGES], "sky": week["sky"]}, name="e.csv")
    with pytest.raises(UsageError, match="--add wind: earlier spans have that column"):
        load(tmp_path, week, name="f.csv", add=("wind",))


def test_a_column_is_added_to_weeks_that_are_there_already_and_its_form_is_kept(tmp_path):
    days = [f"2026-0{n % 9 + 1}-15" for n in range(300)]
    load(tmp_path, {"age": AGES})
    week = {"age": [age + 0.5 for age in AGES], "seen": days}
    load(tmp_path, week, name="b.csv")
    report = load(tmp_path, week, name="b.csv", add=("seen",))
    assert report.span is None and report.numbers == ("age", "seen_weekday")
    entry = read_table_file(tmp_path / "data").columns["seen"]
    assert (entry.role, entry.since) == ("date", "span-00002")
    workload = open_workload(tmp_path / "data")
    assert workload.since == {"seen_weekday": 2} and workload.columns["seen_weekday"].part == "weekday"


def test_a_new_column_is_asked_about_once_where_there_is_a_terminal(tmp_path):
    asked = []

    def ask(question, choices, guess):
        asked.append((question.split(" (")[0], guess))
        return "number" if question.startswith("wind ") else guess

    week = {"age": AGES, "wind": AGES[::-1], "note": [f"n{n % 7}" for n in range(300)]}
    load(tmp_path, {"age": AGES})
    report = load(tmp_path, week | {"age": [age + 0.5 for age in AGES]}, name="b.csv", ask=ask)
    assert asked == [("wind", "leave out"), ("note", "leave out")] and report.numbers == ("age", "wind")
    load(tmp_path, week | {"age": [age + 0.25 for age in AGES]}, name="c.csv", ask=ask)
    assert len(asked) == 2


def test_a_column_that_no_model_should_see_or_that_is_not_there_cannot_be_added(tmp_path):
    load(tmp_path, {"age": AGES})
    with pytest.raises(UsageError, match="--add fixed: it has one value"):
        load(tmp_path, {"age": AGES, "fixed": ["x"] * 300}, name="b.csv", add=("fixed",))
    with pytest.raises(UsageError, match=r"has no column wnd\..*Did you mean wind"):
        load(tmp_path, {"age": AGES, "wind": AGES}, name="b.csv", add=("wnd",))


def test_a_column_that_was_left_out_is_added_in_place_of_its_entry(tmp_path):
    days = [f"2026-0{n % 9 + 1}-15" for n in range(300)]
    load(tmp_path, {"age": AGES, "odd one": days}, chosen={"odd one": "leave out"})
    report = load(tmp_path, {"age": AGES, "odd one": days}, add=("odd one",), chosen={"odd one": "category"})
    assert report.span is None and report.categories == ("odd one",)
    file = read_table_file(tmp_path / "data")
    assert file.columns["odd one"].role == "category" and file.columns["age"].role == "number"
    # The first week has its cells, so no week has to do without.
    assert open_workload(tmp_path / "data").since == {"odd one": 1}
    assert load(tmp_path, {"age": AGES, "odd one": days}).left_out == ()


def test_dates_with_an_ambiguous_day_and_month_are_no_times_and_left_out(tmp_path):
    columns = {"since": [f"{n % 12 + 1}/{n % 11 + 1}/2026" for n in range(300)], "age": AGES}
    assert dict(load(tmp_path, columns).left_out) == {"since": "has dates with an ambiguous day and month"}
    with pytest.raises(UsageError, match=r"no readable times: '1/1/2026' in a\.csv:2"):
        load(tmp_path, columns, into="other", time="since")


def test_seconds_since_a_start_are_no_times_and_the_way_to_make_some_is_told(tmp_path):
    columns = {"passed": [f"{n * 0.5:.1f}" for n in range(300)], "age": AGES}
    with pytest.raises(
        UsageError, match=r"no readable times: '0\.0'.*to_timedelta\(table\['passed'\], unit='s'\)"
    ):
        load(tmp_path, columns, time="passed")


def test_dates_in_forms_that_are_not_read_are_no_categories(tmp_path):
    days = {"%d %b %Y": 50, "%b %d, %Y": 1250, "%d.%m.%y": 50, "%m/%d/%Y %I:%M %p": 50, "%G-W%V": 50}
    columns = {
        form: [(datetime(2020, 1, 5, 18) + timedelta(n * 5 % count)).strftime(form) for n in range(1500)]
        for form, count in (days | {"%Y%m%d": 1250}).items()
    }
    left_out = dict(load(tmp_path, columns | {"age": AGES * 5}).left_out)
    for form, cells in columns.items():
        why = f"has dates in a form that is not read, such as {cells[0]!r} in a.csv:2: write"
        assert left_out[form].startswith(why)


def test_numbers_with_a_unit_are_read_as_such_week_after_week_and_a_few_sizes_are_a_category(tmp_path):
    forms = {"{:.1f} %": "number in %", "${:,.2f}": "number with commas at thousands in $"}
    forms |= {"{:.2f}kg": "number in kg", "USD {:.1f}": "number in USD"}
    values = [1000 + n * 7 % 60 * 1.1 for n in range(300)]
    columns = {form: [form.format(value) for value in values] for form in forms}
    sizes = {f"size {form}": [form.format(n % 4) for n in range(300)] for form in forms}
    report = load(tmp_path, columns | sizes | {"code": ["A4", "B2", "K40"] * 100})
    assert report.numbers == (*forms,) and report.categories == (*sizes, "code")
    assert {name: column.form for name, column in open_workload(tmp_path / "data").columns.items()} == forms
    for name in forms:
        assert [row[name][0] for row in read(tmp_path / "data")] == pytest.approx(values, abs=0.06)

    # Another unit, or none, is not taken for the first one.
    for other in ("{:.2f}g", "{:.2f}"):
        columns["{:.2f}kg"] = [other.format(value) for value in values]
        with pytest.raises(UsageError, match=r"kg of .* cannot be read as numbers in kg, as in earlier"):
            load(tmp_path, columns | sizes | {"code": ["A4", "B2", "K40"] * 100})


def test_numbers_as_people_write_them_are_read_as_such_in_the_first_week_and_later(tmp_path):
    values = [n * 7 % 300 * 13.5 - 90 for n in range(80, 380)]
    clocks = [divmod(n * 37 % 3600, 60) for n in range(300)]
    columns = {
        "blank": [f"{value:,.2f}".replace(",", " ").replace(".", ",") for value in values],
        "narrow": [f"{value:,.2f}".replace(",", "\u202f").replace(".", ",") for value in values],
        "quote": [f"{value:,.2f}".replace(",", "'").replace(".", ",") for value in values],
        "behind": [f"{abs(value):.2f}".replace(".", ",") + "-" * (value < 0) for value in values],
        "minus": [f"{value:.2f}".replace(".", ",").replace("-", "\u2212") for value in values],
        "brackets": [(f"({-v:.2f})" if v < 0 else f"{v:.2f}").replace(".", ",") for v in values],
        "formula": [f'="{value:.2f}"'.replace(".", ",") for value in values],
        "lap": [f"{minute}:{second:02}.5" for minute, second in clocks],
        "duration": [f"00:{minute:02}:{second:02}" for minute, second in clocks],
        "half": [f"{n}/2" for n in range(300)],
    }
    labels = make_labels(300)
    report = load(tmp_path, columns | {"paid": labels}, separator=";")
    assert report.numbers == (*columns,)
    rows = read(tmp_path / "data")
    for name in list(columns)[:7]:
        assert [row[name][0] for row in rows] == pytest.approx(values)
    seconds = [60 * minute + second for minute, second in clocks]
    assert [row["lap"][0] for row in rows] == [second + 0.5 for second in seconds]
    assert [row["duration"][0] for row in rows] == seconds
    assert [row["half"][0] for row in rows] == [n / 2 for n in range(300)]

    # Another week is known again, and clock times are not taken for plain numbers.
    assert load(tmp_path, columns | {"paid": labels}, separator=";").span is None
    with pytest.raises(UsageError, match="cannot be read as minutes:seconds or hours:minutes, as in earlier"):
        load(tmp_path, columns | {"lap": seconds, "paid": labels}, separator=";")


def test_a_typing_error_in_a_column_is_quarantined_and_a_missing_cell_is_missing(tmp_path):
    cells = [f"2026-01-{n % 28 + 1:02}" for n in range(300)]
    cells[3], cells[4] = "2026-13-01", "?"
    load(tmp_path, {"since": cells})
    rows = read(tmp_path / "data")
    rejected = [(item.id, item.reason) for item in rows if isinstance(item, Rejected)]
    assert rejected == [("table.csv:5", "unreadable-time")]
    assert str(rows[4]["since_weekday"]) == "[nan]"


def test_few_damaged_rows_are_left_out_and_named_and_many_are_not(tmp_path):
    src = write_table(tmp_path / "a.csv", make_people())
    src.write_text(src.read_text() + 'K,1\n"K" 2,1\n')
    report = import_table(src, tmp_path / "data", "paid")
    assert report.rows == 300
    assert report.sentences()[-3:-1] == [
        "Not imported: a.csv:302: It has 2 cells, but the header has 7.",
        "Not imported: a.csv:303: It is not CSV (',' expected after '\"').",
    ]
    src.write_text(src.read_text() + "K,1\n" * 3)
    with pytest.raises(DataRefused, match="5 of 305 rows"):
        import_table(src, tmp_path / "data", "paid")


def make_ranges(per_label, apart):
    """Makes a column with a range for each label; if not `apart`, a row of the first lies in the second."""
    rows = [
        (round(10 * place + n / count + (10.5 if not apart and place == n == 0 else 0), 4), n % 7, label)
        for place, (label, count) in enumerate(per_label.items())
        for n in range(count)
    ]
    random.Random(3).shuffle(rows)
    return rows


def make_gaps(count, cell):
    """Makes a column without a value in every third row, those of one label."""
    return [(cell(n), n % 7, "ab"[n % 3 > 0]) for n in range(count)]


APART, EMPTY = "each label has a range of its own", "it is empty in all rows labelled a, and in no others"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (make_ranges({"a": 150, "b": 150}, True), APART),
        (make_ranges({"a": 150, "b": 150}, False), ""),
        (make_ranges({"a": 100, "b": 80, "c": 20, "d": 1}, True), APART),
        # Two of the irises: a legitimate column may separate as many rows.
        (make_ranges({"a": 50, "b": 50}, True), ""),
        ([(datetime(2026, 1, 1) + timedelta(hours=n), n % 7, "ab"[n >= 150]) for n in range(300)], APART),
        # Filled in once the label is known, also with a mark.
        (make_gaps(300, lambda n: n % 11 if n % 3 else ""), EMPTY),
        (make_gaps(300, lambda n: n % 11 if n % 3 and n >= 3 else ""), EMPTY.replace("no", "2")),
        (make_gaps(300, lambda n: n % 11 if n % 3 and n >= 40 else ""), ""),
        (make_gaps(60, lambda n: "x" if n % 3 else ""), EMPTY),
    ],
)
def test_a_column_that_gives_the_label_away_is_left_out(tmp_path, rows, why):
    columns = to_columns(("x", "age", "paid"), rows)
    assert dict(load(tmp_path, columns).left_out) == ({"x": f"gives the label away: {why}"} if why else {})


def test_a_single_group_is_refused_unless_there_are_spans_of_others(tmp_path):
    alone = {"age": AGES, "group": ["m1"] * 300}
    with pytest.raises(UsageError, match=r"group of .* is 'm1' in every row.*Leave out --group"):
        load(tmp_path, alone, group="group")
    load(tmp_path, {"age": AGES, "group": ["m1", "m2", "m3"] * 100}, group="group")
    load(tmp_path, alone, group="group")
    assert len(find_spans(tmp_path / "data")) == 2


def test_a_class_may_be_called_none(tmp_path):
    paid = [("None", "leak", "NaN")[n * n % 7 % 3] for n in range(300)]
    report = load(tmp_path, {"age": AGES, "paid": paid})
    assert report.labels == ("None", "leak")
    assert any("'None' counts as a class" in note for note in report.remarks)
    assert report.unlabelled == 86 and len(read_cells(tmp_path / "data")) == 214
    assert any("Left out because paid is missing: 86 (a.csv:5, " in note for note in report.remarks)


MARKS = [n * n % 7 in (1, 2) for n in range(300)]


def get_kind(tmp_path, cells, name="x", **options):
    """Imports a column of these cells beside one of ages; returns what it was taken for."""
    report = load(tmp_path, {name: cells, "age": AGES}, **options)
    kinds = {"number": report.numbers, "category": report.categories}
    return next((kind for kind, names in kinds.items() if name in names), dict(report.left_out).get(name, ""))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["x" if is_marked else "" for is_marked in MARKS], "category"),
        (["gold" if is_marked else "none" for is_marked in MARKS], "category"),
        (["1" if is_marked else "" for is_marked in MARKS], "number"),
        # A few typing errors in an empty column are no marks.
        (["x"] * 2 + [""] * 298, "has one value"),
    ],
)
def test_a_column_of_a_mark_or_nothing_has_two_values(tmp_path, cells, kind):
    assert get_kind(tmp_path, cells) == kind
    if kind == "category":
        assert {row["x"] for row in read(tmp_path / "data")} == set(cells)
        assert get_kind(tmp_path, ["y"] * 300) == kind  # the next week


def make_panel(persons, rows_each, name, exceptions=0):
    """Makes columns of persons, each with one label in all rows but for the exceptions."""
    rng = random.Random(4)
    numbers = rng.sample(range(100, 999), persons)
    of_person = {number: rng.choice("ab") for number in numbers}
    rows = [(name(n), rng.randrange(60), of_person[n]) for n in numbers for _ in range(rows_each)]
    for number, row in enumerate(rows[: exceptions * rows_each : rows_each]):
        rows[number * rows_each] = (*row[:2], "b" if row[2] == "a" else "a")
    rng.shuffle(rows)
    return zip(*rows, strict=True)


@pytest.mark.parametrize(
    ("columns", "name", "leaks"),
    [
        (make_panel(300, 2, str), "id", True),
        (make_panel(300, 2, lambda n: f"00{n}"), "customer", True),
        # One label a value in so few rows is a coincidence, and a measurement is no name.
        (make_panel(9, 2, "X{}".format), "plan", False),
        (make_panel(200, 3, lambda n: f"{n / 7:.2f}"), "height", False),
        (make_panel(50, 4, "X{}".format, exceptions=1), "ID", False),
    ],
)
def test_names_that_each_have_one_label_give_it_away(tmp_path, columns, name, leaks):
    columns = dict(zip((name, "age", "paid"), columns, strict=True))
    left_out = dict(load(tmp_path, columns).left_out)
    assert left_out == ({name: NAMES_LEAK} if leaks else {})


def test_a_measurement_of_each_person_is_no_leak_if_persons_are_the_groups(tmp_path):
    number, age, paid = make_panel(60, 10, str)
    columns = {"person": number, "height": [f"{int(n) / 7:.2f}" for n in number], "age": age, "paid": paid}
    columns |= {"name": [f"X{n}" for n in number], "code": [label == "a" for label in paid]}
    leaks = {"name": NAMES_LEAK, "code": "gives the label away"}
    alone = dict(load(tmp_path, columns, into="rows").left_out)
    assert alone == leaks | {name: leaks["name"] for name in ("person", "height")}
    report = load(tmp_path, columns, group="person")
    assert report.numbers == ("height", "age")
    assert dict(report.left_out) == leaks | {"name": "gives the label away (--number or --category keeps it)"}


@pytest.mark.parametrize(("name", "first"), [("wind", "09"), ("pain_index", "10")])
def test_a_strong_measurement_of_a_small_table_is_no_name(tmp_path, name, first):
    numbers = [first, *(str(10 + 7 * n % 80) for n in range(1, 150))]
    columns = {name: numbers, "age": AGES[:150], "paid": ["ab"[int(number) >= 50] for number in numbers]}
    assert not load(tmp_path, columns).left_out


def test_a_column_of_any_name_is_the_same_for_a_run_and_for_another_week(tmp_path):
    days = ["05.01.2020", "27.02.2023", "13.03.2026"] * 100
    columns = {"age": AGES, "👍 a\\b\u2028c": days, "paid 😀": make_labels()}
    load(tmp_path, columns, label="paid 😀", time="👍 a\\b\u2028c")
    assert (open_workload(tmp_path / "data").label_column, len(read(tmp_path / "data"))) == ("paid 😀", 300)
    assert load(tmp_path, columns, label="paid 😀").known == 300


def test_the_index_of_a_frame_is_left_out_of_every_kind_of_file(tmp_path):
    frame = pd.DataFrame({"age": AGES, "paid": make_labels()}, index=RNG.sample(range(10_000), 300))
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv", index=False)
    for name in ("a.parquet", "a.csv", "b.csv"):
        assert import_table(tmp_path / name, tmp_path / f"of {name}", "paid").numbers == ("age",)


def test_a_column_with_the_name_of_a_feature_of_every_example_cannot_be_chosen(tmp_path):
    columns = {"age": AGES, "span": [1, 2, 3] * 100}
    for given in ({"chosen": {"span": "number"}}, {"group": "span"}, {"time": "span"}):
        with pytest.raises(UsageError, match=r"The column span of .* was chosen, and examples have another"):
            load(tmp_path, columns, **given)
    assert [left_out for left_out, _ in load(tmp_path, columns).left_out] == ["span"]
    assert open_workload(tmp_path / "data").reads == ("age",)


NAMING = {
    "a": (RNG.sample(range(1000, 1300), 300), "numbers the rows"),
    "b": (sorted(RNG.sample(range(9000), 300)), "numbers the rows"),
    "c": (RNG.sample(range(100_000, 1_000_000), 300), "like an identifier"),
    "orderNo": (RNG.sample(range(10_000, 40_000), 300), "like an identifier"),
    "d": ([f"0{n}" for n in RNG.sample(range(10**9, 10**10), 300)], "different in nearly every row"),
    "e": (RNG.choices(["01067", "80331", "10115"], k=300), "category"),
    "f": (RNG.choices([10115, 80331, 20095, 50667], k=300), "category"),
    "store": (RNG.choices([3, 8, 12], k=300), "category"),
    # Measured: incomes that differ in nearly every row, years and doses.
    "g": ([round(RNG.lognormvariate(10.5, 0.5)) for _ in range(300)], "number"),
    "h": (RNG.choices(range(1990, 2026), k=300), "number"),
    "i": (RNG.choices([100, 250, 500], k=300), "number"),
    # Neither numbers nor dates.
    "j": ([f"{n % 4 + 1}-{n % 3 + 1}-15" for n in range(300)], "category"),
    "k": ([f"bird {n * 5 // 9}" for n in range(300)], "customer, --category keeps the most frequent)"),
}


def test_whole_numbers_that_name_something_are_no_numbers_to_learn_from(tmp_path):
    report = load(tmp_path, {name: cells for name, (cells, _) in NAMING.items()})
    kinds = dict(report.left_out) | dict.fromkeys(report.numbers, "number")
    kinds |= dict.fromkeys(report.categories, "category")
    assert not {name: kinds[name] for name, (_, kind) in NAMING.items() if not kinds[name].endswith(kind)}


def test_a_column_is_taken_for_the_same_in_a_large_table(tmp_path):
    rng, count = random.Random(6), 3_000
    columns = {
        "salary": [rng.randrange(20_000, 60_000) for _ in range(count)],
        "zip": rng.choices(rng.sample(range(10_000, 99_999), 1_500), k=count),
        "city": [f"town {rng.randrange(1_500)}" for _ in range(count)],
        "reading": [rng.randrange(10**9, 10**10) for _ in range(count)],
    }
    report = load(tmp_path, columns)
    assert report.numbers == ("salary",) and report.categories == ()
    left_out = dict(report.left_out)
    assert left_out["city"] == f"has over 1,000 values ({HOW_GROUPED}, --category keeps the most frequent)"
    over = f"is called like an identifier, with over 1,000 values ({HOW_GROUPED}, --number"
    assert left_out["zip"].startswith(over) and left_out["reading"].endswith("like an identifier")


def test_the_cell_that_keeps_a_column_from_being_numbers_is_named(tmp_path):
    cells = [f"{n / 7:.4f}" for n in range(300)]
    cells[40:60] = ["<200"] * 20
    assert get_kind(tmp_path, cells) == (
        "has numbers in a form that is not read, limits of detection, such as '<200' in a.csv:42: write the"
        " number, and the mark into a column of its own (--category keeps them as names)"
    )
    with pytest.raises(UsageError, match=r"'<200' in a\.csv:42"):
        get_kind(tmp_path, cells, into="chosen", chosen={"x": "number"})


def test_numbers_with_other_cells_and_few_values_are_a_category_that_is_explained(tmp_path):
    columns = {"age": [n % 30 + 20 if n % 20 else "." for n in range(300)], "town": "ABC" * 100}
    report = load(tmp_path, columns)
    fault = "has 15 cells that are not numbers or dates, such as '.' in a.csv:2: empty these"
    assert report.categories == ("age", "town") and report.remarks == (f"age, a category, {fault}.",)
    chosen = load(tmp_path, columns, into="chosen", chosen={"age": "category"})
    assert chosen.remarks == load(tmp_path, columns).remarks == ()


@pytest.mark.parametrize(("first", "later"), [("", ".0"), (".0", "")])
def test_whole_numbers_are_the_same_labels_categories_and_groups_however_they_end(tmp_path, first, later):
    """Pandas writes whole numbers with a point if the column has a gap."""
    rng = random.Random(7)

    def week(name, ending, **options):
        columns = {
            "customer": [f"{n // 3}{ending}" for n in range(300)],
            "store": [f"{rng.choice((109, 208, 316))}{ending}" for _ in range(300)],
            "age": AGES,
            "paid": [f"{n % 2}{ending}" for n in range(300)],
        }
        return load(tmp_path, columns, name=name, group="customer", **options)

    assert week("a.csv", first, chosen={"store": "category"}).labels == (f"0{first}", f"1{first}")
    again = week("b.csv", later)
    assert (again.labels, again.new_labels) == ((f"0{first}", f"1{first}"), ())
    stores = {f"{n}{first}" for n in (109, 208, 316)}
    assert {value["store"] for value in read(tmp_path / "data")} == stores
    # A request with the later week's file reads them as the import does.
    contract = {"version": 3, "kind": "row", "readings": 1, "clip": 9, "missing": [""], "numbers": []}
    contract |= {"categories": [{"name": "store", "vocabulary": sorted(stores)}], "vocabulary_size": 32}
    assert {each.content["store"][0] for each in read_inputs(tmp_path / "b.csv", contract)} == stores


def test_rows_that_come_again_in_another_file_are_known_by_their_values(tmp_path):
    days = [datetime(2026, 1, 1, 6) + timedelta(hours=n) for n in range(300)]
    load(tmp_path, {"day": days, "price": [f"{age}.50" for age in AGES], "paid": make_labels()}, time="day")
    prices = [age + 0.5 for age in AGES[-50:]]
    week = pd.DataFrame({"day": days[-50:], "price": prices, "paid": make_labels()[-50:]})
    pd.concat([week, week.assign(price=0.25)]).to_parquet(tmp_path / "b.parquet")
    report = import_table(tmp_path / "b.parquet", tmp_path / "data", "paid")
    assert (report.known, report.rows) == (50, 50)


def test_rows_are_known_again_after_a_week_whose_whole_numbers_ended_otherwise(tmp_path):
    gap = {"age": [""], "paid": ["yes"]}
    weeks = [{"age": AGES}, gap, {"age": [f"{200 + n}.0" for n in range(300)]}, {"age": AGES}]
    for number, week in enumerate(weeks):
        report = load(tmp_path, week, chosen={} if number else {"age": "number"})
    assert (report.known, report.span) == (300, None)


def test_a_later_week_without_labels_is_refused_and_one_without_a_category_has_no_large_one(tmp_path):
    week = {"age": AGES[:60], "town": "abc" * 20}
    load(tmp_path, week, vocabulary=2)
    with pytest.raises(UsageError, match=r"paid of .* is 'empty' in every row"):
        load(tmp_path, week | {"paid": [""] * 60})
    assert load(tmp_path, week | {"town": [""] * 60}, vocabulary=2).remarks == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "paid"}, "--label and --text are both paid"),
        ({"group": "paid"}, "--label and --group are both paid"),
        ({"group": "since", "time": "since"}, "--group and --time are both since"),
        ({"text": "town", "time": "since"}, "--time is given with --text"),
        ({"text": "town", "readings": 2}, "--readings is given with --text"),
        ({"readings": 8}, "--readings is given without --time"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, given, message):
    with pytest.raises(UsageError, match=message):
        load(tmp_path, make_people(), **given)


def test_group_and_time_of_earlier_spans_are_those_of_later_ones_and_others_are_refused(tmp_path):
    def week(month, count):
        days = [f"2026-{month}-{1 + n % 28:02}" for n in range(count)]
        return {"customer": [n // 3 for n in range(count)], "day": days, "age": AGES[:count]}

    later = week("06", 99)
    load(tmp_path, week("05", 300), group="customer", time="day")
    load(tmp_path, later)
    assert {row["customer"] for row in read(tmp_path / "data")} == {str(n) for n in range(33)}
    with pytest.raises(UsageError, match=r"column customer as group, not age.*Pass --group customer"):
        load(tmp_path, later, group="age")
    with pytest.raises(UsageError, match=r"no column customer, which earlier spans have.*--rename OLD=NEW"):
        load(tmp_path, {"day": ["1"], "age": [2]}, name="c.csv")


def test_spellings_of_a_label_are_a_warning_in_the_first_week_and_no_new_classes_later(tmp_path):
    ends = [("churn", "stay", "Churn", "01")[n * 7 % 11 % 4] for n in range(300)]
    (warning,) = load(tmp_path, {"age": AGES, "paid": ends}).warnings
    assert warning.startswith("The labels 'Churn', 'churn' differ in their spelling alone")
    # A spreadsheet drops the zeros of numbers.
    with pytest.raises(DataRefused, match="has the label '1', and earlier spans have '01'"):
        load(tmp_path, {"age": AGES, "paid": ["1", "stay", "churn"] * 100}, name="b.csv")


def test_rows_that_a_run_will_quarantine_are_a_warning(tmp_path):
    customers = [n // 3 if n % 3 else "" for n in range(300)]
    report = load(tmp_path, {"customer": customers, "age": AGES}, group="customer")
    assert "for their cells: 100 of 300. The cell customer is empty (a.csv:2)." in report.warnings[0]
    assert sum(isinstance(each, Rejected) for each in read(tmp_path / "data")) == 100


@pytest.mark.parametrize("bad", ["broken", "1e308"])
def test_a_few_bad_cells_in_each_of_many_columns_add_up_to_rows_that_are_counted(tmp_path, bad):
    columns = {f"x{n}": [f"{k % 83 / 7 + n:.4f}" for k in range(400)] for n in range(12)}
    for n, cells in enumerate(columns.values()):
        cells[30 * n : 30 * n + 3] = [bad] * 3
    found = f"36 of 400. x0: '{bad}' is not a number"
    with pytest.raises(DataRefused, match=f"Rows that a run will quarantine for their cells: {found}"):
        load(tmp_path, columns, least=20)
    report = load(tmp_path, columns)
    assert found in report.warnings[0] and "(a.csv:2), x1" in report.warnings[0]
    assert sum(isinstance(each, Rejected) for each in read(tmp_path / "data")) == 36

    # One row of several bad cells counts once, and a week that is not the first is imported.
    later = {name: [bad, *(f"{k / 7:.4f}" for k in range(400, 549))] for name in columns}
    (warning,) = load(tmp_path, later, least=20).warnings
    assert ": 1 of 150." in warning


def test_photos_in_a_parquet_file_are_taken_neither_for_texts_nor_for_a_table(tmp_path):
    photos = [{"bytes": b"\x89PNG", "path": f"{n}.png"} for n in range(60)]
    pq.write_table(pa.table({"image": photos, "label": [0, 1] * 30}), tmp_path / "a.parquet")
    for options in ({}, {"text": "image"}):
        with pytest.raises(UsageError, match=r"a\.parquet has photos in its column image\."):
            import_table(tmp_path / "a.parquet", tmp_path / "w", "label", **options)
    columns = {"image": photos, "age": [7, 1, 5, 2] * 15, "y": [0, 1, 1] * 20}
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    assert "image" in dict(import_table(tmp_path / "b.parquet", tmp_path / "w", "y").left_out)


def test_line_ends_and_zeros_in_cells_cost_no_row(tmp_path):
    texts = [f"line {n}\rand\r\nanother" if n % 3 else f"zero {n}" for n in range(60)]
    frame = pd.DataFrame({"body": texts, "stars": ["good", "bad"] * 30})
    frame.loc[0, "body"] = "a\0b"
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        data = tmp_path / name.replace(".", "-")
        assert import_table(tmp_path / name, data, "stars", text="body").rows == 60
        again = import_table(tmp_path / name, data, "stars", text="body")
        assert (again.rows, again.known) == (0, 60)


def test_codes_are_asked_about_with_a_guess_and_a_person_has_the_last_word(tmp_path):
    cells, questions = RNG.choices([10115, 80331, 20095, 50667], k=300), []

    def ask(question, choices, guess):
        questions.append((question.split(" (")[0], guess, len(question.split(", ...")[0].split(", "))))
        return "leave out"

    assert get_kind(tmp_path, cells, "zip", ask=ask) == "was chosen to be left out"
    assert questions == [("zip", "category", 4)]
    assert get_kind(tmp_path, cells, "zip", into="b", chosen={"zip": "number"}) == "number"
    guessed = load(tmp_path, {"zip": cells, "age": AGES}, into="c")
    assert guessed.guessed == (("zip", "category"),)
    assert any("zip contains whole numbers that may be codes" in line for line in guessed.sentences())
    with pytest.raises(UsageError, match="no column zap"):
        get_kind(tmp_path, cells, "zip", into="d", chosen={"zap": "number"})


@pytest.mark.parametrize(("price", "first"), [("2,5", 78932.0), ("2.5", 78.932), ("2", None)])
def test_points_at_thousands_are_recognized_by_other_columns(tmp_path, price, first):
    columns = {"sum": ["78.932", "259", "1.250"] * 100, "price": [price, "3"] * 150}
    report = load(tmp_path, columns, separator=";")
    if first is not None:
        assert [row["sum"] for row in read(tmp_path / "data")[:2]] == [pytest.approx([first]), [259.0]]
    else:
        assert "ambiguous decimal point, such as '78.932' in a.csv:2" in dict(report.left_out)["sum"]
        assert "sum" in load(tmp_path, columns, separator=";", into="said", decimal=",").numbers
        assert read(tmp_path / "said")[0]["sum"] == [78932.0]


def test_a_second_week_has_the_order_of_the_first_and_another_clear_form_is_rewritten(tmp_path):
    def week(form, first, days, mark):
        cells = [(first + timedelta(n % days)).strftime(form) for n in range(300)]
        load(tmp_path, {"since": cells, "amount": [f"{n}{mark}5" for n in AGES]}, separator=";")

    week("%d.%m.%Y", datetime(2026, 1, 1), 60, ",")
    # 3.2.2026 may be in February or in March, and only the first week tells.
    week("%d.%m.%Y", datetime(2026, 2, 1), 7, ",")
    assert read(tmp_path / "data")[2]["since_weekday"] == [date(2026, 2, 3).isoweekday()]
    week("%Y-%m-%d", datetime(2026, 3, 1), 14, ".")
    row = read_cells(tmp_path / "data")[0]
    assert (row["since"], row["amount"]) == ("01.03.2026", "18,5")
    assert read(tmp_path / "data")[0]["amount"] == [18.5]


def test_a_table_that_is_imported_twice_adds_nothing_and_a_longer_one_its_new_rows(tmp_path):
    def week(count, sign="."):
        ages = [f"{age + n / 1000}".replace(".", sign) for n, age in enumerate(AGES[:count])]
        return {"age": ages, "town": ("AB" * 150)[:count]}

    load(tmp_path, week(200))
    again = load(tmp_path, week(200, ","), separator=";")
    assert (again.span, again.known, again.rows) == (None, 200, 0) and len(find_spans(tmp_path / "data")) == 1
    assert again.sentences()[:2] == ["Nothing is new, and nothing was added.", "200 rows were there already."]
    longer = load(tmp_path, week(300))
    assert (longer.known, longer.rows, len(read(tmp_path / "data"))) == (200, 100, 100)
    one = replace(longer, rows=1, known=1, labels=("yes",)).sentences()
    assert one[0].endswith("holds 1 row of " + longer.source + ", with 1 label: yes.")
    assert one[1] == "1 row was there already."


def test_rows_that_are_equal_by_chance_are_kept_and_the_whole_table_is_known_again(tmp_path):
    columns = {"town": RNG.choices("ABC", k=300), "size": RNG.choices("SML", k=300)}
    load(tmp_path, columns)
    assert load(tmp_path, columns).span is None
    assert load(tmp_path, {name: cells[:100] for name, cells in columns.items()}).rows == 100


def test_many_numbers_are_classes_where_a_person_says_so_or_those_of_earlier_weeks(tmp_path):
    with pytest.raises(UsageError, match=r"has over 1,000 different numbers.*bands"):
        load(tmp_path, {"age": AGES * 5, "paid": [n * 0.1 for n in range(1500)]})
    shops = {"age": AGES, "b": [n % 7 for n in range(300)], "shop": list(range(30)) * 10}
    with pytest.raises(UsageError, match=r"has 30 different numbers.*add --category shop"):
        load(tmp_path, shops, "shop")
    load(tmp_path, shops, "shop", chosen={"shop": "category"})
    later = {"age": range(200, 260), "b": [n % 7 for n in range(60)], "shop": list(range(30)) * 2}
    assert load(tmp_path, later, "shop", name="b.csv").rows == 60


def test_a_table_that_has_grown_adds_its_new_rows_though_many_are_alike(tmp_path):
    def make(count):
        return {"size": [n % 3 for n in range(count)], "paid": ["yes", "no"] * (count // 2)}

    assert [load(tmp_path, make(count)).rows for count in (60, 90, 90, 100)] == [60, 30, 0, 10]
    other = {"size": [0] * 100, "paid": ["yes", "no"] * 50}
    assert load(tmp_path, other).rows == 100


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([f"g{n}" for n in range(300)], "The group who differs in nearly every row"),
        (["a", "b"] * 150, "Each of the 2 groups of who has one label"),
        (["a", "b", "c"] * 100, ""),
    ],
)
def test_groups_of_little_use_are_remarked_at_the_import(tmp_path, groups, message):
    notes = load(tmp_path, {"age": AGES, "who": groups, "paid": ["yes", "no"] * 150}, group="who").remarks
    assert [note for note in notes if message and note.startswith(message)] == list(notes)
    assert bool(notes) == bool(message)


def test_a_week_from_a_workbook_becomes_what_the_first_one_was_and_its_cells_keep_their_types(tmp_path):
    days = [datetime(2026, 1, 1) + timedelta(n % 28) for n in range(300)]
    german = {"sum": [f"{age}.125" for age in AGES], "price": [f"{age},5" for age in AGES]}
    german |= {"day": [day.strftime("%d.%m.%Y") for day in days], "paid": ["a", "b", "a"] * 100}
    load(tmp_path, german, separator=";")
    week = {"sum": [78.932, 259.0] * 150, "price": 2.25, "day": days, "paid": ["a", "b", "b"] * 100}
    pd.DataFrame(week).to_parquet(tmp_path / "b.parquet")
    import_table(tmp_path / "b.parquet", tmp_path / "data", "paid")
    first = read(tmp_path / "data")[0]
    assert (first["sum"], first["price"], first["day_weekday"]) == ([pytest.approx(78.932)], [2.25], [4.0])
    contract = {"version": 3, "kind": "row", "readings": 1, "clip": 1e9, "missing": [""], "categories": []}
    workload = open_workload(tmp_path / "data")
    numbers = [
        {"name": n, "column": vars(workload.column(n)), "mean": 0, "deviation": 1, "low": -1e9, "high": 1e9}
        for n in workload.numbers
    ]
    contract |= {"numbers": numbers, "vocabulary_size": 0}
    item = next(iter(read_inputs(tmp_path / "b.parquet", contract)))
    assert preprocess(item.content, contract)[0, 0, :3].tolist() == pytest.approx([78.932, 2.25, 4.0])
    # A mark of a missing number does not make texts of the numbers beside it.
    contract["missing"] = ["-", "n/a"]
    marked = {"Data": [["sum", "price", "day"], [78.932, 2.25, "01.01.2026"], ["n/a", 2.5, "-"]]}
    item, other = read_inputs(write_xlsx(tmp_path / "b.xlsx", marked), contract)
    assert preprocess(item.content, contract)[0, 0, :3].tolist() == pytest.approx([78.932, 2.25, 4.0])
    assert preprocess(other.content, contract)[0, 0, 3:].tolist() == [1, 0, 1]
    # Some databases write a missing date so; a run quarantines such a row.
    pq.write_table(pa.table({"sum": [1.5], "price": [2.5], "day": [date(1, 1, 1)]}), tmp_path / "c.parquet")
    (other,) = read_inputs(tmp_path / "c.parquet", contract)
    assert other.problem == "day: '0001-01-01' is not a date as day.month.year."


def test_a_first_week_without_decimals_leaves_points_to_the_columns_beside_them(tmp_path):
    load(tmp_path, {"sum": [age * 3 for age in AGES], "price": AGES}, separator=";")
    prices = [f"{age},5" for age in AGES]
    load(tmp_path, {"sum": ["1.250", "259", "7"] * 100, "price": prices}, separator=";")
    assert [row["sum"] for row in read(tmp_path / "data")[:2]] == [[1250.0], [259.0]]


@pytest.mark.parametrize(
    "shops",
    [
        np.array([7291034586713462785 + n % 3 for n in range(300)]),
        [Decimal("5.00"), Decimal("7.50"), Decimal("9.25")] * 100,
        [True, False, True] * 100,
    ],
    ids=["large", "decimal", "boolean"],
)
def test_a_category_of_any_type_is_asked_about_as_the_text_that_was_imported(tmp_path, shops):
    frame = pd.DataFrame({"shop": shops, "price": np.arange(300) * 0.25, "y": ["a", "b", "b"] * 100})
    frame.to_parquet(tmp_path / "a.parquet")
    import_table(tmp_path / "a.parquet", tmp_path / "data", "y", chosen={"shop": "category"})
    vocabulary = sorted({row["shop"] for row in read(tmp_path / "data")})
    number = {"name": "price", "column": {"name": "price"}, "mean": 0, "deviation": 1, "low": 0, "high": 99}
    contract = {"version": 3, "kind": "row", "readings": 1, "clip": 9, "missing": [""], "numbers": [number]}
    contract |= {"categories": [{"name": "shop", "vocabulary": vocabulary}], "vocabulary_size": 3}
    for item in read_inputs(tmp_path / "a.parquet", contract):
        assert not preprocess(item.content, contract)[0, 0, 2]  # none is unknown


def test_a_table_that_names_photos_warns_that_it_does_not_read_them(tmp_path):
    names = [f"week 1/IMG_{n}.JPG" for n in range(300)]
    report = load(tmp_path, {"file": names, "age": AGES})
    (warning,) = report.warnings
    assert warning.startswith("file names photos, which a table does not read") and report.numbers == ("age",)
    assert load(tmp_path, {"file": names, "age": AGES}).warnings == ()  # the next week
    report = load(tmp_path, {"icon": [f"icon {n % 3}.png" for n in range(300)], "age": AGES}, into="icons")
    assert (report.categories, report.warnings) == (("icon",), ())
    with pytest.raises(DataRefused, match="file names photos, which are read without --label"):
        load(tmp_path, {"file": names}, into="more")


PUMPS = {"label": "state", "group": "machine", "time": "at"}


def make_pump_week(first_day=1, machines=6, hours=24):
    """Makes hourly readings of machines, each with a label of its hour."""
    rows = []
    for hour, m in product(range(hours), range(machines)):
        at = f"2026-03-{first_day + m % 2:02d}T{hour:02d}:00Z"
        state = "leak" if (hour + m) % 3 else "normal"
        rows.append((f"pump {m}", at, 20 + m * 7 % 5 + hour % 7, hour * 3 % 11, state))
    return to_columns(("machine", "at", "heat", "flow", "state"), rows)


def test_readings_of_machines_become_windows_that_the_workload_of_sensors_reads(tmp_path):
    report = load(tmp_path, make_pump_week(), readings=8, **PUMPS)
    assert (report.noun, report.numbers) == ("reading", ("heat", "flow"))

    workload = open_workload(tmp_path / "data")
    assert (workload.noun, workload.id, workload.group) == ("reading", "window_id", "block")
    assert workload.settings["data"] == {"window": 8, "readings": 8, "stride": 2, "block_hours": 24}
    source, (span,) = open_source(workload, DataSettings(readings=8, stride=2)), find_spans(tmp_path / "data")
    rows = list(source.rows(span))
    assert len(rows) == 6 * 9  # of 24 hours, each second one from the eighth on
    features = source.example(span, rows[0]).features
    schema = {feature.name: feature for feature in read_schema(workload).feature}
    assert [dim.size for dim in schema["heat"].shape.dim] == [8] == [len(features["heat"])]
    assert {*features, "label", "span", "newest_span", "block", "window_id"} == schema.keys()


def test_a_column_named_like_a_feature_of_windows_is_left_out(tmp_path):
    options, blocks = {"label": "state", "time": "at"}, [n * 5 % 7 for n in range(144)]
    report = load(tmp_path, make_pump_week() | {"block": blocks}, readings=8, group="machine", **options)
    assert [name for name, _ in report.left_out] == ["block"]
    assert open_workload(tmp_path / "data").numbers == ("heat", "flow")
    with pytest.raises(UsageError, match=r"The column block of .* was chosen"):
        load(tmp_path, make_pump_week() | {"block": blocks}, readings=8, group="block", into="new", **options)
    assert load(tmp_path, {"block": blocks, "x": blocks}, into="rows").numbers == ("block", "x")


def test_monthly_readings_have_blocks_of_years_so_that_their_windows_fit(tmp_path):
    months = [f"{2010 + m // 12}-{m % 12 + 1:02d}-01" for m in range(60)]
    sales = [m * 7 % 11 for m in range(120)]
    table = {"town": ["a"] * 60 + ["b"] * 60, "month": months * 2, "sales": sales, "y": ["p", "q"] * 60}
    load(tmp_path, table, label="y", group="town", time="month", readings=6)
    workload = open_workload(tmp_path / "data")
    settings = DataSettings(**workload.settings["data"])
    (span,) = find_spans(tmp_path / "data")
    assert settings.block_hours == 8760
    # A block has twelve months, but for a leap day now and then.
    assert len(list(open_source(workload, settings).rows(span))) == 2 * 5 * 7


def test_readings_that_make_few_windows_are_refused(tmp_path):
    newest_first = {name: cells[::-1] for name, cells in make_pump_week().items()}
    with pytest.raises(DataRefused) as caught:
        load(tmp_path, newest_first, readings=8, **PUMPS)
    assert caught.value.found.startswith("138 of 144 readings of ")
    days = make_pump_week() | {"at": [time[:10] for time in make_pump_week()["at"]]}
    with pytest.raises(DataRefused, match=r"a\.csv:8: There is already a reading of pump 0 at 2026-03-01"):
        load(tmp_path, days, readings=8, **PUMPS)
    with pytest.raises(DataRefused, match="too few examples of 25 readings: 0, with 0 labels"):
        load(tmp_path, make_pump_week(), readings=25, **PUMPS)
    assert not (tmp_path / "data").exists()
    # Each of the six machines has one example of 23 readings; a second one would end five rows later.
    (warning,) = load(tmp_path, make_pump_week(), readings=23, least=5, **PUMPS).warnings
    assert "'normal' has 2" in warning and "'leak' has 4" in warning
    report = load(tmp_path, make_pump_week(first_day=8) | {"at": make_pump_week()["at"][::-1]}, label="state")
    assert "as they are not in the order of time: 138. a.csv:" in report.warnings[0]


def test_the_next_week_has_windows_of_the_same_number_of_readings(tmp_path):
    load(tmp_path, make_pump_week(), readings=8, **PUMPS)
    report = load(tmp_path, make_pump_week(first_day=8), name="b.csv", label="state")
    assert (report.noun, report.rows, report.numbers) == ("reading", 144, ("heat", "flow"))
    with pytest.raises(UsageError) as caught:
        load(tmp_path, make_pump_week(first_day=15), name="c.csv", label="state", readings=9)
    assert caught.value.found.startswith("--readings is 9, and an example of earlier spans")


def test_a_workload_whose_settings_were_removed_has_the_readings_of_its_kind(tmp_path):
    load(tmp_path, make_pump_week(), readings=16, **PUMPS)
    workload = tmp_path / "data" / "workload.yaml"
    workload.write_text(workload.read_text().partition("settings:")[0] + "settings:\n")
    assert load(tmp_path, make_pump_week(first_day=8), name="b.csv", label="state").noun == "reading"


def test_a_label_that_is_no_line_of_a_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has labels that cannot be used"):
        load(tmp_path, {"age": AGES, "paid": ["o\x1bk", "no"] * 150})
    assert not (tmp_path / "data").exists()


def test_the_kind_of_a_column_is_chosen_at_the_first_import_only(tmp_path):
    columns = {"age": AGES, "town": ["A", "B", "C"] * 100}
    load(tmp_path, columns)
    with pytest.raises(UsageError, match=r"table\.yaml fixes the kind of age"):
        load(tmp_path, columns, name="b.csv", chosen={"age": "category"})
    assert len(find_spans(tmp_path / "data")) == 1
    assert load(tmp_path, columns, chosen={"age": "number", "town": "category"}).rows == 0


def test_a_schema_of_a_table_takes_no_texts_though_its_workload_is_gone(tmp_path):
    columns = {"age": AGES, "town": ["A", "B", "C"] * 100, "paid": ["yes", "no"] * 150}
    load(tmp_path, columns)
    (tmp_path / "data" / "workload.yaml").unlink()
    with pytest.raises(UsageError, match="The schema has no feature length"):
        load(tmp_path, columns, name="b.csv", text="town")


def test_a_workload_file_that_cannot_be_read_stops_the_next_import(tmp_path):
    columns = {"age": AGES, "town": ["A", "B", "C"] * 100}
    load(tmp_path, columns)
    for text in ("columns: [", "just words", "kind: table\ncolumns: {age: {name: age, form: prose}}"):
        (tmp_path / "data" / "workload.yaml").write_text(text)
        with pytest.raises(UsageError, match=r"workload\.yaml cannot be read"):
            load(tmp_path, columns, name="b.csv")
    assert len(find_spans(tmp_path / "data")) == 1
