"""Generated weeks are the same for the same seed, and each fault changes them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from data.sensors.faults import FAULTS
from data.sensors.generator import COLUMNS, LABELS, NUMBERS, generate
from data.spans.sample import parse_rates
from edgeline.errors import UsageError

ROWS = 3_000


def make_rows(folder: Path, faults: dict[str, float] | None = None, **options: int) -> list[dict[str, str]]:
    numbers = {"weeks": 1, "per_week": ROWS, "seed": 1} | options
    span = generate(folder, **numbers, faults=faults or {})[-1]
    with (span.path / "readings.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def clean_rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return make_rows(tmp_path_factory.mktemp("sound"))


def numbers(rows: list[dict[str, str]], name: str, **where: str) -> np.ndarray:
    matching = [row for row in rows if all(row[key] == value for key, value in where.items())]
    return np.array([float(row[name] or "nan") for row in matching])


def test_the_same_seed_and_span_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    def content(name: str, seed: int, weeks: int) -> list[bytes]:
        spans = generate(tmp_path / name, weeks=weeks, per_week=200, seed=seed, faults={})
        return [(span.path / "readings.csv").read_bytes() for span in spans]

    once = content("once", 1, 2)
    assert content("again", 1, 1) + content("again", 1, 1) == once
    assert len({*once, *content("other", 2, 2)}) == 4


def test_rows_are_in_time_order_for_every_machine_and_a_twentieth_is_no_normal_reading(clean_rows) -> None:
    assert tuple(clean_rows[0]) == COLUMNS and len(clean_rows) == ROWS
    times = [row["timestamp"] for row in clean_rows]
    assert times == sorted(times) and times[0] == "2026-01-05T00:00:00Z" and times[-1] < "2026-01-12"
    assert len({row["machine_id"] for row in clean_rows}) == 20
    shares = {label: sum(row["fault_label"] == label for row in clean_rows) / ROWS for label in LABELS}
    assert sum(shares[label] for label in LABELS[1:]) == pytest.approx(0.05, abs=0.005)
    assert min(shares.values()) > 0.01


def test_each_anomaly_shows_where_a_machine_would_have_it(clean_rows) -> None:
    def mean(name: str, label: str) -> float:
        return float(np.nanmean(numbers(clean_rows, name, fault_label=label)))

    def spread(name: str, label: str) -> float:
        return float(np.nanstd(numbers(clean_rows, name, fault_label=label)))

    assert mean("temperature", "bearing") > mean("temperature", "normal") + 1
    assert spread("vibration_z", "bearing") > 1.2 * spread("vibration_z", "normal")
    assert mean("pressure", "leak") < 0.95 * mean("pressure", "normal")
    assert mean("flow", "leak") > mean("flow", "normal")
    assert mean("vibration_x", "imbalance") > 1.15 * mean("vibration_x", "normal")
    assert mean("vibration_z", "imbalance") < 1.1 * mean("vibration_z", "normal")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_does_what_its_name_says(fault: str, clean_rows, tmp_path: Path) -> None:
    rows = make_rows(tmp_path, {fault: 0.1})
    # Two faults change the number of rows, the others do not.
    changed = [(row, twin) for row, twin in zip(rows, clean_rows, strict=False) if row != twin]
    rows_with = {
        "out-of-range": sum(row["temperature"] == "-999.0" for row in rows),
        "unlabelled": sum(row["fault_label"] == "" for row in rows),
        "unknown-label": sum(row["fault_label"] == "vandalism" for row in rows),
        "ragged": sum(row["fault_label"] is None for row in rows),
        "decimal-comma": sum("," in row["pressure"] for row in rows),
    }
    assert {name: count for name, count in rows_with.items() if count} == (
        {fault: ROWS // 10} if fault in rows_with else {}
    )
    machines = {row["machine_id"] for row, _ in changed}
    if fault in ("stuck-sensor", "swapped-columns", "fahrenheit", "clock-backwards"):
        assert len(machines) == 2
    match fault:
        case "nulls":
            assert 0.1 < np.mean([row[name] == "" for row in rows for name in NUMBERS]) < 0.12
        case "duplicate":
            assert len(rows) == ROWS * 11 // 10
            assert len({tuple(row.values()) for row in rows}) == ROWS
        case "swapped-columns":
            assert all(float(row["pressure"] or 99) > 30 for row, _ in changed)
        case "fahrenheit":
            hotter = [1.8 * float(twin["temperature"]) + 32 for _, twin in changed]
            assert [float(row["temperature"]) for row, _ in changed] == pytest.approx(hotter, abs=0.2)
        case "missing-machine":
            assert len({row["machine_id"] for row in rows}) == 18
        case "clock-backwards":
            assert min(row["timestamp"] for row, _ in changed) < min(twin["timestamp"] for _, twin in changed)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        *(("null=0.1", "mean nulls"), ("zebra=0.1", "Known faults: nulls,"), ("ragged=2", "0 to 1")),
        *(("ragged=nan", "0 to 1"), ("ragged", "nulls=0.05")),
    ],
)
def test_a_wrong_option_is_refused_with_a_hint(option: str, hint: str, tmp_path: Path) -> None:
    assert parse_rates(["nulls=0.05", "ragged=1"], FAULTS) == {"nulls": 0.05, "ragged": 1.0}
    with pytest.raises(UsageError, match=hint):
        make_rows(tmp_path, parse_rates([option], FAULTS))


@pytest.mark.parametrize("numbers", [{"weeks": 0}, {"seed": -1}, {"per_week": 20_000_000}])
def test_impossible_sizes_and_seeds_are_refused(numbers: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Pass [01] to"):
        make_rows(tmp_path / "none", **numbers)
    assert not (tmp_path / "none").exists()
