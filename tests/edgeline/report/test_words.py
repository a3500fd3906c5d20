import pytest

from edgeline.report import words


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.23, "4.2 s"), (59.96, "60.0 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_times_are_written_as_people_do(seconds, text):
    assert words.seconds(seconds).replace("\u00a0", " ") == text


def test_differences_have_a_sign_and_a_minus_of_a_digits_width_and_an_unknown_value_is_a_dash():
    texts = [words.points(value) for value in (0.012, -0.098, 0.0, -0.0001)]
    assert texts == ["+1.2", "\u22129.8", "±0.0", "±0.0"]
    texts = [f(None) for f in (words.percent, words.points, words.count, words.megabytes, words.seconds)]
    assert [*texts, words.milliseconds(None), words.moment(None)] == ["\u2013"] * 7


def test_a_moment_is_readable_and_an_invalid_one_stays_as_it_is():
    assert words.moment("2026-10-05T09:12:33Z") == "Mon 5 Oct 2026, 09:12 UTC"
    assert words.moment("2026-10-05T09:12:33+00:00") == "Mon 5 Oct 2026, 09:12 UTC"
    assert words.moment("yesterday") == "yesterday"
