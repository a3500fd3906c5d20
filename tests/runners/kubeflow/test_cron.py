from datetime import datetime

import pytest

from edgeline.errors import UsageError
from runners.kubeflow.cron import parse_cron

# What the API server 2.0.5 answered when a recurring run was made with it.
ACCEPTED_BY_THE_SERVER = ["0 0 3 * * 1", "0 0 3 ? * MON", "0 * * * * *"]
REFUSED_BY_THE_SERVER = ["x", "0 0 3 * * 8", "0 0 25 * * 1", "0 0 3 * * 0-7", "0 */0 * * * *", "0 0 3 L * *"]
FRIDAY = datetime(2026, 10, 2, 12, 0, 0)


@pytest.mark.parametrize("text", ACCEPTED_BY_THE_SERVER)
def test_takes_what_the_server_takes(text):
    assert parse_cron(text).next(FRIDAY) is not None


@pytest.mark.parametrize("text", REFUSED_BY_THE_SERVER)
def test_refuses_what_the_server_refuses(text):
    with pytest.raises(UsageError) as refused:
        parse_cron(text)
    assert refused.value.why and refused.value.do


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 3 * * 1", datetime(2026, 10, 5, 3, 0, 0)),
        ("0 0 3 ? * mon", datetime(2026, 10, 5, 3, 0, 0)),
        ("30 15 12 * * *", datetime(2026, 10, 2, 12, 15, 30)),
        ("0 0 12 * * *", datetime(2026, 10, 3, 12, 0, 0)),  # after, not at
        ("0 0 */6 * * *", datetime(2026, 10, 2, 18, 0, 0)),
        ("0 30/10 9-11 * * 1-5", datetime(2026, 10, 5, 9, 30, 0)),
        ("0 0 0 1 JAN,jul *", datetime(2027, 1, 1, 0, 0, 0)),
        ("0 0 3 13 * 5", datetime(2026, 10, 9, 3, 0, 0)),  # the 13th or a Friday
        # A step, and a list, leave the days unrestricted: both have to match.
        ("0 0 3 */7 * 1", datetime(2027, 2, 1, 3, 0, 0)),
        ("0 0 3 15,* * 1", datetime(2026, 10, 5, 3, 0, 0)),
        ("0 0 0 29 2 *", datetime(2028, 2, 29, 0, 0, 0)),
        ("* * * * * *", datetime(2026, 10, 2, 12, 0, 1)),
    ],
)
def test_knows_when_it_fires_next(text, expected):
    assert parse_cron(text).next(FRIDAY) == expected


def test_five_fields_are_told_with_the_six_that_were_meant():
    with pytest.raises(UsageError, match="five fields") as refused:
        parse_cron("0 3 * * 1")
    assert "--cron '0 0 3 * * 1'" in refused.value.do


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0 60 3 * * 1", "'60' is not a valid minute"),
        ("0 0 3 0 * *", "'0' is not a valid day of month"),
        ("0 0 3 * 13 *", "'13' is not a valid month"),
        ("0 0 3 * * 7", "'7' is not a valid day of week"),
        ("0 0 5-3 * * *", "'5-3' is not a valid hour"),
        ("0 0 3 * * mon-", "'mon-' is not a valid day of week"),
        ("0 0 3 * * *-2", "not a valid day of week"),
        ("0 0 3 31 2 *", "never fires"),
        ("", "has 0 fields"),
    ],
)
def test_names_the_field_that_is_wrong(text, part):
    with pytest.raises(UsageError) as refused:
        parse_cron(text)
    assert part in refused.value.found


def test_sunday_is_named_where_it_may_have_been_meant():
    with pytest.raises(UsageError, match="Sunday is 0"):
        parse_cron("0 0 3 * * 7")
