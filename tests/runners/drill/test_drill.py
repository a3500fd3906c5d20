"""Bad input of a drill."""

from pathlib import Path

from tests.e2e.conftest import Ended, edgeline


def drill(workspace: Path, *arguments: str) -> Ended:
    return edgeline(workspace.parent, "drill", "--workspace", str(workspace), *arguments)


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
