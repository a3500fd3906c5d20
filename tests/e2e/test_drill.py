"""Six weeks of a drill with the nastiest faults, and bad input."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, edgeline

pytestmark = pytest.mark.e2e

PLAN = """\
2: kill-worker
3: [disk-full-push, webhook-hangs]
4: half-copied
5: useless
6: [kill-parent, clock-back]
"""
# So small that a run is mostly the DAG itself.
SMALL = (
    *("model.image_size=32", "trainer.epochs=2", "gate.min_examples_per_class=3", "edge.golden_examples=2"),
)


def drill(workspace: Path, *arguments: str) -> Ended:
    return edgeline(workspace.parent, "drill", "--workspace", str(workspace), *arguments)


@pytest.mark.timeout(900)
def test_six_weeks_with_the_nastiest_faults_break_no_promise(tmp_path: Path) -> None:
    (plan := tmp_path / "plan.yaml").write_text(PLAN)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    ended = drill(tmp_path / "drill", "--weeks", "6", "--seed", "3", "--faults", str(plan), *settings)
    assert ended.code == 0, ended.stdout + ended.stderr
    year = json.loads((tmp_path / "drill" / "drill.json").read_text())
    outcomes = [[each["outcome"] for each in week["attempts"]] for week in year["weeks"]]
    assert outcomes[3][0] == "refused" and outcomes[4] == ["held"]
    assert "Every promise held" in (tmp_path / "drill" / "drill.html").read_text()


def test_a_workspace_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drill").mkdir()
    (tmp_path / "drill" / "theirs").touch()
    ended = drill(tmp_path / "drill", "--weeks", "2", "--seed", "1")
    assert ended.code == 2 and "is not empty" in ended.stderr
    assert [path.name for path in (tmp_path / "drill").iterdir()] == ["theirs"]


def test_a_plan_with_an_unknown_fault_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (plan := tmp_path / "plan.yaml").write_text("1: earthquake\n")
    ended = drill(tmp_path / "drill", "--weeks", "2", "--seed", "1", "--faults", str(plan))
    assert ended.code == 2 and "there is no fault 'earthquake'" in ended.stderr
    assert not (tmp_path / "drill").exists()
