"""Estimates of a year for a million phones."""

from runners.drill.million import estimate_fleet, find_longest_bad_canary
from tests.runners.drill.test_promises import week, year

SIZES = {"pointer": 1000, "bundle": 500_000, "edge": 2_000_000, "releases": 4}


def test_traffic_follows_from_the_sizes_of_files_and_the_number_of_switches() -> None:
    weeks = (week(n, production=(n + 1) // 2, sizes=SIZES) for n in range(1, 7))
    lines = dict(estimate_fleet(year(*weeks)))
    assert lines["Polls of the pointer"] == "278 a second, 1,000 bytes each"
    assert lines["Sent for one release"].startswith("0.50 TB, 138.89\u00a0MB a second")
    assert lines["Sent in 6 weeks"] == "1.5 TB for 3 releases"
    assert lines["A bad canary on 10 % of phones"].startswith("700,000 days of a phone")


def test_a_bad_canary_that_stays_open_for_two_weeks_costs_twice_as_much() -> None:
    weeks = week(1), week(2, candidate=2, bad=2), week(3, candidate=2, bad=2), week(4, bad=2)
    assert find_longest_bad_canary(year(*weeks)) == 2


def test_there_is_no_estimate_before_a_release() -> None:
    assert not list(estimate_fleet(year(week(1))))
