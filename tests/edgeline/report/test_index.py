import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from msgspec import structs

from edgeline.report.index import Mark, render_index
from edgeline.report.timelines import Row, make_row
from tests.edgeline.report.runs import HOSTILE, a_failed_run, a_run


def weeks(number: int):
    """Yields a row a week: every fifth model is held back, and the data of every seventh week is refused."""
    for week in range(number):
        day = f"2026{1 + week // 28:02d}{1 + week % 28:02d}"
        run = {"id": f"{day}-030000", "started_at": f"{day[:4]}-{day[4:6]}-{day[6:]}T03:00:00Z"}
        facts = a_run(version=week + 1, **run)
        if week % 7 == 6:
            facts = replace(
                facts, evaluation=None, run=replace(facts.run, outcome="refused", reasons=("Too dark.",))
            )
        elif week % 5 == 4:
            facts = replace(facts, run=replace(facts.run, outcome="held", reasons=("Worse.",)))
        yield make_row(facts, f"{run['id']}/report.html")


def leave_charts_out(row: Row) -> Row:
    """Returns a row for the chart of accuracy alone, since charts take most of the time."""
    return structs.replace(row, slices=(), sizes={}, steps={})


def plain_weeks(number: int) -> list[Row]:
    return [leave_charts_out(row) for row in weeks(number)]


@pytest.fixture(scope="module")
def ten() -> str:
    return render_index("shelf", list(weeks(10)))


def test_every_run_has_a_row_newest_first_with_why_it_was_not_pushed_and_outcomes_are_counted(ten):
    links = re.findall(r'href="(\d+-\d+)/report.html"', ten)
    assert links == [f"202601{day:02d}-030000" for day in range(10, 0, -1)]
    assert ten.count("Worse.") == 2 and ten.count("Too dark.") == 1
    assert "Version 9 of shelf was pushed 1 run ago, on 2026-01-09." in ten
    counts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", ten))
    assert counts == {
        **{"Newest model": "92.5\u00a0%", "Production then": "93.0\u00a0%"},
        **{"Runs": "10", "Pushed": "7", "Held back": "2", "Data refused": "1"},
    }


def test_each_version_that_was_served_is_a_row_with_the_accuracy_at_its_push_though_a_later_run_ended_early():
    facts = a_run(version=3, id="20260104-030000")
    early = replace(facts, pushed={}, run=replace(facts.run, outcome="killed"))
    rows = [leave_charts_out(make_row(each, None)) for each in (facts, early)]
    tables = [render_index("shelf", rows[:number]).partition("<h2>In the field</h2>")[2] for number in (1, 2)]
    figures = [re.findall('<td class="muted minor">([^<]+)</td><td class="minor">', text) for text in tables]
    assert figures[0] == figures[1] == ["\N{EN DASH}", "93.0\u00a0%"]
    table = (
        render_index("shelf", plain_weeks(3)).partition("<h2>In the field</h2>")[2].partition("</section>")[0]
    )
    assert re.findall('<tr><th>(.+?)</th><td class="minor">100</td>', table) == ["3", "2"]


def test_sixty_weeks_are_a_small_page_with_a_chart_over_time_for_each_width():
    page = render_index("shelf", list(weeks(60)))
    assert page.count('<div class="wide"><svg') == page.count('<div class="narrow"><svg') == 2
    assert len(page) < 600_000


def test_runs_without_data_are_sorted_below_those_with_some():
    page = render_index("shelf", [*plain_weeks(1), make_row(a_failed_run(), None)])
    assert re.findall('data-value="(.*?)">(?:1,900|\N{EN DASH})<', page) == ["0", "0", "1900"]


def test_the_chart_of_a_single_run_spans_a_week():
    page = render_index("shelf", [structs.replace(row, excluded=()) for row in plain_weeks(1)])
    charts = [re.findall(r">(\d\d \w{3})</text>", chart) for chart in page.split("<svg")]
    days = {day for chart in charts for day in chart}
    assert "01 Jan" in days and days <= {
        *(f"{day} Dec" for day in (28, 29, 30, 31)),
        *(f"0{day} Jan" for day in (1, 2, 3, 4, 5)),
    }
    assert all(len({*chart}) == len(chart) for chart in charts)


def test_charts_are_described_in_words():
    rows = [structs.replace(row, slices=()) for row in weeks(10)]
    page = render_index("shelf", rows, [rollback("2026-01-05T12:00:00Z")])
    texts = {text.split(". ")[0]: text for text in re.findall(r'aria-label="([^"]+)"', page)}
    overall = texts["10 runs, 2026-01-01 to 2026-01-10"]
    assert len(texts) >= 3 and "7 pushed. 2 held. 1 refused. rollback on 2026-01-05" in overall
    longest = "Time by step of 10 runs; the longest took 1\u00a0min 41\u00a0s"
    assert any(text.startswith(longest) for text in texts)
    assert any(text.endswith("last: fp16 0.39\u00a0MB") for text in texts)


def rollback(when: str) -> Mark:
    return Mark(when, "rollback", 1, 2, f"Worse, {HOSTILE}.")


def test_rollbacks_and_excluded_weeks_are_marked_once_newest_first_and_say_what_is_in_production():
    page = render_index(
        "shelf", plain_weeks(3), [Mark("2026-01-02T00:00:00Z", "push", 2), rollback("2026-10-05T12:00:00Z")]
    )
    marks = re.findall(r"<tr><th>(2026-\d\d-\d\d)</th><td>([^<]+)</td>", page)
    assert marks == [
        ("2026-10-05", "rollback from version 2 to 1"),
        ("2026-09-30", "span-00004 was excluded"),
    ]
    assert "Version 1 of shelf is in production: rollback from version 2 on 2026-10-05." in page
    assert HOSTILE not in page
    candidate = "10 % of phones run the candidate, version 2."
    rollout = Mark("2026-10-06T12:00:00Z", "rollout", 1, 1, "run 7", tried=candidate)
    page = render_index("shelf", plain_weeks(3), [rollback("2026-10-05T12:00:00Z"), rollout])
    assert f"Version 1 of shelf is in production. Since 2026-10-06, {candidate}" in page
    assert f"<tr><th>2026-10-06</th><td>rollout: {candidate}<" in page
    # The run of a push may have been killed, or be gone.
    page = render_index("shelf", plain_weeks(3), [Mark("2026-10-05T12:00:00Z", "push", 9, 8)])
    assert "Version 9 of shelf is in production: push from version 8 on 2026-10-05." in page
    page = render_index("shelf", [make_row(a_failed_run(), None)], [rollback("2026-10-05T12:00:00Z")])
    assert "<td>rollback from version 2 to 1</td>" in page and "Accuracy over time" not in page


def read_embedded(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])


def test_the_script_has_only_the_lines_that_differ_between_runs():
    first, second = a_run(id="first"), a_run(id="second")
    settings = {"trainer": {"epochs": 3}, "seed": 20}
    second = replace(second, run=replace(second.run, settings=settings))
    document = read_embedded(render_index("shelf", [make_row(first, None), make_row(second, None)]))
    assert [run["name"][-6:] for run in document["runs"]] == ["second", " first"]
    assert [run["said"]["Settings"] for run in document["runs"]] == [
        {"trainer.epochs": "3"},
        {"trainer.epochs": "16"},
    ]
    accuracy, low, high = document["runs"][0]["slices"]["Accuracy"]
    assert low < accuracy == 0.925 < high
    assert document["runs"][0]["said"]["Time"] == {}


def test_nothing_that_people_write_ends_the_script():
    facts = a_run(("</script><b>", "ok"), settings={"a": "</script><i>"}, outcome="held", reasons=(HOSTILE,))
    page = render_index("shelf", [make_row(facts, None), make_row(a_run(), None)])
    assert page.count("</script>") == 3 and HOSTILE not in page
    assert "</script><i>" in read_embedded(page)["runs"][1]["said"]["Settings"].values()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "No run of shelf yet."),
        ([make_row(a_failed_run(), None)], "No run of shelf has pushed a version yet; runs so far: 1."),
    ],
)
def test_without_a_model_there_is_no_chart(rows, message):
    page = render_index("shelf", rows)
    assert message in page and "<svg" not in page


def test_a_run_that_failed_after_its_push_has_its_version_and_one_of_a_cluster_is_named_by_its_day_too():
    row = make_row(a_run(id="0a1b2c3d-1111", outcome="failed", version=4, has_pushed=True), None)
    assert (row.name, row.version) == ("2026-10-05 0a1b2c3d-1111", 4)
    row = make_row(a_run(outcome="failed", version=4), None)
    assert (row.name, row.version) == ("20261005-030000", None)


def test_the_order_of_runs_is_drawn_if_the_clocks_disagree_with_it(ten):
    rows = plain_weeks(8)
    rows[3] = structs.replace(rows[3], started_at="2099-01-01T03:00:00Z")
    rows[5] = structs.replace(rows[5], started_at="1970-01-01T00:00:00Z")
    page = render_index("shelf", rows)
    assert page.count("in order of the runs (their clocks disagree)") == 2
    chart = page[page.index("<svg") : page.index("</svg>")]
    # The dots stand apart from each other, from left to right.
    places = [float(x) for x in re.findall(r'<use [^>]*\bx="([\d.]+)"', chart)][:6]
    assert places == sorted(places) and min(b - a for a, b in pairwise(places)) > 20
    assert "disagree" not in ten


def test_an_invalid_time_breaks_no_page():
    moments = ("9999-12-31T23:59:59Z", "2199-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "yesterday", "")
    odd = [structs.replace(plain_weeks(1)[0], started_at=moment) for moment in moments]
    page = render_index("shelf", [*plain_weeks(3), *odd])
    assert "<svg" in page and all(row.name in page for row in odd)
    for row in odd[:2]:
        assert row.name in render_index("shelf", [row])
