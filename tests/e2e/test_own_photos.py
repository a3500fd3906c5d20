"""Photos of a user: they are imported and trained on, and no other file is changed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import edgeline, run_dag

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


def test_imported_photos_are_trained_on_from_weights_of_imagenet_and_pushed(photos: Path) -> None:
    data, workspace = photos.parent / "data", photos.parent / "workspace"
    result = edgeline(data, "data", "import", str(photos), "--data", str(data))
    assert result.code == 0, result.stderr
    second = edgeline(data, "data", "import", str(photos), "--data", str(data))
    assert second.code == 0, second.stderr
    assert [span.name for span in sorted(data.glob("span-*"))] == ["span-00001"]

    run = run_dag(
        workspace,
        "--workload",
        str(data / "workload.yaml"),
        "--data",
        str(data),
        settings=(
            "model.image_size=64",
            "trainer.epochs=2",
            "trainer.min_steps=null",
            "evaluation.beat_majority=false",
            "evaluation.min_class_examples=1000",
            "evaluation.bounds=[]",
            "edge.variants=[int8]",
        ),
    )
    assert run.code == 0, run.stderr
    assert run.json["outcome"] == "pushed"
    (labels,) = (workspace / "push" / "edge").glob("*/1/labels.txt")
    assert sorted(labels.read_text(encoding="utf-8").splitlines()) == sorted(LABELS)
