"""The whole DAG, as a person runs it: `runners/local_runner.py` in a process of its own.

Most runs are forked from a process that has imported TensorFlow and TFX, see `tests/warm.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.warm import WarmRun

ROOT = Path(__file__).resolve().parents[2]
RUNNER = str(ROOT / "runners" / "local_runner.py")

# The weekly run is tested, not how good a model can get.
QUICK = (
    "trainer.folds=0",
    "gate.min_examples_per_class=5",
    "evaluation.beat_majority=false",
    "evaluation.min_class_examples=1000",
)
# Small enough that a run of photos is mostly imports.
SMALL = (
    *QUICK,
    "model.image_size=48",
    "trainer.epochs=2",
    "trainer.batch_size=16",
    "edge.variants=[fp16]",
    "evaluation.bounds=[{slice: overall, max_drop: 0.02}]",
    # Two hundred photos of a few sessions differ from one another by chance.
    "gate.severity={label_shift: warn}",
)


@pytest.fixture(scope="module")
def workspace(data: Path) -> Path:
    """A workspace beside the data of the module."""
    return data.parent / "workspace"


@dataclass(frozen=True)
class Ended:
    """The end of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def states(self) -> dict[str, str]:
        """State by step."""
        return {step["name"]: step["state"] for step in self.json["steps"]}


def run_arguments(workspace: Path, *arguments: str, settings: tuple[str, ...] = SMALL) -> list[str]:
    # Without MLflow, which takes seconds, unless the arguments say otherwise.
    sets = [part for setting in ("registry.enabled=false", *settings) for part in ("--set", setting)]
    return ["--json", "--workspace", str(workspace), *sets, *arguments]


def end(arguments: Sequence[str], cwd: Path, **environment: str) -> Ended:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def end_warm(arguments: Sequence[str], cwd: Path, job: str) -> Ended:
    """Runs a job of `tests/warm.py` to its end in a forked process."""
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        code = WarmRun(arguments, cwd, stdout, stderr, job).wait()
        return Ended(code, stdout.read_text(), stderr.read_text())


def run_dag(workspace: Path, *arguments: str, settings: tuple[str, ...] = SMALL) -> Ended:
    """Runs the DAG to its end in a forked process."""
    return end_warm(run_arguments(workspace, *arguments, settings=settings), workspace.parent, "run")


def edgeline(workspace: Path, *arguments: str) -> Ended:
    script = "import sys; from edgeline.cli.main import main; sys.exit(main())"
    return end(["-c", script, *arguments], ROOT if not workspace.exists() else workspace.parent)


def plan(workspace: Path, *arguments: str, settings: tuple[str, ...] = SMALL) -> dict[str, str]:
    """Returns what `edgeline plan` says that each step would do, as the states of a run have it."""
    sets = [part for setting in settings for part in ("--set", setting)]
    ended = edgeline(workspace, "plan", "--json", "--workspace", str(workspace), *sets, *arguments)
    assert ended.code == 0, ended.stderr
    return {step["name"]: "cached" if step["cached"] else "done" for step in ended.json["steps"]}
