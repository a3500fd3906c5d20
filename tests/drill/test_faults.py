"""Plans of faults: random ones, those of a file, and mistakes in them."""

from collections import Counter
from pathlib import Path

import pytest

from drill.faults import FAULTS, Drawn, Plan, draw_plan, format_plan, read_plan
from edgeline.errors import UsageError


def test_the_same_seed_draws_the_same_plan_and_another_seed_another() -> None:
    assert draw_plan(52, 3) == draw_plan(52, 3) != draw_plan(52, 4)
    assert all(week > 2 for week in draw_plan(52, 3))


def test_faults_are_drawn_by_their_weights_beside_placebo_weeks() -> None:
    plans = [draw_plan(52, seed) for seed in range(200)]
    counts = Counter(each.name for plan in plans for faults in plan.values() for each in faults)
    assert set(counts) == set(FAULTS)
    assert counts["kill-worker"] > 1.5 * counts["disk-full-push"] > counts["unlabelled"]
    assert 0.3 < 1 - sum(map(len, plans)) / (200 * 50) < 0.5


def test_three_mondays_in_a_row_are_missed() -> None:
    plans = [draw_plan(30, seed) for seed in range(99)]
    plan = next(p for p in plans if any(faults[0].name == "missed" for faults in p.values()))
    first = min(week for week, faults in plan.items() if faults[0].name == "missed")
    assert [plan[week][0].name for week in range(first, first + 3)] == ["missed"] * 3


def read(folder: Path, text: str, weeks: int = 8) -> Plan:
    (folder / "plan.yaml").write_text(text)
    return read_plan(folder / "plan.yaml", weeks)


def test_a_replay_has_the_faults_of_the_weeks_up_to_the_broken_one(tmp_path: Path) -> None:
    for seed in (1, 2):
        plan = draw_plan(52, seed)
        for weeks in (1, 30, 52):
            replay = read(tmp_path, format_plan(plan, weeks), weeks)
            assert replay == {n: faults for n, faults in plan.items() if n <= weeks} == draw_plan(weeks, seed)


@pytest.mark.parametrize(
    ("word", "effect"),
    [
        ("corrupt=0.9", "refused"),
        ("corrupt=0.02", "may"),
        ("new-camera=0.9", "may"),
        ("kill-worker", "recovers"),
    ],
)
def test_the_effect_of_a_fault_depends_on_its_rate(tmp_path: Path, word: str, effect: str) -> None:
    assert read(tmp_path, f"4: {word}\n")[4][0].effect == effect


def test_a_plan_is_read_from_a_file(tmp_path: Path) -> None:
    assert read(tmp_path, "2: kill-worker\n4: [corrupt=0.5, webhook-hangs]\n5: corrupt\n", 5) == {
        2: (Drawn("kill-worker", 0.0),),
        4: (Drawn("corrupt", 0.5), Drawn("webhook-hangs", 0.0)),
        5: (Drawn("corrupt", FAULTS["corrupt"].rate or 0.0),),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3: kill-wrker\n", "week 3: there is no fault 'kill-wrker', but kill-worker"),
        ("3: earthquake\n4: [corrupt=2]\n", "no fault 'earthquake'; week 4: the rate of corrupt is 2"),
        ("9: corrupt\n", "'9' is not a week from 1 to 8"),
        ("2: missed=0.5\n", "week 2: missed takes no rate, but has 0.5"),
        ("2: wrong-week\n", "week 2: wrong-week begins in week 4 at the earliest"),
        ("- corrupt\n", "it is not a mapping of weeks to faults"),
        ("2: corrupt=lots\n", "the rate of corrupt is lots, not a share above 0"),
        ("2: [kill-worker, kill-worker]\n", "week 2: kill-worker is there twice"),
        ("2: kill-worker\n02: corrupt\n", "week 2 is there twice"),
        ("2: [missed, corrupt, kill-worker]\n", "week 2: missed leaves nothing to kill-worker"),
        ("2: [corrupt, twice, new-camera]\n", "week 2: twice leaves nothing to corrupt."),
    ],
)
def test_a_wrong_plan_is_refused_with_every_mistake(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert message in caught.value.found and "kill-worker" in caught.value.do


def test_a_plan_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path, "2: [corrupt")
    with pytest.raises(UsageError, match="cannot be read"):
        read_plan(tmp_path / "gone.yaml", 8)
