"""The effect of a fault on its week, which depends on the weeks before."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from drill.faults import Drawn
from drill.record import Limits, Week, Year
from drill.simulation import DrillOptions, Simulation, _measure_rows, find_effect


@pytest.mark.parametrize(
    ("name", "rates", "effects", "history", "effect"),
    [
        ("twice", {}, (), 7, "refused"),
        ("twice", {}, ("refused", "may"), 7, "refused"),
        # Gates may have refused the week before and then not know the copy, or pass both.
        ("twice", {}, ("may",), 7, "may"),
        ("twice", {"new-camera": 1.0}, (), 7, "may"),
        ("twice", {}, (), 0, "may"),
        ("corrupt", {"new-camera": 0.3}, ("may",), 7, "refused"),
        # Too few of the 60 photos may be in train to compare their labels.
        ("label-shift", {}, (), 7, "may"),
    ],
)
def test_a_copy_is_refused_if_the_week_that_it_copies_was_read_or_is_bad(
    name: str, rates: dict[str, float], effects: tuple[str, ...], history: int, effect: str
) -> None:
    year = Year(1, 60, Limits(0.8, 0.5, 0.1, 0.95), history, (Week(1, effects=effects),))
    assert find_effect(Drawn(name, 0.3), {name: 0.3, **rates}, year, 2) == effect


@pytest.mark.parametrize(("history", "effect"), [(4, "may"), (5, "refused")])
def test_the_copy_of_a_copy_is_refused_if_its_original_is_still_in_the_window(
    history: int, effect: str
) -> None:
    year = Year(1, 60, Limits(0.8, 0.5, 0.1, 0.95), history, tuple(map(Week, range(1, 7))))
    copy = Week(4, ("wrong-week",), ("refused",), excluded={year.span(4): "Run x refused it."})
    year = replace(year, weeks=(*year.weeks[:3], copy, *year.weeks[4:]))
    assert find_effect(Drawn("wrong-week", 0.0), {"wrong-week": 0.0}, year, 7) == effect


@pytest.mark.parametrize("open_canary", [0, 3])
def test_a_canary_that_no_run_began_is_idle(
    open_canary: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Simulation, "_find_candidate", lambda _: open_canary)
    simulation = Simulation(DrillOptions(2, 1, None, tmp_path, 60, ()), tmp_path, 0.2)
    week = Week(2, faults=("bad-canary", "kill-worker"), idle=("kill-worker",))
    result = simulation._end_canary(week, Week(1, candidate=open_canary), datetime.now(timezone.utc))
    assert result.idle == ("kill-worker", "bad-canary") and not result.bad


def test_space_that_a_database_keeps_for_later_rows_is_not_counted(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows, rows:
        rows.execute("CREATE TABLE t (text)")
        rows.execute("INSERT INTO t VALUES ('kept')")
    before = _measure_rows(tmp_path / "rows.sqlite")
    for change in ("INSERT INTO t VALUES (hex(zeroblob(50000)))", "DELETE FROM t WHERE text != 'kept'"):
        with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows, rows:
            rows.execute(change)
    assert (tmp_path / "rows.sqlite").stat().st_size > 100_000 > _measure_rows(tmp_path / "rows.sqlite")
    assert _measure_rows(tmp_path / "rows.sqlite") == before
