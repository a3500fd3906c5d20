"""Runs of the complete DAG as a user starts them: `runners/local_runner.py` in a process of its own.

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

# These tests are about the weekly run, not about the quality of a model.
QUICK = (
    "trainer.folds=0",
    "gate.min_examples_per_class=5",
    "evaluation.beat_majority=false",
    "evaluation.min_class_examples=1000",
)
# These settings are so small that a run of photos spends most of its time on imports.
SMALL = (
    *QUICK,
    "model.image_size=48",
    "trainer.epochs=2",
    "trainer.batch_size=16",
    "edge.variants=[fp16]",
    "evaluation.bounds=[{slice: overall, max_drop: 0.02}]",
    # The labels of two hundred photos of a few sessions differ between weeks by chance.
    "gate.severity={label_shift: warn}",
)


@pytest.fixture(scope="module")
def workspace(data: Path) -> Path:
    """Returns the path of a workspace beside the data of the module."""
    return data.parent / "workspace"


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def states(self) -> dict[str, str]:
        """The state of each step."""
        return {step["name"]: step["state"] for step in self.json["steps"]}


def run_arguments(workspace: Path, *arguments: str, settings: tuple[str, ...] = SMALL) -> list[str]:
    # MLflow takes seconds, so it is off unless the arguments enable it.
    sets = [part for setting in ("registry.enabled=false", *settings) for part in ("--set", setting)]
    return ["--json", "--workspace", str(workspace), *sets, *arguments]


def run_python(arguments: Sequence[str], cwd: Path, **environment: str) -> Ended:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return Ended(result.returncode, result.stdout, result.stderr)


def run_warm(arguments: Sequence[str], cwd: Path, job: str) -> Ended:
    """Runs a job of `tests/warm.py` to its end in a forked process."""
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        code = WarmRun(arguments, cwd, stdout, stderr, job).wait()
        return Ended(code, stdout.read_text(), stderr.read_text())


def run_dag(workspace: Path, *arguments: str, settings: tuple[str, ...] = SMALL) -> Ended:
    """Runs the DAG to its end in a forked process."""
    return run_warm(run_arguments(workspace, *arguments, settings=settings), workspace.parent, "run")


def edgeline(workspace: Path, *arguments: str) -> Ended:
    """Runs a command in a forked process, beside the workspace if there is one."""
    return run_warm(arguments, ROOT if not workspace.exists() else workspace.parent, "edgeline")


def plan(workspace: Path, *arguments: str, settings: tuple[str, ...] = SMALL) -> dict[str, str]:
    """Returns the state that each step would have in a run, by `edgeline plan`."""
    sets = [part for setting in settings for part in ("--set", setting)]
    result = edgeline(workspace, "plan", "--json", "--workspace", str(workspace), *sets, *arguments)
    assert result.code == 0, result.stderr
    return {step["name"]: "cached" if step["cached"] else "done" for step in result.json["steps"]}
