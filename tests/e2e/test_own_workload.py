"""The page on a workload of one's own, followed word for word in a folder outside the project."""

import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Ended, run_arguments

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs" / "start" / "own-workload.md").read_text(encoding="utf-8")
QUICK = (
    "trainer.epochs=12",
    "trainer.folds=0",
    "trainer.batch_size=16",
    "gate.min_examples_per_class=5",
    "edge.max_latency_ms=1000",
)


def write_files(folder: Path) -> list[str]:
    """The files that the page has, word for word."""
    found = re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    folder.mkdir()
    for name, content in found:
        (folder / name).write_text(content, encoding="utf-8")
    return [name for name, _ in found]


def write_span(folder: Path, seed: int) -> None:
    """A tap is one knock, a shake swings."""
    rng = random.Random(seed)
    lines = []
    for number in range(240):
        label = ("tap", "shake")[number % 2]
        at = rng.randrange(4, 28)
        samples = [
            rng.gauss(0, 0.5) + (9 * (place == at) if label == "tap" else 5 * (-1) ** (place // 3))
            for place in range(32)
        ]
        lines.append(json.dumps({"device": f"d-{number % 11:02d}", "label": label, "samples": samples}))
    lines += ["{", json.dumps({"device": "d-01", "label": "tap", "samples": [1.0]})]
    folder.mkdir(parents=True)
    (folder / "gestures.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    assert write_files(folder / "gestures") == [
        "workload.yaml",
        "gestures.pbtxt",
        "gestures_data.py",
        "gestures_model.py",
    ]
    for week in (1, 2):
        write_span(folder / "spans" / f"span-0000{week}", week)
    return folder


def run(world: Path) -> Ended:
    named = ("--workload", str(world / "gestures" / "workload.yaml"), "--data", str(world / "spans"))
    arguments = run_arguments(world / "workspace", *named, settings=QUICK)
    environment = {**os.environ, "PYTHONPATH": str(world / "gestures")}
    done = subprocess.run(
        arguments, cwd=world, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_the_four_files_of_the_page_are_a_workload_that_is_pushed(world: Path) -> None:
    ended = run(world)

    assert ended.code == 0, ended.stderr + ended.stdout
    bundle = world / "workspace" / "push" / "edge" / "gestures" / "1"
    assert (bundle / "model_int8.tflite").is_file()
    contract = json.loads((bundle / "preprocessing.json").read_text())
    assert contract["kind"] == "gesture" and contract["deviation"] > 0
    page = Path(ended.json["report"]).read_text()
    assert "broken-line" in page and "wrong-length" in page
