"""Rows of databases: real files of SQLite, and a PostgreSQL that the test starts."""

import csv
import sqlite3
import subprocess
import sys

import pandas
import pytest

from data.spans.layout import find_spans
from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.tables.typed_rows import write_query
from tests.data.importers.named import import_table
from tests.postgres import QUOTED, SECRET

PEAK = """
import resource, sys
from pathlib import Path
from edgeline.tables.typed_rows import write_query
write_query(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture
def plant(tmp_path):
    path = tmp_path / "my plant.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE readings (at TEXT, machine TEXT, heat NUMERIC, share TEXT, fault)")
        rows = []
        for n in range(400):
            heat = n / 8 if n != 7 else None
            fault = "none" if n % 5 else "leak"
            rows.append((f"2026-01-{n % 28 + 1:02} 06:00:00", f"m{n % 9}", heat, f"{n % 7}%", fault))
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    return path


def url(path):
    return f"sqlite:///{path}"


def read_rows(data_dir):
    (span,) = find_spans(data_dir)
    with (span.path / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def measure_peak_mb(address, query, target):
    command = [sys.executable, "-c", PEAK, address, query, str(target)]
    return int(subprocess.check_output(command, text=True)) / 1024


def test_the_rows_of_a_query_are_a_table(plant, tmp_path):
    query = "SELECT * FROM readings -- all of it; '%' and :name stand for themselves"
    report = import_table(url(plant), tmp_path / "data", "fault", "machine", "at", query=query)
    assert (report.numbers, report.categories, report.labels) == (("heat",), ("share",), ("leak", "none"))
    assert report.sentences()[0].endswith(f"400 rows of {url(plant)}, with 2 labels: leak, none.")
    rows = read_rows(tmp_path / "data")
    assert rows[1] == {
        "at": "2026-01-02 06:00:00", "machine": "m1", "heat": "0.125", "share": "1%", "fault": "none"
    }  # fmt: skip
    assert rows[7]["heat"] == ""


def test_a_text_of_digits_is_a_category_in_a_database_and_in_parquet(plant, tmp_path):
    query = "SELECT heat, fault, '0' || (4 + length(machine || at) % 2 + rowid % 3) AS zip FROM readings"
    assert import_table(url(plant), tmp_path / "sql", "fault", query=query).categories == ("zip",)
    rows = {"zip": ["12", "34", "56"] * 20, "heat": [n / 8 for n in range(60)], "fault": ["a", "b"] * 30}
    pandas.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    report = import_table(tmp_path / "a.parquet", tmp_path / "parquet", "fault")
    assert (report.categories, report.numbers) == (("zip",), ("heat",))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("DELETE FROM readings", "query begins with 'DELETE FROM readings'"),
        ("  -- SELECT\nUPDATE readings SET heat = 0", "query begins with"),
        ("WITH a AS (SELECT 1) DELETE FROM readings", "attempt to write a readonly database"),
        ("SELECT 1; DELETE FROM readings", "one statement at a time"),
        ("SELECT * FROM reading", "no such table: reading"),
    ],
)
def test_a_query_that_changes_data_or_fails_is_refused_and_changes_nothing(plant, tmp_path, query, found):
    before = plant.read_bytes()
    with pytest.raises(UsageError, match=found):
        import_table(url(plant), tmp_path / "data", "fault", query=query)
    assert plant.read_bytes() == before and not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("address", "kind", "found"),
    [
        ("nosuch://host/db", UsageError, "sqlalchemy.dialects:nosuch"),
        ("mysql+mysqldb://me:{}@host/db", UsageError, "No module named 'MySQLdb'.*install 'mysqlclient'"),
        ("postgresql+psycopg://me:{}@host:port/db", UsageError, "URL of the database cannot be parsed"),
        ("postgresql+psycopg://me:{}@127.0.0.1:1/db", EdgelineError, r"me:\*\*\*@127.0.0.1:1/db cannot be"),
        ("postgresql+psycopg://me@127.0.0.1:1/db?password={}", EdgelineError, "cannot be opened"),
        ("postgresql+psycopg://me:s3cret p@ss@127.0.0.1:1/db", UsageError, "URL of the database cannot"),
    ],
)  # fmt: skip
def test_a_database_that_cannot_be_opened_is_reported_without_its_password(tmp_path, address, kind, found):
    with pytest.raises(kind, match=found) as caught:
        import_table(address.format(QUOTED), tmp_path / "data", "fault", query="SELECT 1")
    assert not any(secret in str(caught.value) for secret in (SECRET, QUOTED, "p@ss", "ss@"))


def test_a_missing_database_is_not_made(tmp_path):
    with pytest.raises(EdgelineError, match="unable to open"):
        write_query(url(tmp_path / "no.db"), "SELECT 1", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "query", "found"),
    [
        ("{}", "", "A URL is given without --query"),
        ("a.csv", "SELECT 1", "--query is given without the URL"),
        ("{}", "SELECT *, fault FROM readings", "plant.db has the column 'fault' twice"),
        ("{}", "SELECT * FROM readings WHERE heat < 0", "plant.db has no row"),
    ],
)
def test_a_url_needs_a_query_that_has_rows_and_each_name_once(plant, tmp_path, source, query, found):
    with pytest.raises((UsageError, DataRefused), match=found):
        import_table(source.format(url(plant)), tmp_path / "data", "fault", query=query)


READINGS = """
SELECT timestamptz '2026-01-05 07:00:00+01' + n * interval '1 hour' AS at,
       'm' || n % 9 AS machine, (n / 8.0)::numeric(12, 3) AS heat, (n % 7)::numeric AS flow,
       n % 11 = 0 AS worn, CASE WHEN n % 5 = 0 THEN 'leak' ELSE 'none' END AS fault
FROM generate_series(0, 399) AS n
"""


def test_decimals_and_times_with_a_zone_come_from_postgresql_as_they_are(postgres, tmp_path):
    report = import_table(postgres, tmp_path / "data", "fault", "machine", "at", query=READINGS)
    assert (report.numbers, report.categories) == (("heat", "flow"), ("worn",))
    assert read_rows(tmp_path / "data")[1] == {
        **{"at": "2026-01-05T07:00:00+00:00", "machine": "m1", "heat": "0.125", "flow": "1"},
        **{"worn": "False", "fault": "none"},
    }
    contents = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in content or QUOTED.encode() in content for content in contents)
    assert "me:***@" in report.sentences()[0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "data-modifying"),
        ("SELECT * INTO u FROM t", "INTO|read-only"),
        ("SELECT nextval('s')", "read-only transaction"),
        ("SELECT 1; COMMIT; DROP TABLE t", "multiple commands"),
        ("SELECT * FROM t WHERE", "syntax error"),
    ],
)
def test_a_query_of_postgresql_that_changes_data_or_fails_is_refused(postgres, tmp_path, query, found):
    import psycopg

    with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t AS SELECT n FROM generate_series(1, 5) n")
        connection.execute("CREATE SEQUENCE IF NOT EXISTS s")
        with pytest.raises(UsageError, match=found) as caught:
            import_table(postgres, tmp_path / "data", "n", query=query)
        assert SECRET not in str(caught.value)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (5,)


def test_a_wrong_password_is_reported_and_not_shown(postgres, tmp_path):
    with pytest.raises(EdgelineError, match="password authentication failed") as caught:
        write_query(postgres.replace(QUOTED, "wrong-one"), "SELECT 1", tmp_path / "a.csv")
    assert "wrong-one" not in str(caught.value) and caught.value.do


@pytest.mark.e2e
def test_memory_is_flat_in_the_rows_of_postgresql(postgres, tmp_path):
    query = "SELECT n, repeat('x', 40) AS t FROM generate_series(1, {}) n"
    peaks = [measure_peak_mb(postgres, query.format(n), tmp_path / "a.csv") for n in (20_000, 300_000)]
    assert peaks[1] < peaks[0] + 10
