"""Bad input of a drill, and a small drill of three weeks."""

import csv
from pathlib import Path

import pytest

from drill.drill import drill
from drill.record import YEAR
from drill.simulation import DrillOptions
from edgeline.errors import UsageError
from tests.warm import WarmRun


@pytest.mark.parametrize(
    ("place", "sets", "faults", "message"),
    [
        (".", (), None, "is not empty"),
        ("year[1]", (), None, "has the character"),
        ("year", ("push.destination=push",), None, r"push\.destination is"),
        ("year", ("gate.exclude_refused=false",), None, r"gate\.exclude_refused is false"),
        ("year", (), "plan.yaml", "there is no fault 'earthquake'"),
    ],
)
def test_a_place_or_plan_that_no_drill_could_use_is_refused_before_anything_is_written(
    tmp_path: Path, place: str, sets: tuple[str, ...], faults: str | None, message: str
) -> None:
    (tmp_path / "plan.yaml").write_text("1: earthquake\n")
    plan = tmp_path / faults if faults else None
    with pytest.raises(UsageError, match=message):
        drill(DrillOptions(2, 1, faults=plan, workspace=tmp_path / place, photos=60, overrides=sets))
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


# So small that a week takes half a minute; the quality of the models is not tested.
SMALL = (
    "data.window=4",
    "model.image_size=32",
    "trainer={epochs: 1, batch_size: 16}",
    # Sixty photos of six sessions differ from one another by chance.
    "gate={min_examples_per_class: 5, severity: {label_shift: warn, large_drift: warn}}",
    "evaluation={bounds: [], beat_majority: false, min_class_examples: 1000}",
    "edge={min_agreement: 0.5, max_accuracy_drop: 0.5}",
)


# It needs twelve minutes of a core, which others share.
@pytest.mark.timeout(1200)
@pytest.mark.exhaustive
def test_a_full_disk_damaged_photos_and_a_monday_without_a_run_break_no_promise(tmp_path: Path) -> None:
    (plan := tmp_path / "plan.yaml").write_text("1: disk-full-push\n2: corrupt\n3: missed\n")
    place = tmp_path / "drill"
    numbers = "--weeks", "3", "--photos", "60", "--seed", "5"
    # The pointer of a week has expired on the next Monday.
    sets = [word for setting in (*SMALL, "push.pointer_days=6") for word in ("--set", setting)]
    arguments = ["--workspace", str(place), *numbers, "--faults", str(plan), *sets]
    log = tmp_path / "log"
    code = WarmRun(arguments, tmp_path, log, log, "drill").wait(1200)
    assert code == 0 and "Every promise held in all 3 weeks." in log.read_text(), log.read_text()

    full, damaged, missed = YEAR.read(place).weeks
    assert [each.outcome for each in full.attempts] == ["failed", "pushed"]
    assert "no file can grow" in full.attempts[0].sentences[0] and full.ran == (1,)
    assert [each.outcome for each in damaged.attempts] == ["refused", "unchanged"]
    assert "corrupt" in damaged.excluded["span-00005"] and damaged.ungated == "week-02"
    assert (damaged.production, damaged.ran) == (1, ())
    assert (missed.production, missed.attempts) == (1, ())
    commands = [each for each in full.attempts[1].sentences if "--workspace" in each]
    assert commands and all(f"--workspace {place}/workspace" in each for each in commands)
    page = (place / "drill.html").read_text()
    assert "Every promise held in 3 weeks." in page and "Accuracy on hidden tests" in page
    with (place / "data/span-00005/served.csv").open() as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == 42 and {row["version"] for row in answers} == {"1"}  # 18 photos cannot be read
