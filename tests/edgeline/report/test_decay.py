"""The cost of waiting, measured on newest spans that production was not trained on."""

import dataclasses

from msgspec.structs import replace

from edgeline.records.evaluation import EarlierRelease
from edgeline.report.decay import Aged, describe_cost, find_aged
from edgeline.report.facts import Slice
from edgeline.report.index import render_index
from edgeline.report.timelines import Row


def row(span, outcome="pushed", version=None, baseline=None, before=None, after=0.95):
    newest = Slice("span", str(span), 60, after, before=before) if baseline else None
    version = version if outcome == "pushed" else None
    fields = {"version": version, "newest_span": span, "newest": newest, "baseline": baseline}
    return Row(f"r{span}", None, outcome, f"2026-01-{span:02d}T03:00:00Z", 0.95, **fields)


HISTORY = [
    row(1, version=1),
    row(2, version=2, baseline=1, before=0.94),
    row(3, "held", baseline=2, before=0.94),
    row(4, "held", baseline=2, before=0.93),
    row(5, "refused"),
    row(6, version=3, baseline=2, before=0.91),
    row(6, version=4, baseline=3, before=0.95),  # the same week again: nothing new for production
    row(7, "held", baseline=2, before=0.90),  # after a rollback
]


def test_production_is_as_old_as_the_newest_span_that_it_was_trained_on_if_that_is_known():
    aged = find_aged(HISTORY)
    assert [(each.version, each.weeks) for each in aged] == [(1, 1), (2, 1), (2, 2), (2, 4), (2, 5)]
    unknown = replace(HISTORY[1], newest_span=0)
    assert find_aged([HISTORY[0], unknown, *HISTORY[2:]]) == []


def test_earlier_releases_age_beside_production():
    earlier = (EarlierRelease(1, 50, 45), EarlierRelease(9, 50, 45))  # of the second's data nothing is known
    aged = find_aged([*HISTORY[:3], replace(HISTORY[3], earlier=earlier)])
    assert [(each.version, each.weeks) for each in aged] == [(1, 1), (2, 1), (1, 3), (2, 2)]
    assert (aged[2].released, aged[2].retrained, aged[2].examples) == (0.9, 0.95, 50)


def test_the_cost_of_a_week_has_an_interval_which_releases_that_answer_the_same_examples_make_no_narrower():
    four = [Aged(f"r{n}", 1, 1, 60, 0.95 - cost, 0.95) for n, cost in enumerate((0.0, 0.01, 0.02, 0.03))]
    again = [dataclasses.replace(each, version=2) for each in four]
    assert describe_cost([*four, *again]) == describe_cost(four)
    assert describe_cost(four) == (
        "A week without retraining costs 1.5 points of accuracy (95 % CI -0.6 to 3.6, from 4 runs)."
    )
    aged = find_aged(HISTORY)  # of different weeks
    assert "costs 1.0 points of accuracy (95 % CI 1.0 to 1.0, from 5 runs)." in describe_cost(aged)
    assert "not known before 3 runs; there are 2" in describe_cost(aged[:2])


def test_the_page_of_all_runs_draws_the_age_if_there_is_any():
    page = render_index("shelf", HISTORY)
    assert "<h2>Age</h2>" in page and "released after 5 weeks: 90.0%, mean of 1<" in page
    assert "<h2>Age</h2>" not in render_index("shelf", HISTORY[:1])
