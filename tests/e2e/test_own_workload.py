"""The pages on custom workloads and steps: their files, unchanged, in a folder outside of the project."""

import json
import random
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, RUNNER, Ended, run_arguments, run_python, run_warm

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
    """Writes the files on the pages, unchanged, and returns their names."""
    pattern = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    files = [file for page in PAGES for file in pattern.findall(page)]
    folder.mkdir()
    for name, content in files:
        (folder / name).write_text(content, encoding="utf-8")
    return [name for name, _ in files]


def write_span(folder: Path, seed: int, broken: int = 1) -> None:
    """Writes a span of gestures, and broken lines: a tap has one peak, a shake oscillates."""
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
    lines += [*["{"] * broken, lines[0].replace("[", "[NaN, "), short]
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
        "notebook.py",
    ]
    for week in (1, 2):
        write_span(folder / "spans" / f"span-0000{week}", week)
    return folder


def run(world: Path, *arguments: str) -> Ended:
    options = ("--workload", str(world / "gestures" / "workload.yaml"), "--data", str(world / "spans"))
    words = run_arguments(world / "workspace", *options, *arguments, settings=QUICK)
    return run_in(world, RUNNER, *words)


def run_in(world: Path, *arguments: str) -> Ended:
    return run_python(arguments, world, PYTHONPATH=f"gestures:{ROOT}")


def test_the_files_of_the_pages_are_a_workload_with_a_step_of_its_own_that_is_pushed(world: Path) -> None:
    result = run(world, "--profile", str(world / "gestures" / "limit.yaml"))

    assert result.code == 0, result.stderr + result.stdout
    # Only this run starts as a user starts it; all output of libraries is in its log.
    log = (Path(result.json["report"]).parent / "run.log").read_text()
    assert "Component ExampleGen is running" in log
    assert "absl" not in result.stderr and "tensorflow" not in result.stderr.lower()
    bundle = world / "workspace" / "push" / "edge" / "gestures" / "1"
    assert (bundle / "model_int8.tflite").is_file()
    contract = json.loads((bundle / "preprocessing.json").read_text())
    assert contract["kind"] == "gesture" and contract["deviation"] > 0
    page = Path(result.json["report"]).read_text()
    assert "broken-line" in page and "wrong-length" in page
    steps = list(result.states)
    assert steps.index("DataGate") < steps.index("Limit") < steps.index("Transform")
    # Transform computed the deviation of the limited readings.
    artifacts = world / "workspace" / "artifacts"
    assert find_largest(artifacts / "Limit") == 8.0 < find_largest(artifacts / "ExampleGen")


def find_largest(folder: Path) -> float:
    """Returns the largest reading in the examples below a folder."""
    import tensorflow as tf

    files = [str(file) for file in folder.rglob("Split-train/*.gz")]
    assert files
    return max(
        max(tf.train.Example.FromString(record.numpy()).features.feature["samples"].float_list.value)
        for record in tf.data.TFRecordDataset(files, "GZIP")
    )


def test_the_plan_has_a_custom_step_and_runs_it_again_when_its_code_changed(world: Path) -> None:
    file = world / "gestures" / "gestures_steps.py"
    files = ("--workload", "gestures/workload.yaml", "--profile", "gestures/limit.yaml", "--data", "spans")
    sets = [part for setting in QUICK for part in ("--set", setting)]

    def plan() -> dict[str, dict[str, object]]:
        result = run_in(world, "-m", "runners.cli", "plan", "--json", *files, *sets)
        assert result.code == 0, result.stderr
        return {step["name"]: step for step in result.json["steps"]}

    assert plan()["Limit"]["cached"] and plan()["Trainer"]["cached"]
    content = file.read_text("utf-8")
    file.write_text(f"{content}\n\nMORE = 1\n", "utf-8")
    changed = plan()
    file.write_text(content, "utf-8")
    assert changed["Limit"]["why"] == ["code of gestures_steps changed"]
    assert changed["Trainer"]["why"] == ["after Transform, Limit"] and changed["ExampleGen"]["cached"]


@pytest.mark.parametrize("workspace", ["workspace", pytest.param("stock", marks=pytest.mark.exhaustive)])
def test_the_runner_of_tfx_runs_the_same_dag_and_trains_no_model_again(world: Path, workspace: str) -> None:
    """In the workspace of the run before, what that did comes from the cache; a new one has nothing of it."""
    script = """
import os, sys
sys.path.insert(0, os.path.abspath("gestures"))
from tfx.v1.orchestration import LocalDagRunner
import edgeline

workspace, workload, profile, *settings = sys.argv[1:]
LocalDagRunner().run(
    edgeline.pipeline(workload, data="spans", workspace=workspace, profile=profile, settings=settings)
)
"""
    files = [str(world / "gestures" / name) for name in ("workload.yaml", "limit.yaml")]

    result = run_warm([script, workspace, *files, *QUICK, "evaluation.bounds=[]"], world, "python")

    assert result.code == 0, result.stderr
    (release,) = (world / workspace / "push" / "edge" / "gestures").glob("[0-9]*")
    assert (release / "model_int8.tflite").is_file()
    artifacts = world / workspace / "artifacts"
    assert len([*artifacts.glob("Trainer/model/*")]) == len([*artifacts.glob("Limit/limited/*")]) == 1
    status = run_in(world, "-m", "runners.cli", "status", "--workspace", workspace)
    assert status.code == 0, status.stderr


def test_a_notebook_runs_the_first_steps_one_by_one(world: Path) -> None:
    script = """
import sys
import IPython

sys.path.insert(0, "gestures")
IPython.start_ipython(argv=["--quick", "gestures/notebook.py"])
"""
    result = run_warm([script], world, "python")

    assert result.code == 0, result.stderr
    assert "Traceback" not in result.stdout
    assert [*(world / "interactive" / "StatisticsGen").rglob("FeatureStats.pb")]
    assert [*(world / "interactive" / "SchemaGen").rglob("schema.pbtxt")]
