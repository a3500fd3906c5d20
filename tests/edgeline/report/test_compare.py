import re
from dataclasses import replace

import pytest

from edgeline.report.compare import Comparison, judge_slices, pair_slices, render_diff
from edgeline.report.words import UNKNOWN
from tests.edgeline.report.runs import a_failed_run, a_run, a_slice


def compare(first, second) -> Comparison:
    return Comparison(first, second, pair_slices(first, second))


@pytest.mark.parametrize(
    ("second", "first", "verdict"),
    [
        # The first four examples of table II in Newcombe (1998), whose intervals of method 10 these are.
        ((56, 70), (48, 80), "better"),  # 0.0524 to 0.3339
        ((9, 10), (3, 10), "better"),  # 0.1705 to 0.8090
        ((6, 7), (2, 7), "better"),  # 0.0582 to 0.8062
        ((5, 56), (0, 29), "noise"),  # -0.0381 to 0.1926
        ((370, 400), (370, 400), "noise"),
    ],
)
def test_shares_of_different_examples_differ_where_newcombes_interval_leaves_zero_out(second, first, verdict):
    one, other = a_slice("overall", "all", *first), a_slice("overall", "all", *second)
    assert judge_slices(one, other) == verdict
    assert judge_slices(other, one) == {"better": "worse", "noise": "noise"}[verdict]


def test_a_slice_that_one_run_lacks_has_no_verdict_and_groups_are_called_as_the_workload_calls_them():
    first, facts = a_run(lanes=2), a_run(lanes=3)
    [lane] = [pair for pair in pair_slices(first, facts) if pair.name == "lane-03"]
    assert (lane.first, lane.verdict, lane.difference) == (None, "unknown", None)
    facts = replace(facts, evaluation=replace(facts.evaluation, group="machine"))
    assert "of these and of their machines:" in Comparison(first, facts, (), 400).measured_on


def test_distances_of_two_measures_of_drift_are_not_put_side_by_side():
    first = a_run()
    brightness, *others = first.data.features
    changed = replace(brightness, distance=0.3, measure="infinity_norm")
    second = replace(first, data=replace(first.data, features=(changed, *others)))
    lines = {line.what: (line.before, line.now) for line in compare(first, second).sections["Drift"]}
    assert lines["brightness, jensen_shannon_divergence"] == ("0.200, at most 0.120", UNKNOWN)
    assert lines["brightness, infinity_norm"] == (UNKNOWN, "0.300, at most 0.120")
    assert lines["lane_id, infinity_norm"] == ("0.020, at most 0.100",) * 2


def test_settings_alike_are_left_out_and_counts_alike_are_shown():
    first = a_run()
    second = replace(first, run=replace(first.run, settings={"trainer": {"epochs": 3}, "seed": 20}))
    sections = compare(first, second).sections
    assert [(line.what, line.before, line.now) for line in sections["Settings"]] == [
        ("trainer.epochs", "16", "3")
    ]
    assert ("Photos of ok", "1,600", "1,600") in [(it.what, it.before, it.now) for it in sections["Data"]]
    assert "Libraries" not in sections and "Schema" not in sections


def test_figures_that_only_one_run_has_are_unknown_of_the_other_and_not_0():
    sections = compare(a_run(), a_failed_run()).sections
    assert {line.now for line in sections["Edge files"]} == {UNKNOWN}
    assert ("ExampleGen", "cached", UNKNOWN) in [(it.what, it.before, it.now) for it in sections["Time"]]
    assert compare(a_run(), a_failed_run()).sentence == "At least one of the runs has no model to compare."
    for pair in ((a_run(), a_failed_run()), (a_failed_run(), a_run())):
        assert all(UNKNOWN in (line.before, line.now) for line in compare(*pair).sections["Data"])


def test_the_page_has_both_runs_their_reasons_and_verdicts():
    held = a_run(id="held-one", outcome="held", reasons=("Worse than production.",))
    lower = replace(held.evaluation, slices=(a_slice("overall", "all", 300, 400),))
    page = render_diff(compare(a_run(), replace(held, evaluation=lower)), ["a/report.html", None])
    assert 'href="a/report.html"' in page and "held-one" in page and "Worse than production." in page
    assert "The second run&#39;s model is worse: \u221217.5 points of accuracy" in page
    assert re.search("<th>all</th><td>\u221217.5</td>.*?worse</span>.*?92.5.%.*?75.0.%", page)
    assert "<script" not in page
