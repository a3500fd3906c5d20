"""Photos of a user: they are imported and trained on, and no other file is changed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import edgeline, run_arguments, run_warm

pytestmark = pytest.mark.e2e

LABELS = {"rote Äpfel": (200, 40, 40), "no": (40, 60, 200), "peas, green": (40, 180, 60)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes a folder for each class with 40 photos of one colour and noise."""
    folder = tmp_path_factory.mktemp("own") / "photos"
    random = np.random.default_rng(7)
    for label, color in LABELS.items():
        (folder / label).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(np.array(color) + random.normal(0, 40, (60, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.jpg")
    return folder


def test_one_line_imports_photos_and_trains_on_them_and_then_says_that_nothing_is_new(photos: Path) -> None:
    workspace = photos.parent / "workspace"
    settings = (
        "model.backbone=efficientnet_lite0_cut",
        "model.image_size=64",
        "trainer.epochs=2",
        "trainer.folds=0",
        "evaluation.beat_majority=false",
        "evaluation.min_class_examples=1000",
        "evaluation.bounds=[]",
        "edge.variants=[int8]",
    )
    line = ("run", *run_arguments(workspace, str(photos), settings=settings))
    run = run_warm(line, photos.parent, "edgeline")
    assert run.code == 0, run.stderr
    assert run.json["outcome"] == "pushed" and run.json["workload"] == "photos"
    assert "1 of 120 photos" in run.stderr
    (labels,) = (workspace / "push" / "edge").glob("*/1/labels.txt")
    assert sorted(labels.read_text(encoding="utf-8").splitlines()) == sorted(LABELS)

    again = edgeline(workspace, *line)
    assert again.code == 0, again.stderr
    assert "Nothing is new, and nothing was added." in again.stderr
    assert again.json["outcome"] == "unchanged" and again.json["id"] == run.json["id"]
    assert [span.name for span in (workspace / "data" / "photos").glob("span-*")] == ["span-00001"]
