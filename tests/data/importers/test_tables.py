import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from data.importers.tables import import_table
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.source import Rejected
from data.tables.source import open_source
from errors import DataRefused, UsageError
from pipeline.workloads import find_workload, with_features

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


def test_what_a_column_is_is_found_and_what_no_model_should_see_is_named(tmp_path):
    report = import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")

    assert report.numbers == ("age", "since") and report.categories == ("town",)
    assert dict(report.left_out) == {
        "id": "is different in nearly every row",
        "fixed": "has one value",
        "code": "gives the label away",
    }
    assert report.labels == ("no", "yes")


def test_what_was_imported_is_a_workload_whose_source_takes_every_row(tmp_path):
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")
    workload = with_features(find_workload(str(tmp_path / "data" / "workload.yaml")))
    source = open_source(workload, DataSettings())
    (span,) = find_spans(tmp_path / "data")
    read = list(source.rows(span))
    example = source.example(span, read[1])

    assert len(read) == 300 and {row.label for row in read} == {"yes", "no"}
    assert set(example.features) >= {"age", "since", "town", "missing_share"}
    # Days since 1970, between 2010 and 2025.
    assert 14_600 < example.features["since"][0] < 20_100


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
        ("id", None, r"a label for nearly each"),
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
        (b"a,paid\n1,no\n1,2,yes\n", r"a\.csv:3: It has 3 cells, and the header 2.*1 of 2 rows"),
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
    assert (report.numbers, report.categories) == (("age", "since"), ("town",))
    assert dict(report.left_out) == dict.fromkeys(("id", "fixed", "code"), "the schema does not have")
    _, span = find_spans(tmp_path / "data")
    with (span.path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file)) == {"age": "20", "town": "A", "since": "20162", "paid": "yes"}


def test_a_label_that_is_new_goes_to_the_end_of_the_schema_and_is_told(tmp_path):
    report = again(tmp_path, [*rows(), *[("K", 30, "A", "2024-01-15", "x", 1, "late")] * 20])

    assert report.new_labels == ("late",)
    assert "New at the end of the schema's labels: late." in report.sentences()
    workload = with_features(find_workload(str(tmp_path / "data" / "workload.yaml")))
    assert workload.labels == ("no", "yes", "late")


@pytest.mark.parametrize(
    ("header", "given", "found"),
    [
        ((*HEADER[:2], "city", *HEADER[3:]), {}, "b.csv has no column town, which the spans before it have"),
        (HEADER, {"group": "id"}, "The schema has no feature id"),
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
    import_table(table(tmp_path / "a.csv", rows()), tmp_path / "data", "paid")
    assert len(find_spans(tmp_path / "data")) == 2 and schema.read_text() == edited


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_where_the_label_is_a_column(tmp_path, separator):
    header = ("age", "note, or; two" if separator in "\t|" else "a|b", "paid")
    content = column([*range(300)], note=["x", "y", "z"] * 100)
    report = import_table(table(tmp_path / "a.csv", content, header, separator), tmp_path / "data", "paid")
    assert (report.numbers, report.categories) == (("age",), (header[1],))


def test_numbers_with_a_decimal_comma_are_numbers_where_semicolons_separate(tmp_path):
    cells = ["1.234,5" if n % 9 == 0 else f"{n},25" if n % 2 else n for n in range(300)]
    content = column(cells, other=[f"{n}.5" for n in range(300)])
    src = table(tmp_path / "a.csv", content, ("price", "size", "paid"), ";")
    assert import_table(src, tmp_path / "data", "paid").numbers == ("price", "size")
    found = written(tmp_path / "data")
    assert [row["price"] for row in found[:4]] == ["1234.5", "1.25", "2.0", "3.25"]
    assert found[1]["size"] == "1.5"


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
        ("count", "has numbers of which nobody can tell whether the comma is decimal"),
    )
    found = written(tmp_path / "data")
    assert [row["price"] for row in found[:3]] == ["0.0", "1.25", "2.0"]
    assert [row["mass"] for row in found[:3]] == ["1250.0", "2250.0", "3250.5"]


def test_numbers_with_point_and_with_comma_in_one_column_are_refused_with_a_row_of_each(tmp_path):
    cells = [f"{n}.5" if n % 3 else f"{n},5" for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells), ("price", "paid"), ";")
    with pytest.raises(DataRefused, match=r"several forms: '0,5' in a\.csv:2, '1\.5' in a\.csv:3"):
        import_table(src, tmp_path / "data", "paid")


@pytest.mark.parametrize(
    ("form", "seventh"), [("%d.%m.%Y", "7.03.2026"), ("%m/%d/%Y 6:30", "03/07/2026 6:30"), ("%Y/%m/%d", "")]
)
def test_dates_of_one_clear_form_are_days_and_times_in_utc(tmp_path, form, seventh):
    days = [datetime(2026, 3, 1) + timedelta(n) for n in range(300)]
    cells = [day.strftime(form) for day in days]
    cells[6] = seventh or cells[6]
    content = column(cells, day=cells)
    src = table(tmp_path / "a.csv", content, ("since", "day", "paid"))
    assert import_table(src, tmp_path / "data", "paid", time="day").numbers == ("since",)
    row = written(tmp_path / "data")[6]
    clock = "06:30" if "30" in form else "00:00"
    assert row["day"] == f"2026-03-07T{clock}:00Z"
    assert float(row["since"]) == pytest.approx(20519 + (6.5 / 24 if "30" in form else 0), abs=1e-4)


def test_dates_in_several_forms_are_refused_with_a_row_of_each(tmp_path):
    cells = [f"2026-01-{n % 28 + 1:02}" if n % 2 else f"{n % 28 + 1:02}.01.2026" for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells), ("since", "paid"))
    with pytest.raises(DataRefused, match=r"several forms: '01.01.2026' in a\.csv:2, '2026-01-02' in a\.c"):
        import_table(src, tmp_path / "data", "paid")


def test_dates_of_which_day_and_month_cannot_be_told_are_no_times_and_left_out(tmp_path):
    cells = [f"{n % 12 + 1}/{n % 11 + 1}/2026" for n in range(300)]
    src = table(tmp_path / "a.csv", column(cells, age=[*range(300)]), ("since", "age", "paid"))
    report = import_table(src, tmp_path / "data", "paid")
    assert dict(report.left_out) == {"since": "has dates of which nobody can tell day and month"}
    with pytest.raises(UsageError, match=r"no times that can be read: '1/1/2026' in a\.csv:2"):
        import_table(src, tmp_path / "other", "paid", time="since")


def test_a_typing_error_in_a_column_is_quarantined_and_a_missing_cell_is_missing(tmp_path):
    cells = [f"2026-01-{n % 28 + 1:02}" for n in range(300)]
    cells[3], cells[4] = "2026-13-01", "?"
    import_table(table(tmp_path / "a.csv", column(cells), ("since", "paid")), tmp_path / "data", "paid")
    source = open_source(
        with_features(find_workload(str(tmp_path / "data" / "workload.yaml"))), DataSettings()
    )
    (span,) = find_spans(tmp_path / "data")
    read = list(source.rows(span))
    assert [(item.id, item.reason) for item in read if isinstance(item, Rejected)] == [
        ("table.csv:5", "not-a-number")
    ]
    assert str(source.example(span, read[4]).features["since"]) == "[nan]"


def test_few_damaged_rows_are_left_out_and_named_and_many_are_not(tmp_path):
    src = table(tmp_path / "a.csv", rows())
    src.write_text(src.read_text() + 'K,1\n"K" 2,1\n')
    report = import_table(src, tmp_path / "data", "paid")
    assert report.rows == 300
    assert report.sentences()[-2:] == [
        "Not imported: a.csv:302: It has 2 cells, and the header 7.",
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


@pytest.mark.parametrize(
    ("per_label", "apart", "leaks"),
    [
        ({"a": 150, "b": 150}, True, True),
        ({"a": 150, "b": 150}, False, False),
        ({"a": 100, "b": 80, "c": 20, "d": 1}, True, True),
        # Two of the irises: an honest column may part as many.
        ({"a": 50, "b": 50}, True, False),
        ({"a": 300, "b": 19}, True, False),
    ],
)
def test_a_number_that_has_a_range_of_its_own_for_each_label_gives_it_away(tmp_path, per_label, apart, leaks):
    src = table(tmp_path / "a.csv", ranges(per_label, apart), ("score", "age", "label"))
    report = import_table(src, tmp_path / "data", "label")
    why = "gives the label away: each label has a range of its own"
    assert dict(report.left_out) == ({"score": why} if leaks else {})


def test_dates_after_which_all_rows_have_the_other_label_give_it_away(tmp_path):
    start = datetime(2026, 1, 1)
    content = [(start + timedelta(hours=n), n % 7, "ab"[n >= 150]) for n in range(300)]
    report = import_table(
        table(tmp_path / "a.csv", content, ("since", "age", "label")), tmp_path / "data", "label"
    )
    assert [name for name, _ in report.left_out] == ["since"]


def test_a_single_group_is_refused_unless_there_are_spans_of_others(tmp_path):
    content = column([*range(300)], machine=["m1"] * 300)
    header = ("age", "machine", "paid")
    src = table(tmp_path / "a.csv", content, header)
    with pytest.raises(UsageError, match=r"machine of .* is 'm1' in every row"):
        import_table(src, tmp_path / "data", "paid", group="machine")
    several = column([*range(300)], machine=["m1", "m2", "m3"] * 100)
    import_table(table(tmp_path / "b.csv", several, header), tmp_path / "data", "paid", group="machine")
    import_table(src, tmp_path / "data", "paid", group="machine")
    assert len(find_spans(tmp_path / "data")) == 2


def test_a_class_may_be_called_none(tmp_path):
    content = [(n, ("none", "leak")[n * n % 7 == 1]) for n in range(300)]
    report = import_table(table(tmp_path / "a.csv", content, ("age", "fault")), tmp_path / "data", "fault")
    assert report.labels == ("leak", "none")


def test_a_column_that_is_called_as_a_feature_of_every_example_is_left_out_and_named(tmp_path):
    content = column([*range(300)], span=["x", "y", "z"] * 100, group=["x", "y", "z"] * 100)
    src = table(tmp_path / "a.csv", content, ("age", "span", "group", "paid"))
    report = import_table(src, tmp_path / "data", "paid", "group")
    assert [name for name, _ in report.left_out] == ["span"]
    assert with_features(find_workload(str(tmp_path / "data" / "workload.yaml"))).reads == ("age",)
