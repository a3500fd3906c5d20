import shutil
from dataclasses import replace

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.spans.exclusions import decide
from data.spans.layout import find_newest_spans, find_spans
from edgeline.cli.stdout import name_program
from edgeline.records.ingest import name_span
from runners.local import catch_up

ROW = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")


def name_spans(*numbers):
    return tuple(name_span(number) for number in numbers)


def add_weeks(data, count):
    for _ in range(count):
        write_span(data, [(ROW, b"not decoded here")])


def exclude(data, number, reason="dirty lens"):
    decide(data, "exclude", name_span(number), reason, [span.name for span in find_spans(data)])


@pytest.fixture
def begin_run(tmp_path, make_run):
    """Begins a run after earlier ones, with a window of four spans."""

    def begin_run(*earlier, window=4, until=None):
        data = tmp_path / "data"
        spans = find_newest_spans(data, window, until)
        run = make_run(data=str(data), settings={"data": {"until": until}})
        return catch_up.add_spans(run, data, spans, window, earlier, until)

    return begin_run


@pytest.fixture
def first(begin_run, tmp_path):
    """A run that pushed, after five weeks."""
    add_weeks(tmp_path / "data", 5)
    return end(begin_run())


def end(run, run_id="20261005-000000", outcome="pushed"):
    return replace(run, id=run_id, outcome=outcome)


def test_the_first_run_names_its_spans_and_calls_none_new(first):
    assert first.spans == name_spans(2, 3, 4, 5)
    assert (first.new_since, first.new_spans, first.missed_spans) == (None, (), ())
    assert first.notes == ["Spans: span-00002 to span-00005."]


def test_the_next_run_reads_three_weeks_without_a_run(first, begin_run, tmp_path):
    add_weeks(tmp_path / "data", 3)

    run = begin_run(first)

    assert run.new_spans == name_spans(6, 7, 8)
    assert run.missed_spans == ()
    assert catch_up.warn_of_missed(run) is None
    assert run.notes == [
        "3 new spans since run 20261005-000000: span-00006 to span-00008 (read: span-00005 to span-00008)."
    ]


def test_a_run_until_an_earlier_span_says_so_and_leaves_no_week_missed(first, begin_run, tmp_path):
    past = begin_run(first, until=name_span(3))
    assert past.spans == name_spans(1, 2, 3)
    assert past.new_spans == name_spans(1)
    assert past.notes[1] == "No span after span-00003 is read (data.until)."
    add_weeks(tmp_path / "data", 4)

    run = begin_run(first, end(past, "20261006-000000"))

    assert run.spans == run.new_spans == name_spans(6, 7, 8, 9)
    assert run.missed_spans == ()


def test_an_excluded_week_is_named_and_not_missed(first, begin_run, tmp_path):
    add_weeks(tmp_path / "data", 5)
    for number in (1, 6, 9):  # the first is older than the window
        exclude(tmp_path / "data", number)

    run = begin_run(first)

    assert run.spans == name_spans(5, 7, 8, 10)
    assert run.missed_spans == ()
    assert [decision.span for decision in run.excluded_spans] == list(name_spans(6, 9))
    lines = run.notes
    assert lines[0].startswith("3 new spans since run 20261005-000000: span-00007, span-00008, span-00010")
    assert "Excluded: span-00006, by " in lines[1] and lines[1].endswith("dirty lens")


def test_an_older_week_that_slides_in_for_an_excluded_one_is_new_only_if_no_run_read_it(
    first, begin_run, tmp_path
):
    add_weeks(tmp_path / "data", 1)
    second = end(begin_run(first), "20261012-000000")
    exclude(tmp_path / "data", 6)

    run = begin_run(first, second)

    assert run.spans == name_spans(2, 3, 4, 5)
    assert run.new_spans == ()
    assert run.notes[0] == "No new span since run 20261012-000000: span-00002 to span-00005."


@pytest.mark.parametrize(("outcome", "counts"), [("killed", False), ("held", True), ("refused", True)])
def test_only_a_run_with_a_verdict_counts(first, begin_run, tmp_path, outcome, counts):
    add_weeks(tmp_path / "data", 1)
    run = begin_run(first, end(begin_run(first), "20261012-000000", outcome))

    assert (run.new_since == first.id, run.new_spans) == (not counts, () if counts else name_spans(6))


def test_runs_on_other_data_and_records_without_spans_do_not_count(first, begin_run, make_run):
    elsewhere = make_run(id="20261012-000000", data="/elsewhere", outcome="pushed", spans=name_spans(1))
    old_record = make_run(id="20261012-000001", data=first.data, outcome="pushed")

    assert begin_run(elsewhere, old_record).new_since is None
    assert begin_run(first, elsewhere, old_record).new_since == first.id


def test_a_refused_week_comes_with_advice_and_the_next_run_reads_the_good_weeks(tmp_path, command):
    data = tmp_path / "my data"
    add_weeks(data, 2)
    (data / name_span(2) / "labels.csv").write_text("photo,label\n")

    result = command("run", "--data", "my data")
    advice = f"{name_program()} data exclude span-00002 --reason R --data '{data}'"
    assert result.code == 4 and "Spans: span-00001, span-00002." in result.out
    assert f"Next\n  - If span-00002 is bad, leave it out and run again: `{advice}`." in result.out
    again = command("run", "--data", "my data", "--if-changed")
    assert again.code == 0
    assert "Nothing changed since run" in again.out and "the same data, settings and code" in again.out
    assert f"leave it out and run again: `{advice}`." in again.out

    assert command("data", "exclude", "span-00002", "--reason", "no lanes", "--data", data).code == 0
    # The week before is broken too, so that this ends without training.
    (data / name_span(1) / "labels.csv").write_text("photo,label\n")
    result = command("run", "--data", "my data", "--if-changed", "--json")
    assert result.code == 4 and result.json["spans"] == ["span-00001"]
    assert result.json["excluded_spans"][0]["reason"] == "no lanes"
    assert "span-00001/labels.csv has no column" in result.json["reasons"][0]
    assert "Excluded: span-00002, by " in command("show", "latest").out


def test_when_nothing_is_left_the_excluded_weeks_are_named(tmp_path, command):
    add_weeks(tmp_path / "data", 2)
    for number in (1, 2):
        exclude(tmp_path / "data", number)
    result = command("run", "--data", "data")
    assert result.code == 4
    assert "is excluded: span-00001, span-00002." in result.out and "--undo" in result.out


def test_the_record_warns_of_a_window_that_is_too_small_for_the_new_weeks(tmp_path, command):
    data = tmp_path / "data"
    add_weeks(data, 1)
    (data / name_span(1) / "labels.csv").write_text("photo,label\n")
    arguments = ["run", "--data", "data", "--set", "data.window=2", "--json"]
    command(*arguments)
    add_weeks(data, 3)
    shutil.copy(data / name_span(1) / "labels.csv", data / name_span(4) / "labels.csv")
    result = command(*arguments).json
    assert result["new_spans"] == ["span-00003", "span-00004"]
    assert result["missed_spans"] == ["span-00002"]
    [warning] = (each for each in result["warnings"] if "data.window" in each)
    assert "trained on span-00002." in warning and "--set data.window=3" in warning
    again = command(*arguments, "--if-changed").json
    assert (again["new_since"], again["new_spans"], again["missed_spans"]) == (result["id"], [], [])
