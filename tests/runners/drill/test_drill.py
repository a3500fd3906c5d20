"""Bad input of a drill."""

from pathlib import Path

import pytest

from edgeline.errors import UsageError
from runners.drill.drill import drill
from runners.drill.simulation import DrillOptions
from tests.e2e.conftest import edgeline


def test_a_workspace_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    with pytest.raises(UsageError, match="is not empty"):
        drill(DrillOptions(weeks=2, seed=1, faults=None, workspace=tmp_path, photos=60, overrides=()))
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_a_plan_with_an_unknown_fault_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (plan := tmp_path / "plan.yaml").write_text("1: earthquake\n")
    ended = edgeline(
        tmp_path,
        "drill",
        "--workspace",
        str(tmp_path / "drill"),
        "--weeks",
        "2",
        "--seed",
        "1",
        "--faults",
        str(plan),
    )
    assert ended.code == 2 and "there is no fault 'earthquake'" in ended.stderr
    assert not (tmp_path / "drill").exists()
