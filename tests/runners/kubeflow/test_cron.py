from datetime import datetime

import pytest

from edgeline.errors import UsageError
from runners.kubeflow.cron import parse_cron

FRIDAY = datetime(2026, 10, 2, 12, 0, 0)


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


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0 60 3 * * 1", "'60' is not a valid minute"),
        ("0 0 3 0 * *", "'0' is not a valid day of month"),
        ("0 0 3 * 13 *", "'13' is not a valid month"),
        ("0 0 3 * * 7", "'7' is not a valid day of week"),
        ("0 0 3 * * 0-7", "Sunday is 0"),
        ("0 */0 * * * *", "'*/0' is not a valid minute"),
        ("0 0 3 L * *", "'L' is not a valid day of month"),
        ("0 0 5-3 * * *", "'5-3' is not a valid hour"),
        ("0 0 3 * * mon-", "'mon-' is not a valid day of week"),
        ("0 0 3 * * *-2", "not a valid day of week"),
        ("0 0 3 31 2 *", "never fires"),
        ("", "has 0 fields"),
        ("0 3 * * 1", "has five fields"),
        ("0 3 * * 1", "--cron '0 0 3 * * 1'"),
    ],
)
def test_names_the_field_that_is_wrong(text, part):
    with pytest.raises(UsageError) as caught:
        parse_cron(text)
    assert part in str(caught.value) and caught.value.why and caught.value.do
