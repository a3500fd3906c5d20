import csv
import random
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.importers.tables import import_table
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.source import Rejected, Value
from data.tables.source import open_source
from edgeline.edge.contracts.row import preprocess
from edgeline.errors import DataRefused, UsageError
from edgeline.prediction.inputs import read_inputs
from edgeline.records.workload import Workload
from pipeline.workloads import find_workload, read_schema, with_features

# Of people, which are no running numbers.
AGES = [n * 7 % 61 + 18 for n in range(300)]
HEADER = ("id", "age", "town", "since", "fixed", "code", "paid")


def rows(count: int = 300) -> list[tuple[object, ...]]:
    rng = random.Random(1)
    made = []
    for number in range(count):
        paid = rng.choice(("yes", "no"))
        age = "" if number % 50 == 0 else rng.randint(18, 90)
        day = f"20{rng.randint(10, 24)}-0{rng.randint(1, 9)}-15"
        made.append((f"K{number:04d}", age, rng.choice("ABC"), day, "x", {"yes": 1, "no": 0}[paid], paid))
    return made


def table(
    path: Path, content: list[tuple[object, ...]], header: tuple[str, ...] = HEADER, separator: str = ","
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([header, *content])
    return path


def column(cells: list[object], **more: list[object]) -> list[tuple[object, ...]]:
    """Rows with these cells, what else there is, and labels that tell nothing."""
    rng = random.Random(2)
    return [(*row, rng.choice(("yes", "no"))) for row in zip(cells, *more.values(), strict=True)]


def written(data_dir: Path) -> list[dict[str, str]]:
    (span,) = find_spans(data_dir)
    with (span.path / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def open_workload(data_dir: Path) -> Workload:
    return with_features(find_workload(str(data_dir / "workload.yaml")))


def read(data_dir: Path) -> list[Mapping[str, Value] | Rejected]:
    """What a run reads of the newest span, with the labels."""
    source = open_source(open_workload(data_dir), DataSettings())
    span = find_spans(data_dir)[-1]
    rows = source.rows(span)
    return [
        item if isinstance(item, Rejected) else {**source.example(span, item).features, "": item.label}
        for item in rows
    ]


def test_what_a_column_is_is_found_and_what_no_model_should_see_is_named(tmp_path):
    report = import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")

    assert report.numbers == ("age", "since_weekday", "since_month") and report.categories == ("town",)
    schema = read_schema(find_workload(str(tmp_path / "data" / "workload.yaml")))
    drifting = {feature.name for feature in schema.feature if feature.HasField("drift_comparator")}
    # Every month is another one than those of the weeks before.
    assert drifting == {"label", "missing_share", "age", "since_weekday", "town"}
    assert dict(report.left_out) == {
        "id": "is different in nearly every row",
        "fixed": "has one value",
        "code": "gives the label away",
    }
    assert report.labels == ("no", "yes")


def test_what_was_imported_is_a_workload_whose_source_takes_every_row(tmp_path):
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")
    found = read(tmp_path / "data")
    assert len(found) == 300 and {row[""] for row in found} == {"yes", "no"}
    assert {*found[1]} >= {"age", "since_weekday", "since_month", "town", "missing_share"}
    day = date.fromisoformat(written(tmp_path / "data")[1]["since"])
    assert found[1]["since_month"] == [day.month]
    assert found[1]["since_weekday"] == [day.isoweekday()]


def test_a_parquet_file_gives_the_same_as_its_csv(tmp_path):
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "csv", "paid")
    pd.read_csv(tmp_path / "a.csv").to_parquet(tmp_path / "a.parquet")
    import_table(tmp_path / "a.parquet", tmp_path / "parquet", "paid")

    texts = [(tmp_path / kind / "span-00001" / "table.csv").read_text() for kind in ("csv", "parquet")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("paid", ["yes"], r"is 'yes' in every row"),
        ("paid", [""], r"is 'empty' in every row"),
        ("id", None, r"different label in nearly each"),
        ("nothing", None, r"no column nothing.*id, age"),
    ],
)
def test_a_label_that_nothing_can_be_learned_of_is_refused(tmp_path, column, values, found):
    content = rows() if values is None else [(*row[:-1], values[0]) for row in rows()]
    with pytest.raises(UsageError, match=found):
        import_table(table(tmp_path / "a.csv", content), tmp_path / "data", column)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"a,paid\n", "has no row"),
        ("a,paid\nä,no\n".encode() + b"\xff,yes\n", r"line 3 is not UTF-8 \(byte 1 .* 0xff\)"),
        (b"a,a,paid\n1,2,no\n", "has the column 'a' twice"),
        (b"a,paid\n1,no\n1,2,yes\n", r"a\.csv:3: It has 3 cells, but the header has 2.*1 of 2 rows"),
        (b'a,paid\n1,no\n"2,yes\n3,no\n', "line 3 is not CSV"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, found):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataRefused, match=found):
        import_table(tmp_path / "a.csv", tmp_path / "data", "paid")


def again(tmp_path, content, header=HEADER, **given):
    """A second week into the folder of a first one."""
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")
    return import_table(table(tmp_path / "b.csv", content, header), tmp_path / "data", "paid", **given)


def test_another_week_has_the_columns_of_the_first_whatever_it_would_be_taken_for(tmp_path):
    week = [(f"Q{n}", n + 20, "A", "2025-03-15", n, n * 1.5, "yes") for n in range(30)]
    report = again(tmp_path, week)

    # One town, one day and one label tell nothing alone, and `fixed` and `code` would be numbers here.
    assert (report.numbers, report.categories) == (("age", "since_weekday", "since_month"), ("town",))
    assert dict(report.left_out) == dict.fromkeys(("id", "fixed", "code"), "the schema does not have")
    _, span = find_spans(tmp_path / "data")
    with (span.path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file)) == {"age": "20", "town": "A", "since": "2025-03-15", "paid": "yes"}


def test_a_label_that_is_new_goes_to_the_end_of_the_schema_and_is_told(tmp_path):
    report = again(tmp_path, [*rows(), *[("K", 30, "A", "2024-01-15", "x", 1, "late")] * 20])

    assert report.new_labels == ("late",)
    assert "Labels added at the end of the schema: late." in report.sentences()
    workload = open_workload(tmp_path / "data")
    assert workload.labels == ("no", "yes", "late")


@pytest.mark.parametrize(
    ("header", "given", "found"),
    [
        ((*HEADER[:2], "city", *HEADER[3:]), {}, "b.csv has no column town, which earlier spans have"),
        (HEADER, {"group": "id"}, "have no column as group, not id"),
        (HEADER, {"text": "id"}, "The schema has no feature length"),
    ],
)
def test_another_table_is_not_mixed_into_a_folder(tmp_path, header, given, found):
    with pytest.raises(UsageError, match=found):
        again(tmp_path, rows(), header, **given)
    assert len(find_spans(tmp_path / "data")) == 1


def test_a_column_of_numbers_that_became_words_is_refused_with_one_of_them(tmp_path):
    with pytest.raises(DataRefused, match=r"column age of .* cannot be read as numbers.*'young' in .*b.csv"):
        again(tmp_path, [(row[0], "young", *row[2:]) for row in rows()])
    assert len(find_spans(tmp_path / "data")) == 1


def test_bounds_that_a_person_adds_to_the_schema_do_not_make_it_another_table(tmp_path):
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")
    schema = tmp_path / "data" / "schema.pbtxt"
    edited = schema.read_text().replace('name: "age"', 'name: "age" float_domain { min: 0 max: 120 }')
    schema.write_text(edited)
    import_table(table(tmp_path / "a.csv", rows()[::-1][:50] + rows()[1:9] * 2), tmp_path / "data", "paid")
    assert len(find_spans(tmp_path / "data")) == 2 and schema.read_text() == edited


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_where_the_label_is_a_column(tmp_path, separator):
    header = ("age", "note, or; two" if separator in "\t|" else "a|b", "paid")
    content = column(AGES, note=["x", "y", "z"] * 100)
    report = import_table(table(tmp_path / "a.csv", content, header, separator), tmp_path / "data", "paid")
    assert (report.numbers, report.categories) == (("age",), (header[1],))


def test_numbers_with_a_decimal_comma_are_numbers_where_semicolons_separate(tmp_path):
    cells = ["1.234,5" if n % 9 == 0 else f"{n},25" if n % 2 else n for n in range(300)]
    content = column(cells, other=[f"{n}.5" for n in range(300)])
    src = table(tmp_path / "a.csv", content, ("price", "size", "paid"), ";")
    assert import_table(src, tmp_path / "data", "paid").numbers == ("price", "size")
    assert [row["price"] for row in written(tmp_path / "data")[:3]] == ["1.234,5", "1,25", "2"]
    found = read(tmp_path / "data")
    assert [row["price"] for row in found[:4]] == [[1234.5], [1.25], [2.0], [3.25]]
    assert found[1]["size"] == [1.5]


@pytest.mark.parametrize("separator", [",", "\t", "|"])
def test_where_no_semicolon_separates_the_cells_of_a_column_say_what_their_comma_is(tmp_path, separator):
    decimal = [f"{n},25" if n % 2 else n for n in range(300)]
    content = column(
        decimal,
        thousands=[f"{n},250" if n % 3 else f"{n},250.5" for n in range(1, 301)],
        either=[f"{n},250" for n in range(1, 301)],
    )
    src = table(tmp_path / "a.csv", content, ("price", "mass", "count", "paid"), separator)
    report = import_table(src, tmp_path / "data", "paid")
    assert report.numbers == ("price", "mass")
    assert report.left_out == (
        (
            "count",
            "has numbers with an ambiguous decimal comma (pass --decimal . or --decimal ,)",
        ),
    )
    found = read(tmp_path / "data")
    assert [row["price"] for row in found[:3]] == [[0.0], [1.25], [2.0]]
    assert [row["mass"] for row in found[:3]] == [[1250.0], [2250.0], [3250.5]]
    said = import_table(src, tmp_path / "said", "paid", decimal=".")
    assert "count" in said.numbers and read(tmp_path / "said")[0]["count"] == [1250.0]


@pytest.mark.parametrize(
    ("form", "seventh"), [("%d.%m.%Y", "7.03.2026"), ("%m/%d/%Y 6:30", "03/07/2026 6:30"), ("%Y/%m/%d", "")]
)
def test_dates_of_one_clear_form_are_what_comes_again_of_them_and_times_in_utc(tmp_path, form, seventh):
    days = [datetime(2026, 3, 1) + timedelta(n) for n in range(300)]
    cells = [day.strftime(form) for day in days]
    cells[6] = seventh or cells[6]
    content = column(cells, day=cells)
    src = table(tmp_path / "a.csv", content, ("since", "day", "paid"))
    hour = ["since_hour"] if "30" in form else []
    report = import_table(src, tmp_path / "data", "paid", time="day")
    assert report.numbers == ("since_weekday", *hour, "since_age")
    row = read(tmp_path / "data")[6]
    assert row["day"] == f"2026-03-07T{'06:30' if hour else '00:00'}:00Z"
    assert (row["since_weekday"], row["since_age"]) == ([6.0], [0.0]) and row.get("since_hour") in (
        None,
        [6.5],
    )
    asked_for = import_table(src, tmp_path / "days", "paid", time="day", chosen={"since": "number"})
    assert asked_for.numbers == ("since",)
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
    src = table(tmp_path / "a.csv", column(cells), ("x", "paid"), ";")
    with pytest.raises(DataRefused, match=rf"mixes formats: '{first}' in a\.csv:2, '{second}' in a\.csv:3"):
        import_table(src, tmp_path / "data", "paid")


def test_dates_of_which_day_and_month_cannot_be_told_are_no_times_and_left_out(tmp_path):
    cells = [f"{n % 12 + 1}/{n % 11 + 1}/2026" for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells, age=AGES), ("since", "age", "paid"))
    report = import_table(src, tmp_path / "data", "paid")
    assert dict(report.left_out) == {"since": "has dates with an ambiguous day and month"}
    with pytest.raises(UsageError, match=r"no readable times: '1/1/2026' in a\.csv:2"):
        import_table(src, tmp_path / "other", "paid", time="since")


@pytest.mark.parametrize(
    ("form", "few"),
    [
        ("%d %b %Y", True),
        ("%b %d, %Y", False),
        ("%d.%m.%y", True),
        ("%m/%d/%Y %I:%M %p", True),
        ("%Y-%m", False),
    ],
)
def test_dates_in_a_form_that_is_not_read_are_no_category_that_never_comes_again(tmp_path, form, few):
    days = [date(2020, 1, 5) + timedelta(n * 5 % (40 if few else 1500)) for n in range(3000)]
    cells = [datetime(day.year, day.month, day.day, 18).strftime(form) for day in days]
    src = table(tmp_path / "a.csv", column(cells, age=[*AGES] * 10), ("since", "age", "paid"))
    why = dict(import_table(src, tmp_path / "data", "paid").left_out)["since"]
    assert why.startswith(f"has dates in a form that is not read, such as {cells[0]!r} in a.csv:2: write")
    kept = import_table(src, tmp_path / "kept", "paid", chosen={"since": "category"})
    assert kept.categories == ("since",)


def test_numbers_with_hyphens_are_no_dates(tmp_path):
    cells = [f"{n % 4 + 1}-{n % 3 + 1}-15" for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells), ("mix", "paid"))
    assert import_table(src, tmp_path / "data", "paid").categories == ("mix",)


def test_a_typing_error_in_a_column_is_quarantined_and_a_missing_cell_is_missing(tmp_path):
    cells = [f"2026-01-{n % 28 + 1:02}" for n in range(300)]
    cells[3], cells[4] = "2026-13-01", "?"
    import_table(table(tmp_path / "a.csv", column(cells), ("since", "paid")), tmp_path / "data", "paid")
    found = read(tmp_path / "data")
    assert [(item.id, item.reason) for item in found if isinstance(item, Rejected)] == [
        ("table.csv:5", "unreadable-time")
    ]
    assert str(found[4]["since_weekday"]) == "[nan]"


def test_few_damaged_rows_are_left_out_and_named_and_many_are_not(tmp_path):
    src = table(tmp_path / "a.csv", rows())
    src.write_text(src.read_text() + 'K,1\n"K" 2,1\n')
    report = import_table(src, tmp_path / "data", "paid")
    assert report.rows == 300
    assert report.sentences()[-2:] == [
        "Not imported: a.csv:302: It has 2 cells, but the header has 7.",
        "Not imported: a.csv:303: It is not CSV (',' expected after '\"').",
    ]
    src.write_text(src.read_text() + "K,1\n" * 3)
    with pytest.raises(DataRefused, match="5 of 305 rows"):
        import_table(src, tmp_path / "data", "paid")


def ranges(per_label: dict[str, int], apart: bool) -> list[tuple[object, ...]]:
    """A column whose ranges by label lie apart, or of which one row of the first reaches into the next."""
    made = [
        (round(10 * place + n / count + (10.5 if not apart and place == n == 0 else 0), 4), n % 7, label)
        for place, (label, count) in enumerate(per_label.items())
        for n in range(count)
    ]
    random.Random(3).shuffle(made)
    return made


def filled(count: int, cell: Callable[[int], object]) -> list[tuple[object, ...]]:
    """A column that every third row lacks, those of one label."""
    return [(cell(n), n % 7, "ab"[n % 3 > 0]) for n in range(count)]


APART, EMPTY = "each label has a range of its own", "it is empty in all rows labelled a, and in no others"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (ranges({"a": 150, "b": 150}, True), APART),
        (ranges({"a": 150, "b": 150}, False), ""),
        (ranges({"a": 100, "b": 80, "c": 20, "d": 1}, True), APART),
        # Two of the irises: an honest column may part as many.
        (ranges({"a": 50, "b": 50}, True), ""),
        (ranges({"a": 300, "b": 19}, True), ""),
        ([(datetime(2026, 1, 1) + timedelta(hours=n), n % 7, "ab"[n >= 150]) for n in range(300)], APART),
        # Filled in once the label is known, also with a mark.
        (filled(300, lambda n: n % 11 if n % 3 else ""), EMPTY),
        (filled(300, lambda n: n % 11 if n % 3 and n >= 3 else ""), ""),
        (filled(60, lambda n: "x" if n % 3 else ""), EMPTY),
        (filled(60, lambda n: "x" if n % 3 or not n else ""), ""),
    ],
)
def test_a_column_that_gives_the_label_away_is_left_out(tmp_path, content, why):
    src = table(tmp_path / "a.csv", content, ("x", "age", "label"))
    left_out = dict(import_table(src, tmp_path / "data", "label").left_out)
    assert left_out == ({"x": f"gives the label away: {why}"} if why else {})


def test_a_single_group_is_refused_unless_there_are_spans_of_others(tmp_path):
    content = column(AGES, machine=["m1"] * 300)
    header = ("age", "machine", "paid")
    src = table(tmp_path / "a.csv", content, header)
    with pytest.raises(UsageError, match=r"machine of .* is 'm1' in every row"):
        import_table(src, tmp_path / "data", "paid", group="machine")
    several = column(AGES, machine=["m1", "m2", "m3"] * 100)
    import_table(table(tmp_path / "b.csv", several, header), tmp_path / "data", "paid", group="machine")
    import_table(src, tmp_path / "data", "paid", group="machine")
    assert len(find_spans(tmp_path / "data")) == 2


def test_a_class_may_be_called_none(tmp_path):
    content = [(age, ("None", "leak", "NaN")[n * n % 7 % 3]) for n, age in enumerate(AGES)]
    report = import_table(table(tmp_path / "a.csv", content, ("age", "fault")), tmp_path / "data", "fault")
    assert report.labels == ("None", "leak")
    assert any("'None' counts as a class" in note for note in report.remarks)
    assert report.unlabelled == 86 and len(written(tmp_path / "data")) == 214
    assert any("Left out because fault is missing: 86 (a.csv:5, " in note for note in report.remarks)


MARKS = [n * n % 7 in (1, 2) for n in range(300)]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["x" if is_marked else "" for is_marked in MARKS], "category"),
        (["gold" if is_marked else "none" for is_marked in MARKS], "category"),
        (["1" if is_marked else "" for is_marked in MARKS], "number"),
        # A few typing errors in a column of one value, or in an empty one, are no marks.
        (["x"] * 298 + [""] * 2, "has one value"),
        (["x"] * 2 + [""] * 298, "has one value"),
        ([""] * 300, "has one value"),
    ],
)
def test_a_column_of_a_mark_or_nothing_has_two_values(tmp_path, cells, kind):
    assert whole(cells, tmp_path) == kind
    if kind == "category":
        assert {row["x"] for row in read(tmp_path / "w")} == set(cells)
        later = table(tmp_path / "b.csv", column(["y"] * 300, age=AGES), ("x", "age", "paid"))
        assert import_table(later, tmp_path / "w", "paid").categories == ("x",)


def panel(
    persons: int, rows_each: int, name: Callable[[int], str], exceptions: int = 0
) -> list[tuple[object, ...]]:
    """Rows of persons, each with one label in all of them but for the exceptions."""
    rng = random.Random(4)
    numbers = rng.sample(range(100, 999), persons)
    labels = {number: rng.choice("ab") for number in numbers}
    made = [(name(number), rng.randrange(60), labels[number]) for number in numbers for _ in range(rows_each)]
    for row in range(exceptions):
        made[row * rows_each] = (*made[row * rows_each][:2], "b" if made[row * rows_each][2] == "a" else "a")
    rng.shuffle(made)
    return made


@pytest.mark.parametrize(
    ("content", "column", "leaks"),
    [
        (panel(50, 4, "X{}".format), "ID", True),
        (panel(300, 2, "C{}".format), "customer", True),
        (panel(300, 2, str), "id", True),
        (panel(231, 4, lambda n: f"{n}a" if n % 9 == 0 else str(n)), "subject", True),
        (panel(300, 2, lambda n: f"00{n}"), "customer", True),
        # One label a value in so few rows is a coincidence, and a measurement is no name.
        (panel(3, 4, "X{}".format), "plan", False),
        (panel(9, 2, "X{}".format), "plan", False),
        (panel(200, 3, lambda n: f"{n / 7:.2f}"), "height", False),
        (panel(50, 4, "X{}".format, exceptions=1), "ID", False),
    ],
)
def test_names_that_each_have_one_label_give_it_away(tmp_path, content, column, leaks):
    src = table(tmp_path / "a.csv", content, (column, "age", "label"))
    report = import_table(src, tmp_path / "w", "label")
    why = "gives the label away (--group COLUMN if each is a machine, person or customer)"
    assert dict(report.left_out) == ({column: why} if leaks else {})
    if leaks:
        grouped = import_table(tmp_path / "a.csv", tmp_path / "g", "label", column)
        assert any("groups of" in remark and "has one label" in remark for remark in grouped.remarks)


@pytest.mark.parametrize(("name", "first"), [("wind", "09"), ("pain_index", "10"), ("wind", "10")])
def test_a_strong_measurement_of_a_small_table_is_no_name(tmp_path, name, first):
    numbers = [first, *(str(10 + 7 * n % 80) for n in range(1, 150))]
    content = [(number, n % 9, "ab"[int(number) >= 50]) for n, number in enumerate(numbers)]
    report = import_table(table(tmp_path / "a.csv", content, (name, "age", "label")), tmp_path / "w", "label")
    assert not report.left_out


def test_a_column_that_is_called_as_a_feature_of_every_example_is_left_out_and_named(tmp_path):
    content = column(AGES, span=["x", "y", "z"] * 100, group=["x", "y", "z"] * 100)
    src = table(tmp_path / "a.csv", content, ("age", "span", "group", "paid"))
    report = import_table(src, tmp_path / "data", "paid", "group")
    assert [name for name, _ in report.left_out] == ["span"]
    assert open_workload(tmp_path / "data").reads == ("age",)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("group", {"chosen": {"group": "category"}}),
        ("span", {"chosen": {"span": "number"}}),
        ("span", {"group": "span"}),
        ("example_id", {"time": "example_id"}),
    ],
)
def test_a_column_is_not_chosen_that_is_called_as_a_feature_of_every_example(tmp_path, name, given):
    src = table(tmp_path / "a.csv", column(AGES, code=[1, 2, 3] * 100), ("age", name, "paid"))
    with pytest.raises(UsageError, match=rf"The column {name} of .* was chosen, and examples have another"):
        import_table(src, tmp_path / "data", "paid", **given)
    chosen = {name: "leave out"}
    assert import_table(src, tmp_path / "data", "paid", chosen=chosen).numbers == ("age",)


def whole(cells: list[object], tmp_path: Path, name: str = "x", **given: object) -> str:
    """What a column of these cells is taken for, beside one of ages."""
    tmp_path.mkdir(exist_ok=True)
    src = table(tmp_path / "w.csv", column(cells, age=AGES), (name, "age", "paid"))
    report = import_table(src, tmp_path / "w", "paid", **given)
    kinds = {"number": report.numbers, "category": report.categories}
    return next((kind for kind, names in kinds.items() if name in names), dict(report.left_out).get(name, ""))


RNG = random.Random(5)


@pytest.mark.parametrize(
    ("cells", "name", "kind"),
    [
        (list(range(1000, 1300)), "x", "numbers the rows"),
        (RNG.sample(range(1000, 1300), 300), "x", "numbers the rows"),
        (sorted(RNG.sample(range(9000), 300)), "x", "numbers the rows"),
        (RNG.sample(range(100_000, 1_000_000), 300), "x", "like an identifier"),
        (RNG.sample(range(2_000_000, 4_000_000), 300), "x", "like an identifier"),
        (RNG.sample(range(10_000, 40_000), 300), "orderNo", "like an identifier"),
        ([f"0{n}" for n in RNG.sample(range(10**9, 10**10), 300)], "x", "different in nearly every row"),
        (RNG.choices(["01067", "80331", "10115"], k=300), "x", "category"),
        (RNG.choices([10115, 80331, 20095, 50667], k=300), "x", "category"),
        (RNG.choices([3, 8, 12], k=300), "store", "category"),
        # Measured: incomes and prices that differ in nearly every row, lengths, years, ratings and doses.
        ([round(RNG.lognormvariate(10.5, 0.5)) for _ in range(300)], "x", "number"),
        ([round(RNG.gauss(52_000, 9_000)) for _ in range(300)], "x", "number"),
        ([round(RNG.gauss(4.7, 0.3), 6) for _ in range(300)], "x", "number"),
        (RNG.choices(range(1990, 2026), k=300), "x", "number"),
        (RNG.choices(range(1, 6), k=300), "x", "number"),
        (RNG.choices([100, 250, 500], k=300), "x", "number"),
    ],
)
def test_whole_numbers_that_name_something_are_no_numbers_to_learn_from(cells, name, kind, tmp_path):
    assert whole(cells, tmp_path, name).endswith(kind)


def test_a_column_is_taken_for_the_same_in_a_large_table(tmp_path):
    rng = random.Random(6)
    count = 30_000
    cells = {
        "salary": [rng.randrange(20_000, 60_000) for _ in range(count)],
        "zip": rng.choices(rng.sample(range(10_000, 99_999), 3_000), k=count),
        "city": [f"town {rng.randrange(1_500)}" for _ in range(count)],
        "reading": [rng.randrange(10**9, 10**10) for _ in range(count)],
    }
    content = [(*row, rng.choice(("yes", "no"))) for row in zip(*cells.values(), strict=True)]
    report = import_table(table(tmp_path / "w.csv", content, (*cells, "paid")), tmp_path / "w", "paid")
    assert report.numbers == ("salary",) and report.categories == ()
    left_out = dict(report.left_out)
    hint = "--group COLUMN if each is a machine, person or customer"
    assert left_out["city"] == f"has over 1,000 values (--category keeps the most frequent, {hint})"
    assert left_out["zip"].startswith(
        f"is called like an identifier, with over 1,000 values ({hint}, --number"
    )
    assert left_out["reading"].endswith("like an identifier")


def test_the_cell_that_keeps_a_column_from_being_numbers_is_named(tmp_path):
    cells = [f"{n / 7:.4f}" for n in range(300)]
    cells[40:60] = ["<200"] * 20
    fault = whole(cells, tmp_path)
    assert fault == "has 20 cells that are no numbers or dates, such as '<200' in w.csv:42: empty these"
    with pytest.raises(UsageError, match=r"'<200' in w\.csv:42"):
        whole(cells, tmp_path / "chosen", chosen={"x": "number"})


def test_numbers_with_other_cells_and_few_values_are_a_category_that_is_explained(tmp_path):
    cells = [n % 30 + 20 if n % 20 else "." for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells, town=["A", "B", "C"] * 100), ("age", "town", "paid"))
    report = import_table(src, tmp_path / "a", "paid")
    fault = "has 15 cells that are no numbers or dates, such as '.' in a.csv:2: empty these"
    assert report.categories == ("age", "town") and report.remarks == (f"age, a category, {fault}.",)
    chosen = import_table(src, tmp_path / "b", "paid", chosen={"age": "category"})
    assert chosen.remarks == import_table(src, tmp_path / "a", "paid").remarks == ()


@pytest.mark.parametrize(("first", "later"), [("", ".0"), (".0", "")])
def test_whole_numbers_are_the_same_labels_categories_and_groups_however_they_end(tmp_path, first, later):
    """As pandas writes them: with a point where the column has a gap."""
    rng = random.Random(7)

    def week(name, ending):
        content = [
            (f"{number // 3}{ending}", f"{rng.choice((109, 208, 316))}{ending}", age, f"{number % 2}{ending}")
            for number, age in enumerate(AGES)
        ]
        path = table(tmp_path / name, content, ("customer", "store", "age", "paid"))
        chosen = None if ending == later else {"store": "category"}
        return import_table(path, tmp_path / "w", "paid", "customer", chosen=chosen)

    assert week("a.csv", first).labels == (f"0{first}", f"1{first}")
    again = week("b.csv", later)
    assert (again.labels, again.new_labels) == ((f"0{first}", f"1{first}"), ())
    values = read(tmp_path / "w")
    stores = {f"{n}{first}" for n in (109, 208, 316)}
    assert {value["store"] for value in values} == stores
    # A request with the later week's file has them as its import does.
    contract = {"version": 3, "kind": "row", "readings": 1, "clip": 9, "missing": [""], "numbers": []}
    contract |= {"categories": [{"name": "store", "vocabulary": sorted(stores)}], "vocabulary_size": 32}
    assert {each.content["store"][0] for each in read_inputs(tmp_path / "b.csv", contract)} == stores


def test_whole_numbers_beside_decimal_commas_have_their_form_whatever_the_first_week_wrote(tmp_path):
    import_table(table(tmp_path / "a.csv", column([5.0, 7.5, 8.0] * 100), ("p", "paid")), tmp_path, "paid")
    german = table(tmp_path / "b.csv", column(["5", "7,5", "8"] * 100), ("p", "paid"), ";")
    import_table(german, tmp_path, "paid")
    assert [row["p"] for row in read(tmp_path)[:3]] == [[5.0], [7.5], [8.0]]


def test_rows_that_come_again_with_decimal_commas_are_known(tmp_path):
    import_table(table(tmp_path / "a.csv", column([5, 7.5, 8] * 100), ("p", "paid")), tmp_path, "paid")
    german = table(tmp_path / "b.csv", column(["5", "7,5", "8"] * 100), ("p", "paid"), ";")
    report = import_table(german, tmp_path, "paid")
    assert (report.known, report.span) == (300, None)


def test_rows_are_known_again_after_a_week_whose_whole_numbers_ended_otherwise(tmp_path):
    labels = [label for _, label in column([1] * 300)]
    weeks: list[list[tuple[object, ...]]] = [[*zip(AGES, labels, strict=True)], [("", "yes")]]
    weeks.append([(f"{200 + n}.0", label) for n, label in enumerate(labels)])
    for number, week in enumerate([*weeks, weeks[0]]):
        src = table(tmp_path / f"{number}.csv", week, ("age", "paid"))
        report = import_table(src, tmp_path / "data", "paid", chosen={} if number else {"age": "number"})
    assert (report.known, report.span) == (300, None)


def test_a_later_week_without_labels_is_refused_and_one_without_a_category_has_no_large_one(tmp_path):
    content = [(n % 7, "abc"[n % 3], "yes" if n % 2 else "no") for n in range(60)]
    header = ("age", "town", "paid")
    import_table(table(tmp_path / "a.csv", content, header), tmp_path, "paid", vocabulary=2)
    src = table(tmp_path / "b.csv", [(*row[:2], "") for row in content], header)
    with pytest.raises(UsageError, match=r"paid of .* is 'empty' in every row"):
        import_table(src, tmp_path, "paid")
    gone = table(tmp_path / "c.csv", [(row[0], "", row[2]) for row in content], header)
    assert import_table(gone, tmp_path, "paid", vocabulary=2).remarks == ()


@pytest.mark.parametrize("role", ["text", "group", "time"])
def test_the_label_is_nothing_else(tmp_path, role):
    with pytest.raises(UsageError, match=f"--label and --{role} are both paid"):
        import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid", **{role: "paid"})


def test_another_label_column_than_before_is_refused(tmp_path):
    content = [(*row[:-1], row[1] or "5", row[-1]) for row in rows()]
    src = table(tmp_path / "w.csv", content, (*HEADER[:-1], "stars", "paid"))
    import_table(src, tmp_path / "w", "paid")
    with pytest.raises(UsageError, match=r"have the column paid as label, not stars.*Pass --label paid"):
        import_table(src, tmp_path / "w", "stars")
    assert len(find_spans(tmp_path / "w")) == 1


def test_group_and_time_of_earlier_spans_are_those_of_later_ones_and_others_are_refused(tmp_path):
    header = ("customer", "day", "age", "paid")

    def week(name, month, cells):
        rows = enumerate(column(cells))
        content = [(n // 3, f"2026-{month}-{1 + n % 28:02}", age, label) for n, (age, label) in rows]
        return table(tmp_path / name, content, header)

    first, later = week("a.csv", "05", AGES), week("b.csv", "06", AGES[:99])
    import_table(first, tmp_path / "w", "paid", "customer", "day")
    import_table(later, tmp_path / "w", "paid")
    source = open_source(open_workload(tmp_path / "w"), DataSettings())
    rows = list(source.rows(find_spans(tmp_path / "w")[1]))
    assert not any(isinstance(row, Rejected) for row in rows)
    assert {row.group for row in rows} == {str(n) for n in range(33)}
    with pytest.raises(UsageError, match=r"column customer as group, not age.*Pass --group customer"):
        import_table(later, tmp_path / "w", "paid", "age")
    other = table(tmp_path / "c.csv", [("1", 2, "no")], ("day", "age", "paid"))
    with pytest.raises(UsageError, match=r"no column customer, the group of earlier spans.*Add or rename"):
        import_table(other, tmp_path / "w", "paid")
    import_table(first, tmp_path / "alone", "paid")
    with pytest.raises(UsageError, match=r"have no column as group, not customer.*Leave out --group"):
        import_table(later, tmp_path / "alone", "paid", "customer")
    assert len(find_spans(tmp_path / "alone")) == 1


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"yes": " YES", "no": " NO"}, "earlier spans have '(yes|no)'"),
        ({"yes": "1", "no": "0"}, "has the labels [01], [01], and earlier spans no, yes"),
    ],
    ids=["another spelling", "other words"],
)
def test_labels_of_which_none_is_known_are_no_new_classes(tmp_path, labels, found):
    header, content = ("customer", "age", "paid"), [(n // 3, a, p) for n, (a, p) in enumerate(column(AGES))]
    import_table(table(tmp_path / "a.csv", content, header), tmp_path / "w", "paid", "customer")
    other = [(*row[:-1], labels[row[-1]]) for row in content]
    with pytest.raises(DataRefused, match=found):
        import_table(table(tmp_path / "b.csv", other, header), tmp_path / "w", "paid", "customer")
    assert len(find_spans(tmp_path / "w")) == 1


def test_spellings_of_a_label_in_the_first_week_are_a_warning(tmp_path):
    content = [(age, ("churn", "stay", "Churn")[n * n % 7 % 3]) for n, age in enumerate(AGES)]
    report = import_table(table(tmp_path / "a.csv", content, ("age", "end")), tmp_path / "w", "end")
    assert report.labels == ("Churn", "churn", "stay")
    (warning,) = report.warnings
    assert warning.startswith("The labels 'Churn', 'churn' differ in their spelling alone")


def test_a_column_that_was_renamed_is_suggested_before_an_empty_one(tmp_path):
    content = [(n // 3, *row) for n, row in enumerate(column(AGES))]
    first = table(tmp_path / "a.csv", content, ("customer", "age (years)", "paid"))
    import_table(first, tmp_path / "w", "paid", "customer")
    renamed = table(tmp_path / "b.csv", content, ("customer", "age [years]", "paid"))
    with pytest.raises(UsageError, match=r"If age \[years\] is age \(years\), rename it. Else add"):
        import_table(renamed, tmp_path / "w", "paid", "customer")


def test_a_column_of_persons_with_few_rows_each_is_said_to_be_a_group(tmp_path):
    content = [(f"bird {n * 5 // 9}", age, label) for n, (age, label) in enumerate(column(AGES))]
    report = import_table(table(tmp_path / "a.csv", content, ("bird", "age", "paid")), tmp_path / "w", "paid")
    assert "has few rows of each value (--group keeps" in dict(report.left_out)["bird"]


def test_rows_that_a_run_will_quarantine_are_told(tmp_path):
    content = [(n // 3 if n % 3 else "", age, label) for n, (age, label) in enumerate(column(AGES))]
    src = table(tmp_path / "w.csv", content, ("customer", "age", "paid"))
    report = import_table(src, tmp_path / "w", "paid", "customer")
    assert "Rows that a run will quarantine, as customer is empty: 100." in report.warnings
    assert sum(isinstance(each, Rejected) for each in read(tmp_path / "w")) == 100


def test_photos_in_a_parquet_file_are_taken_neither_for_texts_nor_for_a_table(tmp_path):
    photos = [{"bytes": b"\x89PNG", "path": f"{n}.png"} for n in range(60)]
    pq.write_table(pa.table({"image": photos, "label": [0, 1] * 30}), tmp_path / "a.parquet")
    for options in ({}, {"text": "image"}):
        with pytest.raises(UsageError, match=r"a\.parquet has photos in its column image\."):
            import_table(tmp_path / "a.parquet", tmp_path / "w", "label", **options)
    pq.write_table(
        pa.table({"image": photos, "age": [7, 1, 5, 2] * 15, "y": [0, 1, 1] * 20}), tmp_path / "b.parquet"
    )
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
        with (find_spans(data)[0].path / "texts.csv").open(newline="", encoding="utf-8") as file:
            assert len(list(csv.DictReader(file))) == 60


def test_a_time_that_python_cannot_hold_is_refused_with_the_name_of_the_file(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    far = pa.array([2**62] * 60, pa.timestamp("us"))
    parquet.write_table(pa.table({"at": far, "paid": ["yes", "no"] * 30}), tmp_path / "far.parquet")
    with pytest.raises(DataRefused, match=r"far\.parquet cannot be read"):
        import_table(tmp_path / "far.parquet", tmp_path / "w", "paid")


def test_codes_are_asked_about_with_a_guess_and_a_person_has_the_last_word(tmp_path):
    cells, asked = RNG.choices([10115, 80331, 20095, 50667], k=300), []

    def ask(name: str, values: str, guess: str) -> str:
        asked.append((name, guess, len(values.split(", "))))
        return "leave out"

    assert whole(cells, tmp_path / "a", "zip", ask=ask) == "was chosen to be left out"
    assert asked == [("zip", "category", 4)]
    assert whole(cells, tmp_path / "b", "zip", chosen={"zip": "number"}) == "number"
    guessed = import_table(tmp_path / "b" / "w.csv", tmp_path / "c", "paid")
    assert guessed.guessed == (("zip", "category"),)
    assert any("zip contains whole numbers that may be codes" in line for line in guessed.sentences())
    with pytest.raises(UsageError, match="no column zap"):
        import_table(tmp_path / "b" / "w.csv", tmp_path / "d", "paid", chosen={"zap": "number"})


@pytest.mark.parametrize(("price", "first"), [("2,5", 78932.0), ("2.5", 78.932), ("2", None)])
def test_points_at_thousands_are_told_by_the_columns_beside_them(tmp_path, price, first):
    cells = [("78.932", "259", "1.250")[n % 3] for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells, price=[price, "3"] * 150), ("sum", "price", "paid"), ";")
    report = import_table(src, tmp_path / "data", "paid")
    if first is not None:
        assert [row["sum"] for row in read(tmp_path / "data")[:2]] == [pytest.approx([first]), [259.0]]
    else:
        assert "ambiguous decimal point, such as '78.932' in a.csv:2" in dict(report.left_out)["sum"]
        said = import_table(src, tmp_path / "said", "paid", decimal=",")
        assert "sum" in said.numbers and read(tmp_path / "said")[0]["sum"] == [78932.0]


def test_a_second_week_has_the_order_of_the_first_and_another_clear_form_is_rewritten(tmp_path):
    def week(name: str, form: str, first: datetime, days: int, mark: str) -> Path:
        cells = [(first + timedelta(n % days)).strftime(form) for n in range(300)]
        amounts = [f"{n}{mark}5" for n in AGES]
        return table(tmp_path / name, column(cells, amount=amounts), ("since", "amount", "paid"), ";")

    import_table(week("a.csv", "%d.%m.%Y", datetime(2026, 1, 1), 60, ","), tmp_path / "data", "paid")
    # 3.2.2026 may be in February or in March, and only the first week tells.
    import_table(week("b.csv", "%d.%m.%Y", datetime(2026, 2, 1), 7, ","), tmp_path / "data", "paid")
    assert read(tmp_path / "data")[2]["since_weekday"] == [date(2026, 2, 3).isoweekday()]
    import_table(week("c.csv", "%Y-%m-%d", datetime(2026, 3, 1), 14, "."), tmp_path / "data", "paid")
    row = next(csv.DictReader((find_spans(tmp_path / "data")[-1].path / "table.csv").open()))
    assert (row["since"], row["amount"]) == ("01.03.2026", "18,5")
    assert read(tmp_path / "data")[0]["amount"] == [18.5]


def test_a_folder_of_an_earlier_version_goes_on_with_days_and_plain_numbers(tmp_path):
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid", chosen={"since": "number"})
    (span,) = find_spans(tmp_path / "data")
    text = (tmp_path / "data" / "workload.yaml").read_text()
    start, end = text.index("columns:"), text.index("# Settings here override")
    (tmp_path / "data" / "workload.yaml").write_text(text[:start] + text[end:])
    (span.path / "table.csv").write_text("age,since,town,paid\n41,14610.5,A,yes\n42,14611,B,no\n")
    assert [row["since"] for row in read(tmp_path / "data")] == [[14610.5], [14611.0]]
    week = [
        ("Q", 20, "A", f"0{n % 9 + 1}.03.2025 6:00" if n < 99 else "31.03.2025", "x", 1, "yes")
        for n in range(100)
    ]
    import_table(table(tmp_path / "b.csv", week, HEADER), tmp_path / "data", "paid")
    assert read(tmp_path / "data")[0]["since"] == [20148.25]


def test_a_table_that_is_imported_twice_adds_nothing_and_a_longer_one_its_new_rows(tmp_path):
    content = [(f"K{n}", age + n / 1000, "AB"[n % 2], ("yes", "no")[n % 3 % 2]) for n, age in enumerate(AGES)]
    header = ("id", "age", "town", "paid")
    import_table(table(tmp_path / "a.csv", content[:200], header), tmp_path / "data", "paid")
    again = import_table(tmp_path / "a.csv", tmp_path / "data", "paid")
    assert (again.span, again.known, again.rows) == (None, 200, 0) and len(find_spans(tmp_path / "data")) == 1
    assert again.sentences()[:2] == ["Nothing is new, and nothing was added.", "200 rows were there already."]
    longer = import_table(table(tmp_path / "b.csv", content, header), tmp_path / "data", "paid")
    assert (longer.known, longer.rows, len(read(tmp_path / "data"))) == (200, 100, 100)


def test_rows_that_are_equal_by_chance_are_kept_and_the_whole_table_is_known_again(tmp_path):
    content = column(RNG.choices("ABC", k=300), size=RNG.choices("SML", k=300))
    src = table(tmp_path / "a.csv", content, ("town", "size", "paid"))
    import_table(src, tmp_path / "data", "paid")
    assert import_table(src, tmp_path / "data", "paid").span is None
    other = table(tmp_path / "b.csv", content[:100], ("town", "size", "paid"))
    assert import_table(other, tmp_path / "data", "paid").rows == 100


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([round(n * 1.37, 2) for n in range(300)], "is regression"),
        ([n // 5 for n in range(300)], r"has 60 different numbers in 300 rows.*regression"),
        ([n * 0.1 for n in range(3000)], r"has over 1,000 different numbers.*regression"),
        (["3.0", "4.0", "5.0"] * 100, ""),
    ],
)
def test_a_label_that_is_measured_is_no_class(tmp_path, labels, found):
    content = [(AGES[n % 300], n % 7, label) for n, label in enumerate(labels)]
    src = table(tmp_path / "a.csv", content, ("age", "b", "y"))
    if found:
        with pytest.raises(UsageError, match=found):
            import_table(src, tmp_path / "data", "y")
    else:
        assert import_table(src, tmp_path / "data", "y").labels == ("3.0", "4.0", "5.0")


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([f"g{n}" for n in range(300)], "The group who differs in nearly every row"),
        (["a", "b"] * 150, "Each of the 2 groups of who has one label"),
        (["a", "b", "c"] * 100, ""),
    ],
)
def test_what_groups_are_worth_is_said_at_once(tmp_path, groups, said):
    content = [
        (age, group, ("yes", "no")[n % 2]) for n, (age, group) in enumerate(zip(AGES, groups, strict=True))
    ]
    src = table(tmp_path / "a.csv", content, ("age", "who", "paid"))
    notes = import_table(src, tmp_path / "data", "paid", "who").remarks
    assert [note for note in notes if said and note.startswith(said)] == list(notes)
    assert bool(notes) == bool(said)


def test_ten_thousand_columns_are_refused_before_anything_is_read(tmp_path):
    header = (*(f"c{n}" for n in range(10_000)), "paid")
    src = table(tmp_path / "a.csv", [(*[1] * 10_000, "yes")], header)
    with pytest.raises(UsageError, match="has 10,001 columns"):
        import_table(src, tmp_path / "data", "paid")


def test_a_week_from_a_workbook_becomes_what_the_first_one_was_and_its_cells_keep_their_types(tmp_path):
    days = [datetime(2026, 1, 1) + timedelta(n % 28) for n in range(300)]
    german = [
        (f"{age}.125", f"{age},5", day.strftime("%d.%m.%Y")) for age, day in zip(AGES, days, strict=True)
    ]
    src = table(tmp_path / "a.csv", [(*row, "ab"[n % 3 % 2]) for n, row in enumerate(german)],
                ("sum", "price", "day", "y"), ";")  # fmt: skip
    import_table(src, tmp_path / "data", "y")
    frame = pd.DataFrame(
        {"sum": [78.932, 259.0] * 150, "price": 2.25, "day": days, "y": ["a", "b", "b"] * 100}
    )
    frame.to_parquet(tmp_path / "b.parquet")
    import_table(tmp_path / "b.parquet", tmp_path / "data", "y")
    first = read(tmp_path / "data")[0]
    assert (first["sum"], first["price"], first["day_weekday"]) == ([pytest.approx(78.932)], [2.25], [4.0])
    contract = {"version": 3, "kind": "row", "readings": 1, "clip": 1e9, "missing": [""], "categories": []}
    workload = open_workload(tmp_path / "data")
    numbers = [
        {"name": n, "column": vars(workload.column(n)), "mean": 0, "deviation": 1, "low": -1e9, "high": 1e9}
        for n in workload.numbers
    ]
    contract |= {"numbers": numbers, "vocabulary_size": 0}
    asked = next(iter(read_inputs(tmp_path / "b.parquet", contract)))
    assert preprocess(asked.content, contract)[0, 0, :3].tolist() == pytest.approx([78.932, 2.25, 4.0])
    # As databases write no date; a run quarantines such a row.
    pq.write_table(pa.table({"sum": [1.5], "price": [2.5], "day": [date(1, 1, 1)]}), tmp_path / "c.parquet")
    (none,) = read_inputs(tmp_path / "c.parquet", contract)
    assert none.problem == "day: '0001-01-01' is not a date as day.month.year."


def test_a_first_week_without_decimals_leaves_points_to_the_columns_beside_them(tmp_path):
    def week(name: str, sums: list[str]) -> Path:
        prices = [f"{age},5" for age in AGES]
        content = column(sums, price=prices if "1.250" in sums else [str(age) for age in AGES])
        return table(tmp_path / name, content, ("sum", "price", "paid"), ";")

    import_table(week("a.csv", [str(age * 3) for age in AGES]), tmp_path / "data", "paid")
    import_table(week("b.csv", ["1.250", "259", "7"] * 100), tmp_path / "data", "paid")
    assert [row["sum"] for row in read(tmp_path / "data")[:2]] == [[1250.0], [259.0]]


@pytest.mark.parametrize(
    "shops",
    [
        np.array([7291034586713462785 + n % 3 for n in range(300)]),
        [Decimal("5.00"), Decimal("7.50"), Decimal("9.25")] * 100,
        [date(2026, 1, 5 + n % 3) for n in range(300)],
        [True, False, True] * 100,
    ],
    ids=["large", "decimal", "date", "boolean"],
)
def test_a_category_of_any_type_is_asked_about_as_the_text_that_was_imported(tmp_path, shops):
    frame = pd.DataFrame({"shop": shops, "price": np.arange(300) * 0.25, "y": ["a", "b", "b"] * 100})
    frame.to_parquet(tmp_path / "a.parquet")
    import_table(tmp_path / "a.parquet", tmp_path / "data", "y", chosen={"shop": "category"})
    vocabulary = sorted({row["shop"] for row in read(tmp_path / "data")})
    number = {"name": "price", "column": {"name": "price"}, "mean": 0, "deviation": 1, "low": 0, "high": 99}
    contract = {"version": 3, "kind": "row", "readings": 1, "clip": 9, "missing": [""], "numbers": [number]}
    contract |= {"categories": [{"name": "shop", "vocabulary": vocabulary}], "vocabulary_size": 3}
    for asked in read_inputs(tmp_path / "a.parquet", contract):
        assert not preprocess(asked.content, contract)[0, 0, 2]  # none is unknown


def test_a_table_that_names_photos_warns_that_it_does_not_read_them(tmp_path: Path) -> None:
    names: list[object] = [f"week 1/IMG_{n}.JPG" for n in range(300)]
    src = table(tmp_path / "a.csv", column(names, age=list(AGES)), ("file", "age", "paid"))
    report = import_table(src, tmp_path / "data", "paid")
    (warning,) = report.warnings
    assert warning.startswith("file names photos, which a table does not read") and report.numbers == ("age",)
    assert import_table(src, tmp_path / "data", "paid").warnings == ()  # the next week
    icons: list[object] = [f"icon {n % 3}.png" for n in range(300)]
    src = table(tmp_path / "c.csv", column(icons, age=list(AGES)), ("icon", "age", "paid"))
    report = import_table(src, tmp_path / "icons", "paid")
    assert (report.categories, report.warnings) == (("icon",), ())
    src = table(tmp_path / "b.csv", column(names), ("file", "paid"))
    with pytest.raises(DataRefused, match="file names photos, which are read without --label"):
        import_table(src, tmp_path / "more", "paid")
