import csv
import random
from pathlib import Path

import pandas as pd
import pytest

from data.importers.tables import import_table
from data.settings import DataSettings
from data.spans.layout import find_spans
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


def table(path: Path, content: list[tuple[object, ...]], header: tuple[str, ...] = HEADER) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *content])
    return path


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
    [(b"", "cannot be read"), (b"a,paid\n", "no row"), (b"a,paid\n\xff,yes\n", "not UTF-8")],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, found):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataRefused, match=found):
        import_table(tmp_path / "a.csv", tmp_path / "data", "paid")


def test_another_table_is_not_mixed_into_a_folder_and_the_same_one_is_another_week(tmp_path):
    for name, content in (("a.csv", rows()), ("b.csv", rows())):
        import_table(table(tmp_path / name, content), tmp_path / "data", "paid")
    assert len(find_spans(tmp_path / "data")) == 2

    with pytest.raises(UsageError, match="another table by columns or labels"):
        import_table(
            table(tmp_path / "c.csv", rows(), (*HEADER[:2], "city", *HEADER[3:])), tmp_path / "data", "paid"
        )
