import shutil
import subprocess

import pytest

from edgeline.errors import UsageError
from runners.timers.weekly_time import parse_weekly_time

EXAMPLES = [
    ("Mon 03:00", "Mon *-*-* 03:00:00", "0 3 * * 1"),
    ("sunday 23:59", "Sun *-*-* 23:59:00", "59 23 * * 0"),
    ("Thu,Mon 3:05", "Mon,Thu *-*-* 03:05:00", "5 3 * * 1,4"),
    ("Mon..Wed 03:00", "Mon,Tue,Wed *-*-* 03:00:00", "0 3 * * 1,2,3"),
    ("Sat..Mon,Wed 03:00", "Mon,Wed,Sat,Sun *-*-* 03:00:00", "0 3 * * 0,1,3,6"),
    ("03:00", "*-*-* 03:00:00", "0 3 * * *"),
    ("  Mon..Sun   00:00 ", "*-*-* 00:00:00", "0 0 * * *"),
]


@pytest.mark.parametrize(("text", "calendar", "cron"), EXAMPLES, ids=[text for text, *_ in EXAMPLES])
def test_one_text_gives_both_forms(text, calendar, cron):
    time = parse_weekly_time(text)

    assert (time.calendar, time.cron) == (calendar, cron)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_reads_each_calendar_as_it_was_meant():
    calendars = [calendar for _, calendar, _ in EXAMPLES]

    result = subprocess.run(["systemd-analyze", "calendar", *calendars], capture_output=True, text=True)

    assert (result.returncode, result.stderr) == (0, "")
    normalized = [line.partition(": ")[2] for line in result.stdout.splitlines() if "Normalized form" in line]
    # systemd writes adjacent days as a range.
    expected = [c.replace("Mon,Tue,Wed", "Mon..Wed") for c in calendars]
    assert normalized == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Mom 03:00", "Did you mean Mon?"),
        ("Mon 24:00", "24:00 is not a time of day"),
        ("", "not days of the week and a time"),
        ("Mon.. 03:00", "'' is not a day"),
        ("Mon 03:00\nExecStart=/bin/sh", "not days of the week and a time"),
    ],
)
def test_a_time_that_cannot_be_understood_is_refused_with_the_form_that_can(text, why):
    with pytest.raises(UsageError) as caught:
        parse_weekly_time(text)

    assert why in caught.value.why
    assert "'Mon 03:00'" in caught.value.do
