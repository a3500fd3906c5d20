import shutil
from dataclasses import replace

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.spans.exclusions import decide
from data.spans.layout import find_newest_spans, find_spans
from edgeline.cli.stdout import name_program
from runners.local import catch_up

ROW = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")


def name(number):
    return f"span-{number:05d}"


def names(*numbers):
    return tuple(name(number) for number in numbers)


def add_weeks(data, count):
    for _ in range(count):
        write_span(data, [(ROW, b"not decoded here")])


def exclude(data, number, reason="dirty lens"):
    decide(data, "exclude", name(number), reason, [span.name for span in find_spans(data)])


@pytest.fixture
def look(tmp_path, make_run):
    """A run that would start now, after those given, with a window of four."""

    def look(*earlier, window=4):
        data = tmp_path / "data"
        spans = find_newest_spans(data, window)
        return catch_up.add_spans(make_run(data=str(data)), data, spans, window, earlier)

    return look


@pytest.fixture
def first(look, tmp_path):
    """A run that pushed, after five weeks."""
    add_weeks(tmp_path / "data", 5)
    return ended(look())


def ended(run, run_id="20261005-000000", outcome="pushed"):
    return replace(run, id=run_id, outcome=outcome)


def test_the_first_run_names_its_spans_and_calls_none_new(first):
    assert first.spans == names(2, 3, 4, 5)
    assert (first.new_since, first.new_spans, first.missed_spans) == (None, (), ())
    assert first.notes == ["Spans: span-00002 to span-00005."]


def test_three_weeks_without_a_run_are_taken_in_by_the_next(first, look, tmp_path):
    add_weeks(tmp_path / "data", 3)

    run = look(first)

    assert run.new_spans == names(6, 7, 8)
    assert run.missed_spans == ()
    assert catch_up.warn_of_missed(run) is None
    assert run.notes == [
        "3 new spans since run 20261005-000000: span-00006 to span-00008 (read: span-00005 to span-00008)."
    ]


def test_an_excluded_week_is_named_and_not_missed(first, look, tmp_path):
    add_weeks(tmp_path / "data", 5)
    for number in (1, 6, 9):  # the first is older than the window
        exclude(tmp_path / "data", number)

    run = look(first)

    assert run.spans == names(5, 7, 8, 10)
    assert run.missed_spans == ()
    assert [decision.span for decision in run.excluded_spans] == list(names(6, 9))
    lines = run.notes
    assert lines[0].startswith("3 new spans since run 20261005-000000: span-00007, span-00008, span-00010")
    assert "Excluded: span-00006, by " in lines[1] and lines[1].endswith("dirty lens")


def test_an_older_week_that_slides_in_for_an_excluded_one_is_new_only_if_no_run_read_it(
    first, look, tmp_path
):
    add_weeks(tmp_path / "data", 1)
    second = ended(look(first), "20261012-000000")
    exclude(tmp_path / "data", 6)

    run = look(first, second)

    assert run.spans == names(2, 3, 4, 5)
    assert run.new_spans == ()
    assert run.notes[0] == "No new span since run 20261012-000000: span-00002 to span-00005."


@pytest.mark.parametrize(("outcome", "counts"), [("killed", False), ("held", True), ("refused", True)])
def test_only_a_run_with_a_verdict_counts(first, look, tmp_path, outcome, counts):
    add_weeks(tmp_path / "data", 1)
    run = look(first, ended(look(first), "20261012-000000", outcome))

    assert (run.new_since == first.id, run.new_spans) == (not counts, () if counts else names(6))


def test_runs_on_other_data_and_records_of_before_do_not_count(first, look, make_run):
    elsewhere = make_run(id="20261012-000000", data="/elsewhere", outcome="pushed", spans=names(1))
    of_before = make_run(id="20261012-000001", data=first.data, outcome="pushed")

    assert look(elsewhere, of_before).new_since is None
    assert look(first, elsewhere, of_before).new_since == first.id


def test_a_refused_week_names_the_way_on_and_the_next_run_works_on_what_is_good(tmp_path, command):
    data = tmp_path / "my data"
    add_weeks(data, 2)
    (data / name(2) / "labels.csv").write_text("photo,label\n")

    refused = command("run", "--data", "my data")
    way_on = f"{name_program()} data exclude span-00002 --reason R --data '{data}'"
    assert refused.code == 4 and "Spans: span-00001, span-00002." in refused.out
    assert f"To go on without this span: {way_on}" in refused.out
    again = command("run", "--data", "my data", "--if-changed")
    assert again.code == 0
    assert "Nothing changed since run" in again.out and "the same data, settings and code" in again.out
    assert f"To go on without this span: {way_on}" in again.out

    assert command("data", "exclude", "span-00002", "--reason", "no lanes", "--data", data).code == 0
    # The week before is broken too, so that this ends without training.
    (data / name(1) / "labels.csv").write_text("photo,label\n")
    refused = command("run", "--data", "my data", "--if-changed", "--json")
    assert refused.code == 4 and refused.json["spans"] == ["span-00001"]
    assert refused.json["excluded_spans"][0]["reason"] == "no lanes"
    assert "span-00001/labels.csv has no column" in refused.json["reasons"][0]
    assert "Excluded: span-00002, by " in command("show", "latest").out


def test_when_nothing_is_left_the_excluded_weeks_are_named(tmp_path, command):
    add_weeks(tmp_path / "data", 2)
    exclude(tmp_path / "data", 1)
    exclude(tmp_path / "data", 2)
    ended = command("run", "--data", "data")
    assert ended.code == 4
    assert "is excluded: span-00001, span-00002." in ended.out and "--undo" in ended.out


def test_a_window_that_no_longer_holds_the_new_weeks_is_warned_of_in_the_record(tmp_path, command):
    data = tmp_path / "data"
    add_weeks(data, 1)
    (data / name(1) / "labels.csv").write_text("photo,label\n")
    words = ["run", "--data", "data", "--set", "data.window=2", "--json"]
    command(*words)
    add_weeks(data, 3)
    shutil.copy(data / name(1) / "labels.csv", data / name(4) / "labels.csv")
    result = command(*words).json
    assert result["new_spans"] == ["span-00003", "span-00004"]
    assert result["missed_spans"] == ["span-00002"]
    assert any(
        "trained on span-00002." in warning and "--set data.window=3" in warning
        for warning in result["warnings"]
    )
    again = command(*words, "--if-changed").json
    assert (again["new_since"], again["new_spans"], again["missed_spans"]) == (result["id"], [], [])
