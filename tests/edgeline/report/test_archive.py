import os
from dataclasses import replace

import pytest

from edgeline.journal import utc_now
from edgeline.report import archive
from edgeline.report.sources import Sources
from edgeline.store.locations import list_folders, locate
from tests.edgeline.report.runs import a_failed_run, a_run


@pytest.fixture(params=["folder", "store"])
def root(request, tmp_path):
    """Returns a place for records: a folder, or one in an object store."""
    if request.param == "folder":
        return tmp_path / "runs" / "shelf"
    return locate(request.getfixturevalue("bucket") + "/push/runs/shelf")


def test_records_come_back_oldest_first_and_an_empty_place_has_none(root):
    assert archive.read_all(root) == [] and archive.read(root / "a") is None
    for run, day in (("b", "02"), ("a", "03"), ("c", "01")):
        facts = a_run(id=run, started_at=f"2026-10-{day}T03:00:00Z")
        place = archive.write(root / run, facts, f"<p>{run}")
        assert place.name == "report.html" and place.read_bytes() == f"<p>{run}".encode()
    assert [facts.run.id for _, facts in archive.read_all(root)] == ["c", "b", "a"]
    assert archive.read(root / "a") == a_run(id="a", started_at="2026-10-03T03:00:00Z")


def test_a_record_of_a_clock_that_was_years_ahead_is_the_newest_until_the_next(root):
    # The first has no number; then the clock is right, wrong, and right again.
    for run, number, year in (("old", 0, 2026), ("a", 1, 2026), ("b", 2, 2099), ("c", 3, 2026)):
        facts = a_run(id=run, number=number, started_at=f"{year}-10-02T03:00:00Z")
        archive.write(root / run, facts, "")
    known = archive.read_all(root)
    assert [facts.run.id for _, facts in known] == ["old", "a", "b", "c"]
    assert archive.choose_number("d", [facts for _, facts in known]) == 4
    assert archive.choose_number("b", [facts for _, facts in known]) == 2
    assert archive.choose_number("first", []) == 1


def test_old_records_are_removed_but_those_of_runs_in_use_or_going_on(root):
    now = utc_now()
    for number, (run, outcome) in enumerate(
        (("a", "held"), ("b", "pushed"), ("killed", "running"), ("goes-on", "running"), ("c", "held")),
        start=1,
    ):
        start = now if run == "goes-on" else "2026-10-02T03:00:00Z"
        facts = a_run(id=run, number=number, outcome=outcome, started_at=start)
        archive.write(root / run, facts, "<p>")
    old = archive.find_old(archive.read_all(root), 1, {"b"})
    assert [folder.name for folder in old] == ["a", "killed"] and min(old.values()) > 1000
    for folder in old:
        archive.remove(folder)
    assert [facts.run.id for _, facts in archive.read_all(root)] == ["b", "goes-on", "c"]
    assert sorted(list_folders(root)) == ["b", "c", "goes-on"]


def test_a_disk_that_fills_up_leaves_the_page_before_it(tmp_path, monkeypatch):
    archive.write(tmp_path, a_run(), "first")

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        archive.write(tmp_path, a_run(), "second")
    assert (tmp_path / "report.html").read_text() == "first"


def test_a_run_is_compared_with_the_newest_one_of_its_model_that_was_made_before_it_and_had_data():
    def make_facts(number, facts=None, **changes):
        facts = facts or a_run(id=f"run-{number}", **changes)
        return replace(facts, run=replace(facts.run, number=number))

    def find_compared(facts, known):
        page = archive.make(facts.run, Sources(), known)[1]
        return next((name for name in ("run-1", "run-4") if f"Since run {name}" in page), None)

    older, newest = make_facts(1), make_facts(4)
    others = [newest, make_facts(3, workload="other"), make_facts(2, a_failed_run()), older]
    assert find_compared(newest, others) == "run-1"
    assert find_compared(make_facts(5), others) == "run-4"
    assert find_compared(make_facts(5, workload="else"), others) is None
    # The fifth run began after the fourth and ended before it.
    assert find_compared(newest, [make_facts(5), *others]) == "run-1"
