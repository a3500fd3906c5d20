import csv
from datetime import datetime, timedelta, timezone

import pytest

from data.importers.clocks import find_count, find_no_times, parse_source_cell
from data.importers.table_file import read_table_file
from edgeline.errors import UsageError
from tests.data.importers.named import import_table
from tests.data.importers.test_tables import make_labels

TIMES = [datetime(2026, 1, 5, 6, tzinfo=timezone.utc) + timedelta(minutes=95 * n) for n in range(300)]
EXCEL = datetime(1899, 12, 30, tzinfo=timezone.utc)


def load(tmp_path, form, name="week", time="at", **more):
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["at", *more, "size", "paid"])
        for n, (moment, paid) in enumerate(zip(TIMES, make_labels(300), strict=True)):
            others = [format_cell(moment) for format_cell in more.values()]
            writer.writerow([form(moment), *others, n * 7 % 41 + len(name), paid])
    return import_table(path, tmp_path / "data", "paid", time=time)


def read_times(report, name="at"):
    with (report.span.path / "table.csv").open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_a_cell_that_is_no_time_is_counted_with_its_place(tmp_path):
    report = load(tmp_path, lambda time: "soon" if time == TIMES[7] else int(time.timestamp()))
    assert "1 of 300. The cell at has no seconds since 1970: 'soon' (week.csv:9)." in report.warnings[0]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        (lambda time: f"{time.timestamp():.2f}", "seconds since 1970"),
        (lambda time: int(time.timestamp()) * 1000, "milliseconds since 1970"),
        (lambda time: int(time.timestamp()) * 10**6, "microseconds since 1970"),
        (lambda time: int(time.timestamp()) * 10**9, "nanoseconds since 1970"),
        (lambda time: repr((time - EXCEL) / timedelta(days=1)), "days as Excel counts them"),
        (lambda time: time.strftime("%m/%d/%Y %I:%M %p"), "month/day/year with AM or PM"),
    ],
    ids=["parts of s", "ms", "us", "ns", "Excel", "month first"],
)
def test_times_in_other_forms_are_written_in_iso_8601(tmp_path, form, shown):
    report = load(tmp_path, form)
    assert f"at has {shown}, which the span has in ISO 8601." in report.remarks
    expected = [time.isoformat().replace("+00:00", "Z").removesuffix("T00:00:00Z") for time in TIMES]
    assert read_times(report) == expected

    # A later week may have them in any form, and is read by the same table.yaml.
    later = load(tmp_path, lambda time: int(time.timestamp()), "week two")
    assert (later.known, read_times(later)) == (0, expected)
    entry = read_table_file(tmp_path / "data").columns["at"]
    assert (entry.form, entry.reason) == ("year-month-day", f"was named with --time, and has {shown}")


@pytest.mark.parametrize(
    ("form", "none"),
    [
        (lambda time: int(time.timestamp()) * 10**9, "-9223372036854775808"),
        (lambda time: repr((time - EXCEL) / timedelta(days=1)), "0"),
        (lambda time: time.strftime("%d.%m.%Y %I:%M:%S%p").lower(), "01.01.1900 12:00:00am"),
        (lambda time: f"{time:%Y-%m-%d}", "9999-12-31"),
    ],
    ids=["ns", "Excel", "day first", "days"],
)
def test_cells_that_stand_for_no_time_are_empty_in_the_span(tmp_path, form, none):
    report = load(tmp_path, lambda time: none if time in TIMES[7:299:40] else form(time))
    assert [number for number, cell in enumerate(read_times(report), 2) if not cell] == [*range(9, 301, 40)]
    remark = f"at is {none!r} in week.csv:9, which stands for no time, as years lie between it and all others"
    assert f"{remark}: the span has no time in 8 rows, which a run quarantines." in report.remarks
    assert "Rows that a run will quarantine for their cells: 8 of 300." in report.warnings[0]
    entry = read_table_file(tmp_path / "data").columns["at"]
    assert (entry.form, entry.missing) == ("year-month-day", (none,))
    assert entry.reason.endswith(f"; 8 of its cells stand for no time, such as {none!r} in week.csv:9")

    # So they are in later weeks, where another one may come too.
    later = load(tmp_path, lambda time: {7: none, 9: "-1"}.get(TIMES.index(time), form(time)), "week two")
    assert [number for number, cell in enumerate(read_times(later), 2) if not cell] == [9, 11]


@pytest.mark.parametrize(
    ("ends", "are_dates", "none"),
    [
        ([0, -1, 10**9], False, [-1, 0]),
        ([0, 10**9, 2**31 - 1], False, [0, 2**31 - 1]),
        ([0, 5 * 10**7, 10**9], False, []),  # the other one is of 1971
        ([0, -2 * 10**8, 10**9], False, []),  # times before and after it
        ([0, 1, 2], False, []),
        ([0, -1], False, []),
        ([0, 86_400, 10**9], True, [0, 86_400]),
        ([0, 10**8, 10**9], True, []),
    ],
)
def test_a_time_is_none_if_years_lie_between_it_and_all_others(ends, are_dates, none):
    assert sorted(find_no_times(ends, are_dates)) == none


@pytest.mark.parametrize(
    ("low", "high", "form"),
    [
        (4 * 10**7, 10**10 - 1, "seconds since 1970"),
        (0, 10**9, "seconds since 1970"),
        (-200_568_600, -100_000, "seconds since 1970"),
        (-(10**11), 0, "milliseconds since 1970"),
        (18_000_101, 21_991_231, ""),
        (10**9, 10**10, ""),
        (20_000, 79_999.5, "days as Excel counts them"),
        (19_999, 50_000, ""),
        (2_019, 2_026, ""),
    ],
)
def test_numbers_are_times_by_their_size_alone(low, high, form):
    assert find_count(low, high) == form


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [("2026-01-05 12:00 AM", 0), ("2026-01-05 12:30 p.m.", 45_000), ("2026-01-05 6 PM", 64_800)],
)
def test_noon_and_midnight_are_twelve(cell, seconds):
    midnight = datetime(2026, 1, 5, tzinfo=timezone.utc).timestamp()
    assert parse_source_cell(cell, "year-month-day with AM or PM") - midnight == seconds


@pytest.mark.parametrize("cell", ["2026-01-05 13:00 PM", "2026-01-05 0:00 AM", "2026-01-05 12:00", "6:00 PM"])
def test_a_time_that_no_clock_of_twelve_hours_shows_is_none(cell):
    with pytest.raises(ValueError):
        parse_source_cell(cell, "year-month-day with AM or PM")


@pytest.mark.parametrize("clock", ["%H:%M", "%I:%M %p"])
def test_a_date_and_a_time_of_day_are_read_from_two_columns(tmp_path, clock):
    columns = {"hour of day": lambda time: time.strftime(clock)}
    report = load(tmp_path, lambda time: time.strftime("%Y-%m-%d"), time="at+hour of day", **columns)
    stamps = [time.replace("Z", "").replace("T", " ")[:16] for time in read_times(report, "at+hour of day")]
    assert stamps[:2] == ["2026-01-05 06:00", "2026-01-05 07:35"]
    # A time of 24 hours reads as a number, too.
    assert report.numbers == ("at_weekday", *(["hour of day"] if clock == "%H:%M" else []), "size")

    # Later weeks need no option.
    later = load(tmp_path, lambda time: time.strftime("%Y-%m-%d"), "week two", time="", **columns)
    assert read_times(later, "at+hour of day") == read_times(report, "at+hour of day")


def test_a_column_of_times_of_day_beside_dates_is_named(tmp_path):
    report = load(tmp_path, lambda time: time.date(), clock=lambda time: time.strftime("%H:%M"))
    assert "at has no times of day: --time 'at+clock' reads those of clock." in report.remarks
    with pytest.raises(UsageError, match=r"has no column at\+watch"):
        load(tmp_path / "other", lambda time: time.date(), time="at+watch")


def test_seconds_before_1970_and_in_its_first_days_are_times(tmp_path):
    seconds = {time: (time - TIMES[3]).total_seconds() * 200 for time in TIMES}
    cells = read_times(load(tmp_path, lambda time: f"{seconds[time]:.1f}"))
    assert [parse_source_cell(cell, "year-month-day") for cell in cells] == [*seconds.values()]
