"""The pages on a workload and a step of one's own, followed word for word outside of the project."""

import json
import random
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, RUNNER, Ended, end, end_warm, run_arguments

pytestmark = pytest.mark.e2e

PAGES = [(ROOT / "docs" / page).read_text("utf-8") for page in ("start/own-workload.md", "tfx.md")]
QUICK = (
    "trainer.epochs=12",
    "trainer.folds=0",
    "trainer.batch_size=16",
    "gate.min_examples_per_class=5",
    "edge.max_latency_ms=1000",
    "edge.variants=[int8]",
)


def write_files(folder: Path) -> list[str]:
    """Writes the files that the pages have, word for word, and returns their names."""
    block = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = [file for page in PAGES for file in block.findall(page)]
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
    short = json.dumps({"device": "d-01", "label": "tap", "samples": [1.0]})
    lines += ["{", lines[0].replace("[", "[NaN, "), short]
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
        "gestures_steps.py",
        "limit.yaml",
    ]
    for week in (1, 2):
        write_span(folder / "spans" / f"span-0000{week}", week)
    return folder


def run(world: Path, *arguments: str) -> Ended:
    named = ("--workload", str(world / "gestures" / "workload.yaml"), "--data", str(world / "spans"))
    words = run_arguments(world / "workspace", *named, *arguments, settings=QUICK)
    return end_in(world, RUNNER, *words)


def end_in(world: Path, *arguments: str) -> Ended:
    return end(arguments, world, PYTHONPATH=f"gestures:{ROOT}")


def test_the_files_of_the_pages_are_a_workload_with_a_step_of_its_own_that_is_pushed(world: Path) -> None:
    ended = run(world, "--profile", str(world / "gestures" / "limit.yaml"))

    assert ended.code == 0, ended.stderr + ended.stdout
    # This run alone starts as a person starts it: all that libraries print is in its log.
    log = (Path(ended.json["report"]).parent / "run.log").read_text()
    assert "Component ExampleGen is running" in log
    assert "absl" not in ended.stderr and "tensorflow" not in ended.stderr.lower()
    bundle = world / "workspace" / "push" / "edge" / "gestures" / "1"
    assert (bundle / "model_int8.tflite").is_file()
    contract = json.loads((bundle / "preprocessing.json").read_text())
    assert contract["kind"] == "gesture" and contract["deviation"] > 0
    page = Path(ended.json["report"]).read_text()
    assert "broken-line" in page and "wrong-length" in page
    steps = list(ended.states)
    assert steps.index("DataGate") < steps.index("Limit") < steps.index("Transform")
    # The deviation that Transform learned is that of the limited readings.
    assert find_most(world, "Limit") == 8.0 < find_most(world, "ExampleGen")


def find_most(world: Path, step: str) -> float:
    """Returns the greatest reading in the examples of a step."""
    import tensorflow as tf

    files = [str(file) for file in (world / "workspace" / "artifacts" / step).rglob("Split-train/*.gz")]
    assert files
    return max(
        max(tf.train.Example.FromString(record.numpy()).features.feature["samples"].float_list.value)
        for record in tf.data.TFRecordDataset(files, "GZIP")
    )


def test_the_plan_has_a_step_of_ones_own_and_runs_it_again_where_its_code_changed(world: Path) -> None:
    file = world / "gestures" / "gestures_steps.py"
    files = ("--workload", "gestures/workload.yaml", "--profile", "gestures/limit.yaml", "--data", "spans")
    sets = [part for setting in QUICK for part in ("--set", setting)]

    def plan() -> dict[str, dict[str, object]]:
        done = end_in(world, "-m", "runners.cli", "plan", "--json", *files, *sets)
        assert done.code == 0, done.stderr
        return {step["name"]: step for step in done.json["steps"]}

    assert plan()["Limit"]["cached"] and plan()["Trainer"]["cached"]
    content = file.read_text("utf-8")
    file.write_text(f"{content}\n\nMORE = 1\n", "utf-8")
    changed = plan()
    file.write_text(content, "utf-8")
    assert changed["Limit"]["why"] == ["code of gestures_steps changed"]
    assert changed["Trainer"]["why"] == ["after Transform, Limit"] and changed["ExampleGen"]["cached"]


def test_tfx_own_runner_runs_the_same_dag(world: Path) -> None:
    script = """
import os, sys
sys.path.insert(0, os.path.abspath("gestures"))
from tfx.v1.orchestration import LocalDagRunner
import edgeline

workload, profile, *settings = sys.argv[1:]
LocalDagRunner().run(edgeline.pipeline(workload, data="spans", profile=profile, settings=settings))
"""
    files = [str(world / "gestures" / name) for name in ("workload.yaml", "limit.yaml")]
    more = ["evaluation.bounds=[]", "seed=7"]

    ended = end_warm([script, *files, *QUICK, *more], world, "python")

    assert ended.code == 0, ended.stderr
    assert (world / "workspace" / "push" / "edge" / "gestures" / "2" / "model_int8.tflite").is_file()
    listed = end_in(world, "-m", "runners.cli", "status")
    assert listed.code == 0, listed.stderr
