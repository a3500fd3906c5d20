"""The same year on paper for a million phones: polls, what a CDN holds and sends, and a bad canary.

A phone fetches `current.json` at each poll, and after a switch the files of one bundle.
"""

from collections.abc import Iterator
from itertools import pairwise

from edgeline.report.words import count, megabytes
from runners.drill.record import Year

PHONES, POLLS_A_DAY = 1_000_000, 24
_DAY_S, _TB = 86_400, 1e12
_SHARES = (1, 10, 100)  # percent of phones that run a bad canary


def estimate_fleet(year: Year) -> Iterator[tuple[str, str]]:
    """Yields lines of the year for `PHONES` phones that poll once an hour: a name, and its value."""
    measured = [week for week in year.weeks if week.sizes]
    if not measured:
        return
    sizes, polls = measured[-1].sizes, PHONES * POLLS_A_DAY
    pointer, bundle = sizes["pointer"], sizes["bundle"]
    versions = [week.production for week in measured]
    switches = 1 + sum(one != other for one, other in pairwise(versions))
    yield "Polls of the pointer", f"{polls / _DAY_S:,.0f} a second, {pointer:,.0f} bytes each"
    yield "Pointers sent in a day", f"{polls * pointer / 1e9:,.0f} GB"
    yield "Held for phones", f"{megabytes(sizes['edge'])} in {count(sizes['releases'])} releases"
    size = PHONES * bundle
    rate = megabytes(size * POLLS_A_DAY / _DAY_S)
    yield "Sent for one release", f"{size / _TB:,.2f} TB, {rate} a second in the first hour"
    yield f"Sent in {len(year.weeks)} weeks", f"{switches * size / _TB:,.1f} TB for {switches} releases"
    weeks = max(1, find_longest_bad_canary(year))
    for share in _SHARES:
        days = count(PHONES * share // 100 * 7 * weeks)
        yield f"A bad canary on {share} % of phones", f"{days} days of a phone until the run that ends it"


def find_longest_bad_canary(year: Year) -> int:
    """Returns the most weeks that a bad candidate was open."""
    most = open_for = 0
    for week in year.weeks:
        open_for = open_for + 1 if week.candidate and week.candidate == week.bad else 0
        most = max(most, open_for)
    return most
