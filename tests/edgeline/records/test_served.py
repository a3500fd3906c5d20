"""Answers of phones are counted once, by version and slice; only random ones estimate accuracy."""

from dataclasses import replace

import pytest

from edgeline.records.columns import parse_time
from edgeline.records.served import SERVED, Answer, Served, Truth, count_served

MONDAY = parse_time("2026-10-05T09:00:00Z")
ANSWER = Answer("span-00001/a.jpg", 2, "int8", "ok", 0.9, MONDAY, "d1", "random")


def make(count: int, **changes: object) -> list[Answer]:
    return [
        replace(ANSWER, **{"example": f"span-00001/{n}.jpg", "at": MONDAY + n, **changes})
        for n in range(count)
    ]


def label(answers: list[Answer], right: int, sessions: int = 4, **slices: str) -> dict[str, Truth]:
    """Returns truths by which the first `right` answers are right."""
    return {
        answer.example: Truth("ok" if n < right else "bad", f"s{n % sessions}", slices)
        for n, answer in enumerate(answers)
    }


def test_drawn_answers_estimate_accuracy_and_doubted_ones_are_counted_apart(tmp_path):
    random, chosen = make(40), make(10, chosen="person")
    chosen = [replace(each, example=f"span-00001/p{n}.jpg") for n, each in enumerate(chosen)]
    unchecked = [replace(each, example=f"span-00001/u{n}.jpg") for n, each in enumerate(make(50, chosen=""))]
    unanswered = [replace(ANSWER, example="span-00001/not-answered.jpg")]
    truths = label(random, 36) | label(chosen, 3)
    served = count_served([*random, *chosen, *unchecked, *unanswered], truths)
    (version,) = served.versions
    total = version.total
    assert (version.version, total.answers, total.drawn) == (2, 101, 41)
    assert total.expected == pytest.approx(0.9)
    assert (total.doubted, total.doubted_right) == (10, 3)
    assert (total.checked.examples, total.checked.sessions, total.checked.share) == (40, 4, 0.9)
    assert total.checked.low < 0.8 < 0.9 < total.checked.high
    assert served.warnings == () and served.of(2) is version and served.of(3) is None
    SERVED.write(tmp_path, served)
    assert SERVED.read(tmp_path) == served


def test_answers_are_counted_by_version_variant_device_week_and_slice():
    early = make(20)
    later = make(10, version=3, variant="fp16", device="d2", at=MONDAY + 7 * 86_400)
    later = [replace(each, example=f"span-00002/{n}.jpg") for n, each in enumerate(later)]
    served = count_served([*early, *later], label(early, 20, lane="a") | label(later, 4, lane="b"))
    new, old = served.versions
    assert (new.version, old.version) == (3, 2)
    assert new.variants.keys() == {"fp16"} and old.variants.keys() == {"int8"}
    assert new.devices["d2"].checked.share == 0.4 and old.devices["d1"].checked.share == 1
    assert list(new.weeks) == ["2026-W42"] and list(old.weeks) == ["2026-W41"]
    assert new.slices["lane"]["b"] == new.total and "a" not in new.slices["lane"]
    assert new.slices["class"]["ok"].checked.share == 1 and new.slices["class"]["bad"].checked.share == 0


def test_slices_of_a_workload_that_are_called_as_those_of_phones_are_not_lost():
    answers = make(40)
    truths = label(answers, 30, device="wrist-7", week="3")
    (version,) = count_served(answers, truths).versions
    assert list(version.kinds["device"]) == ["wrist-7"] and list(version.kinds["served device"]) == ["d1"]
    assert list(version.kinds["week"]) == ["3"] and list(version.kinds["served week"]) == ["2026-W41"]
    assert list(version.kinds["variant"]) == ["int8"] and "served variant" not in version.kinds


def test_the_worst_devices_come_first_and_what_phones_invent_leaves_out_no_checked_answer():
    answers = [replace(a, device=f"d{n % 50:02d}") for n, a in enumerate(make(100))]
    truths = {a.example: Truth("bad" if a.device == "d42" else "ok") for a in answers}
    invented = [
        replace(a, device=f"x{n}", version=100 + n % 60, example="", chosen="")
        for n, a in enumerate(make(8_000))
    ]
    served = count_served([*answers, *invented], truths)
    assert len(served.versions) == 50 and all(len(each.devices) <= 50 for each in served.versions)
    assert len(served.of(2).devices) == 50 and next(iter(served.of(2).devices)) == "d42"


def test_rows_of_one_file_with_the_same_score_in_the_same_second_are_different_answers():
    rows = [replace(ANSWER, example=f"span-00001/texts.csv:{n}") for n in range(2, 12)]
    again = [replace(ANSWER, example=f"span-00002/texts.csv:{n}") for n in range(7, 17)]
    served = count_served([*rows, *again], {row.example: Truth("ok") for row in [*rows, *again]})
    assert (served.versions[0].total.answers, served.repeated) == (10, 10)


def test_an_answer_that_was_sent_before_its_photo_counts_once():
    complete = make(10)
    early = [replace(answer, example="", chosen="") for answer in complete]
    for order in ([*early, *complete], [*complete, *early]):
        served = count_served(order, label(complete, 9))
        assert (served.versions[0].total.answers, served.repeated) == (10, 10)
        assert served.versions[0].total.checked.share == 0.9


def test_an_answer_that_a_device_sends_twice_counts_once_with_the_later_check():
    first, text = replace(ANSWER, chosen=""), replace(ANSWER, example="", chosen="", at=MONDAY + 1)
    again = replace(ANSWER, example="span-00002/a.jpg", chosen="person")
    text_again = replace(text, example="span-00002/texts.csv:2", chosen="person")
    truths = {each.example: Truth("bad") for each in (again, text_again)}
    for order in ([first, text, again, text_again], [again, text_again, first, text]):
        served = count_served([*order, first, again], truths)
        total = served.versions[0].total
        assert (total.answers, total.doubted, total.doubted_right, served.repeated) == (2, 2, 0, 4)
        assert served.warnings == ("Answers that came again, and count once: 4, from d1 (4).",)


def test_a_clock_that_is_years_off_costs_the_week_and_nothing_else():
    answers = [*make(5), *(replace(each, at=0.0, device="d9") for each in make(2))]
    served = count_served(answers, label(make(5), 5))
    (version,) = served.versions
    assert version.total.answers == 7 and version.weeks["2026-W41"].answers == 5 and len(version.weeks) == 1
    assert served.warnings == (
        "Answers more than a year from the others by the clock of the phone, which count for no week: 2, from"
        " d9 (2).",
    )


def test_what_cannot_be_counted_is_named():
    answers = [*make(5, chosen="person"), *(replace(ANSWER, version=n, chosen="") for n in range(1, 61))]
    faults = [f"span-00001/served.csv:{line}: no score" for line in (7, 8, 9)]
    served = count_served([*faults, *answers], {}, "photo")
    assert len(served.versions) == 50 and served.unreadable == 3
    assert served.warnings == (
        f"Rows of served.csv that are not answers, left out: 3 ({', '.join(faults)}).",
        "Checked answers whose photos are not among the usable data: 5 (span-00001/0.jpg, span-00001/1.jpg,"
        " span-00001/2.jpg and 2 more).",
        "Answers by other versions than the 50 most used, left out: 10.",
    )
    nowhere = "Checked answers whose examples are not among the usable data: 1 (one of d1)."
    assert count_served([replace(ANSWER, example="", chosen="person")], {}).warnings == (nowhere,)
    assert count_served(make(40), label(make(19), 19)).warnings == (
        "More than half of the answers drawn at random have examples that are not among the usable data: 21"
        " (span-00001/19.jpg, span-00001/20.jpg, span-00001/21.jpg and 18 more).",
    )
    assert not count_served(make(40), label(make(20), 20)).warnings
    assert count_served([], {}) == Served()
