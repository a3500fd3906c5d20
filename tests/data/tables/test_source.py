"""Rows of tables, windows of readings, and the reasons of rejected rows."""

import gzip
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.sensors.generator import LABELS, NUMBERS, generate
from data.settings import DataSettings
from data.spans.layout import Span
from data.spans.source import Rejected, Row
from data.tables.source import check, count, list_columns, open_source
from edgeline.errors import DataRefused, UsageError
from edgeline.records.columns import Column
from edgeline.records.workload import Workload
from edgeline.store.locations import locate
from tests.examples import serialize, write_records

SENSOR = Workload(
    "sensor",
    "schema/sensor.pbtxt",
    "trainer_module.workloads.tables",
    "data.tables.source",
    labels=("normal", "leak"),
    numbers=("temperature", "pressure"),
    categories=("machine_id",),
    label_column="fault_label",
    group_column="machine_id",
    time_column="timestamp",
)
HEADER = "timestamp,machine_id,temperature,pressure,fault_label"
WINDOWS = DataSettings(readings=3)


def write_span(folder: Path, *lines: str, header: str = HEADER, name: str = "readings.csv") -> Span:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return Span(1, folder)


def line(minute: int, machine: str = "m-01", temperature: str = "", label: str = "normal") -> str:
    hour, minute = divmod(minute, 60)
    return f"2026-01-05T{hour:02d}:{minute:02d}:00Z,{machine},{temperature or 20 + minute},6.1,{label}"


def read(span: Span, settings: DataSettings = DataSettings(), workload: Workload = SENSOR) -> list:  # noqa: B008
    return list(open_source(workload, settings).rows(span))


def read_examples(span: Span, settings: DataSettings = DataSettings(), workload: Workload = SENSOR) -> list:  # noqa: B008
    source = open_source(workload, settings)
    return [source.example(span, row) for row in source.rows(span) if isinstance(row, Row)]


def list_rejected(items: list) -> list[tuple[str, str]]:
    return [(item.id, item.reason) for item in items if isinstance(item, Rejected)]


def list_ids(items: list) -> list[str]:
    return [item.id for item in items if isinstance(item, Row)]


@pytest.mark.parametrize(
    ("cells", "reason", "detail"),
    [
        ("2026-01-05T00:00:00Z,m-01,20,6.1", "ragged", "4 cells, but the header has 5"),
        ('2026-01-05T00:00:00Z,m-01,"20" 6.1,normal', "ragged", "not CSV"),
        ("2026-01-05T00:00:00Z,m-01,20,6.1,", "unlabelled", "fault_label is empty"),
        ("2026-01-05T00:00:00Z,m-01,20,6.1,lek", "unknown-label", "the nearest known label is 'leak'"),
        ("2026-01-05T00:00:00Z,,20,6.1,normal", "no-group", "machine_id is empty"),
        ('2026-01-05T00:00:00Z,m-01,20,"6,1",normal', "not-a-number", "pressure: '6,1' is a number with a"),
        ("2026-01-05T00:00:00Z,m-01,warm,6.1,normal", "not-a-number", "temperature: 'warm' is not a number"),
        ("05.01.2026 06:00,m-01,20,6.1,normal", "unreadable-time", "day.month.year; times are ISO 8601"),
        ("2026-02-30T00:00:00Z,m-01,20,6.1,normal", "unreadable-time", "a time that does not exist"),
    ],
)  # fmt: skip
def test_a_bad_row_goes_to_quarantine_with_its_reason_and_the_others_go_on(cells, reason, detail, tmp_path):
    items = read(write_span(tmp_path, line(0), cells, line(2)))
    assert list_rejected(items) == [("readings.csv:3", reason)]
    assert detail in items[1].detail
    assert list_ids(items) == ["readings.csv:2", "readings.csv:4"]


def test_the_last_second_that_databases_write_for_never_is_a_time(tmp_path: Path) -> None:
    (example,) = read_examples(write_span(tmp_path, "9999-12-31 23:59:59.999,m-01,20,6.1,normal"))
    assert str(example.features["timestamp"]).startswith("9999-12-31T23:59:59.99")


def test_a_missing_number_is_nan_and_counted(tmp_path: Path) -> None:
    for example in read_examples(write_span(tmp_path, line(0, temperature=" "), line(1, temperature="NA"))):
        assert str(example.features["temperature"]) == "[nan]"
        assert example.features["missing_share"] == 0.5


def test_an_example_has_the_newest_texts_and_a_time_in_utc(tmp_path: Path) -> None:
    span = write_span(tmp_path, "2026-01-05 07:00:00+01:00,m-02,21.5,6,leak")
    source = open_source(SENSOR, DataSettings())
    (row,) = source.rows(span)
    features = source.example(span, row).features
    assert (row.label, row.group) == ("leak", "m-02")
    assert features["timestamp"] == "2026-01-05T06:00:00Z"
    assert (features["machine_id"], features["temperature"], features["pressure"]) == ("m-02", [21.5], [6.0])


def test_a_window_is_the_last_readings_of_one_machine_with_the_label_of_the_newest(tmp_path: Path) -> None:
    lines = [line(m, machine) for m in range(4) for machine in ("m-01", "m-02")]
    span = write_span(tmp_path, *lines, line(4, "m-01", label="leak"))
    source = open_source(SENSOR, WINDOWS)
    rows = list(source.rows(span))
    # The last reading of each machine can be checked for its order only at the end.
    assert list_ids(rows) == [f"readings.csv:{number}" for number in (6, 7, 8, 10, 9)]
    newest = next(row for row in rows if row.id == "readings.csv:10")
    assert newest.label == "leak"
    features = source.example(span, newest).features
    assert features["temperature"] == [22.0, 23.0, 24.0]
    assert features["stuck_share"] == 0.5  # the pressure stands still
    shown = source.show({k: v if isinstance(v, list) else [v] for k, v in features.items()})
    assert "temperature 24 (22 to 24)" in shown


def test_no_window_reaches_into_another_block_and_no_reading_is_in_two_groups(tmp_path: Path) -> None:
    settings = DataSettings(readings=3, block_hours=1)
    span = write_span(tmp_path, *(line(m) for m in range(50, 70)))
    source = open_source(SENSOR, settings)
    rows = [row for row in source.rows(span) if isinstance(row, Row)]
    groups_of: dict[float, set[str]] = {}
    for row in rows:
        for value in source.example(span, row).features["temperature"]:
            groups_of.setdefault(value, set()).add(row.group)
    assert {row.group for row in rows} == {"m-01/2026-01-05T00:00:00Z", "m-01/2026-01-05T01:00:00Z"}
    assert all(len(groups) == 1 for groups in groups_of.values())
    assert len(rows) == 20 - 2 * 2


def test_a_stride_leaves_windows_out(tmp_path: Path) -> None:
    span = write_span(tmp_path, *(line(m) for m in range(10)))
    windows = list_ids(read(span, DataSettings(readings=3, stride=3)))
    assert windows == ["readings.csv:4", "readings.csv:7", "readings.csv:10"]


@pytest.mark.parametrize(
    "rule, labels",
    [
        ("newest", ["normal", "normal", "normal", "normal"]),
        ("commonest", ["leak", "normal", "normal", "normal"]),
        ("event", ["leak", "leak", "normal", "normal"]),
    ],
)
def test_a_window_has_its_label_by_the_rule(tmp_path, rule, labels):
    of_readings = ["leak", "leak", "normal", "normal", "normal", "normal"]
    span = write_span(tmp_path, *(line(minute, label=label) for minute, label in enumerate(of_readings)))
    settings = DataSettings(readings=3, window_label=rule)
    windows = read(span, settings, replace(SENSOR, normal="normal"))
    assert [window.label for window in windows] == labels


def test_a_clock_set_back_rejects_what_comes_until_it_has_caught_up(tmp_path: Path) -> None:
    minutes = [0, 1, 2, 10, 11, 3, 4, 11, 12, 13]
    others = [line(m, "m-02") for m in (0, 1, 2)]  # a clock of their own
    items = read(write_span(tmp_path, *map(line, minutes), *others), WINDOWS)
    assert list_rejected(items) == [
        ("readings.csv:7", "clock-backwards"),
        ("readings.csv:8", "clock-backwards"),
        ("readings.csv:9", "duplicate"),
    ]
    assert "2026-01-05T00:03:00Z is before 2026-01-05T00:10:00Z, the last of m-01" in items[2].detail


def test_one_date_in_the_future_costs_one_row_and_readings_go_on_in_the_next_file(tmp_path: Path) -> None:
    write_span(tmp_path, line(0), "2062-01-05T00:02:00Z,m-01,22,6.1,normal", line(1), name="a.csv")
    span = write_span(tmp_path, line(2), line(2), name="b.csv")
    items = read(span, WINDOWS)
    assert list_ids(items) == ["b.csv:2"]
    assert list_rejected(items) == [("a.csv:3", "clock-backwards"), ("b.csv:3", "duplicate")]


def test_copies_have_one_digest_where_there_is_a_time_and_are_two_cases_where_there_is_none(tmp_path):
    timeless = Workload("t", "", "m", "s", labels=("a", "b"), numbers=("x",), categories=("c",))
    span = write_span(tmp_path / "t", "1,u,a", "1,u,b", "2,u,a", header="x,c,label")
    assert len({example.digest for example in read_examples(span, workload=timeless)}) == 3
    rows = read(span, workload=timeless)
    assert rows[0].group == rows[1].group != rows[2].group
    first, copy, other = read_examples(write_span(tmp_path / "s", line(0), line(0), line(1)))
    assert first.digest == copy.digest != other.digest


def test_columns_may_stand_in_any_order_among_others_and_a_mark_may_come_first(tmp_path: Path) -> None:
    header = "\ufefffault_label,pressure,speed,machine_id, temperature,timestamp"
    span = write_span(tmp_path, "normal,6,7,m-01,20,2026-01-05", header=header)
    check(span, SENSOR)
    assert list_ids(read(span)) == ["readings.csv:2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (f"{HEADER}\n".encode(), "has a header but no rows"),
        (HEADER.replace("ss", "s").encode(), "lacks 'pressure' and has 'presure', which the"),
        (f"{HEADER.replace(',', ';')}\n1;2;3;4;5\n".encode(), "separated by ';'"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_before_a_row_is_read(content, message, tmp_path):
    (tmp_path / "readings.csv").write_bytes(content)
    with pytest.raises(DataRefused, match=message) as caught:
        check(Span(7, tmp_path), SENSOR)
    assert caught.value.spans == (tmp_path.name,)


def test_a_column_that_was_added_later_is_missing_in_the_spans_before_and_required_from_then_on(tmp_path):
    grown = replace(SENSOR, numbers=(*SENSOR.numbers, "speed"), since={"speed": 2})
    span = write_span(tmp_path, line(0))
    check(span, grown)
    (example,) = read_examples(span, workload=grown)
    assert np.isnan(example.features["speed"][0]) and example.features["missing_share"] == 0
    with pytest.raises(DataRefused, match="lacks 'speed'"):
        check(replace(span, number=2), grown)
    filled = write_span(tmp_path / "filled", f"{line(0)},7", header=f"{HEADER},speed")
    assert read_examples(filled, workload=grown)[0].features["speed"] == [7.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (HEADER, "line 3 repeats the header"),
        ('2026-01-05,"m-01\n' + "2026,m-01\n" * 10_000, "line 3 is not CSV"),
    ],
    ids=["header", "quote"],
)
def test_a_file_that_breaks_off_being_a_table_is_refused_with_the_line(row, message, tmp_path):
    with pytest.raises(DataRefused, match=message) as caught:
        read(write_span(tmp_path, line(0), row))
    assert caught.value.spans == (tmp_path.name,)


def test_windows_of_rows_without_a_time_are_refused() -> None:
    with pytest.raises(UsageError, match="no time_column"):
        open_source(Workload("t", "", "m", "s", numbers=("x",)), DataSettings(readings=2))


def test_a_table_of_more_machines_than_can_be_held_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("data.tables.windows._MOST_MACHINES", 2)
    with pytest.raises(DataRefused, match="more than 2 groups"):
        read(write_span(tmp_path, *(line(0, f"m-{n}") for n in range(3))), WINDOWS)


@pytest.mark.e2e
def test_memory_is_flat_in_the_rows(tmp_path: Path) -> None:
    workload = replace(SENSOR, labels=LABELS, numbers=NUMBERS)
    peaks = []
    for rows in (1_600, 4_800):
        (span,) = generate(tmp_path / str(rows), weeks=1, per_week=rows, seed=1, faults={})
        source = open_source(workload, DataSettings(readings=16, block_hours=168))
        assert count(span) == rows and len(list_columns(workload)) == 11
        attempts = []
        for _ in range(2):  # other threads of this process, as of an earlier test's server, take memory too
            tracemalloc.start()
            windows = sum(isinstance(row, Row) for row in source.rows(span))
            attempts.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        peaks.append(min(attempts))
        assert windows > rows / 2
    assert peaks[1] < 1.2 * peaks[0] < 2e6


def record(numbers: list[float], **others: str | int) -> bytes:
    return serialize({"sensor_reading": numbers, **others})


def write_records_span(folder: Path, *records: bytes) -> Span:
    write_records(folder / "a.tfrecord.gz", records)
    return Span(1, folder)


ALONE = Workload(
    "t", "", "m", "s", labels=("normal", "leak"), numbers=("temperature", "flow"), label_column="fault_label"
)


def test_records_of_readings_are_rows_too(tmp_path: Path) -> None:
    span = write_records_span(
        tmp_path,
        record([20.5, float("nan")], fault_label="leak"),
        record([1.0], fault_label="leak"),
        record([1.0, 2.0]),
        record([1.0, float("inf")], fault_label="leak"),
    )
    check(span, ALONE)
    assert count(span) == 4
    items = read(span, workload=ALONE)
    reasons = ["ragged", "unlabelled", "not-a-number"]
    assert list_rejected(items) == [
        (f"a.tfrecord.gz:{number}", reason) for number, reason in enumerate(reasons, 2)
    ]
    features = open_source(ALONE, DataSettings()).example(span, items[0]).features
    assert (features["temperature"], str(features["flow"]), items[0].label) == ([20.5], "[nan]", "leak")


def test_records_are_no_form_of_numbers_that_come_from_cells_of_another_form(tmp_path: Path) -> None:
    span = write_records_span(tmp_path, record([1.125, 2.0], fault_label="leak"))
    columns = {"flow": Column("flow", "number with decimal comma")}
    with pytest.raises(DataRefused, match="has numbers for 'flow'"):
        check(span, replace(ALONE, columns=columns))
    columns = {"flow": Column("flow", "number with commas at thousands")}
    (example,) = read_examples(span, workload=replace(ALONE, columns=columns))
    assert example.features["temperature"] == [1.125]


def test_labels_of_records_may_be_whole_numbers(tmp_path: Path) -> None:
    records = [record([1.0, 2.0], fault_label=label) for label in (0, 1, 7)]
    workload = replace(ALONE, labels=("0", "1"))
    items = read(write_records_span(tmp_path, *records), workload=workload)
    assert [row.label for row in items[:2]] == ["0", "1"]
    assert list_rejected(items) == [("a.tfrecord.gz:3", "unknown-label")]


def test_records_with_machine_and_time_make_windows(tmp_path: Path) -> None:
    texts = {"machine_id": "m-01", "fault_label": "normal"}
    records = [record([float(m), 6.0], timestamp=f"2026-01-05T00:0{m}:00Z", **texts) for m in range(4)]
    items = read(write_records_span(tmp_path, *records), WINDOWS)
    assert list_ids(items) == ["a.tfrecord.gz:3", "a.tfrecord.gz:4"]


def test_a_damaged_record_is_refused_by_its_number(tmp_path: Path) -> None:
    span = write_records_span(tmp_path, record([1.0, 2.0], fault_label="leak"))
    path = tmp_path / "a.tfrecord.gz"
    whole = gzip.decompress(path.read_bytes())
    for number, torn in ((2, whole + whole[:-3]), (2, whole + whole[:-9]), (1, gzip.compress(whole)[:-9])):
        path.write_bytes(torn)
        with pytest.raises(DataRefused, match=f"record {number} cannot be read") as caught:
            read(span, workload=ALONE)
        assert caught.value.spans == (tmp_path.name,)
    path.write_bytes(whole[:20] + b"x" + whole[21:])
    with pytest.raises(DataRefused, match="record 1 cannot be read: its checksum"):
        check(span, ALONE)


def test_tables_are_read_from_a_store_as_from_a_disk(tmp_path: Path, bucket: str) -> None:
    write_span(tmp_path, line(0), line(1), header=HEADER)
    place = locate(f"{bucket}/tables/span-00001")
    (place / "readings.csv").write_bytes((tmp_path / "readings.csv").read_bytes())
    assert list_ids(read(Span(1, place))) == ["readings.csv:2", "readings.csv:3"]
    (place / "readings.csv").write_bytes(b"")
    with pytest.raises(DataRefused, match="is empty"):
        check(Span(1, place), SENSOR)


@pytest.mark.parametrize("readings", [1, 3])
def test_the_cells_of_examples_are_read_again_as_they_were_written(tmp_path: Path, readings: int):
    lines = [line(0), line(1, temperature="+2.10e1"), line(2, temperature=" NaN "), line(3), line(1), line(5)]
    span = write_span(tmp_path / "span", *lines, line(4, "m-02"))
    source = open_source(SENSOR, DataSettings(readings=readings))
    rows = [row for row in source.rows(span) if isinstance(row, Row)]
    wanted_ids = [row.id for row in rows][1:]
    originals = dict(source.originals(span, wanted_ids))
    assert list(originals) == wanted_ids and len(wanted_ids) > 1
    numbers_of = {"+2.10e1": 21.0, " NaN ": float("nan")}
    for row in rows[1:]:
        cells = originals[row.id]
        assert list(cells) == ["temperature", "pressure", "machine_id"]
        texts = [cells["temperature"]] if readings == 1 else cells["temperature"]
        assert len(texts) == readings
        numbers = source.example(span, row).features["temperature"]
        np.testing.assert_array_equal([numbers_of.get(text) or float(text) for text in texts], numbers)
    assert any("+2.10e1" in cells["temperature"] for cells in originals.values())
