"""Attacks by links in a workspace: what it removes is its own."""

import pytest

from runners.local import gc
from tests.runners.local.past_runs import PastRuns


@pytest.fixture
def past(tmp_path):
    past = PastRuns(tmp_path / "workspace")
    for number in range(1, 4):
        past.add(number, {"Schema": f"s{number}", "Trainer": f"t{number}"})
    return past


@pytest.mark.parametrize(
    "place",
    [
        "artifacts/Other",
        "artifacts/Schema/other",
        "artifacts/Schema/made/99",
        "artifacts/Schema/.system",
        "artifacts/Schema/.system/executor_execution",
        "checkpoints/Trainer",
        "mlflow/shelf",
        "spans/other",
        "runs/.scratch",
    ],
)
def test_gc_removes_nothing_beyond_a_link(past, tmp_path, place):
    photos = tmp_path / "photos of the family"
    for folder in ("a/b/artifacts", "1/2/3", "artifacts"):
        (photos / folder).mkdir(parents=True)
        (photos / folder / "a.jpg").write_text("irreplaceable")
    before = sorted(photos.rglob("*"))
    link = past.workspace / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(photos, target_is_directory=True)
    gc.collect_garbage(past.workspace, past.push, 1)
    assert sorted(photos.rglob("*")) == before


def test_a_folder_that_was_moved_to_another_disk_is_still_cleaned(past, tmp_path):
    (past.workspace / "artifacts").rename(tmp_path / "disk")
    (past.workspace / "artifacts").symlink_to(tmp_path / "disk", target_is_directory=True)
    gc.collect_garbage(past.workspace, past.push, 1)
    assert len([*(tmp_path / "disk").glob("*/made/*")]) == 2
