"""Compares what a run decides on an idle machine with what it decides on a busy one.

    .venv/bin/python -m benchmarks.bench_load [photos table sensors texts]

A small workload of each kind runs through the DAG twice, alone and beside four processes that compute without
a pause. The verdicts with their sentences, the choices (the default file, the epochs, the judges of labels)
and the lists of suspect labels have to be equal; times may differ. Exits with 1 where anything differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeline.records.edge import EDGE_FILES
from edgeline.records.evaluation import LABEL_ISSUES, LABEL_ISSUES_CSV, METRICS
from edgeline.records.training import TRAINING
from edgeline.records.verdict import VERDICT

_EDGELINE = (sys.executable, "-m", "runners.cli")
_BUSY = 4
# Weeks are small so that a run costs minutes: the question is what differs, not how good the model is.
_QUICK = ("registry.enabled=false", "gate.min_examples_per_class=5", "evaluation.bounds=[]")
_KINDS = {
    "photos": ("shelf", "150", ("model.image_size=64", "trainer.epochs=3")),
    "table": ("", "", ("trainer.epochs=20", "trainer.folds=0")),
    "sensors": ("sensor", "3000", ("trainer.epochs=3", "trainer.folds=0")),
    "texts": ("text", "300", ("trainer.epochs=3", "trainer.folds=0")),
}


def main() -> None:
    """Runs each kind on both sides, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[[], *_KINDS], help="by default all")
    kinds = parser.parse_args().kinds or list(_KINDS)

    differing = 0
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            source = _make_data(kind, Path(folder))
            sides = []
            for busy in (0, _BUSY):
                workspace = Path(folder, f"workspace-{busy}")
                with _keep_busy(busy):
                    began = time.monotonic()
                    _run(source, workspace, _KINDS[kind][2])
                    sides.append((_list_decisions(workspace), time.monotonic() - began))

        (alone, alone_s), (beside, beside_s) = sides
        names = sorted(name for name in {*alone, *beside} if alone.get(name) != beside.get(name))
        differing += bool(names)
        print(f"{kind}: {len(alone)} decisions, {len(names)} differ; beside {_BUSY} busy processes the run")
        print(f"  took {beside_s / alone_s:.1f} times as long", flush=True)
        for name in names:
            print(f"  {name}: {alone.get(name)} | {beside.get(name)}")
    sys.exit(differing > 0)


def _make_data(kind: str, folder: Path) -> list[str]:
    """Makes the small workload of a kind; returns the options that name it."""
    name, size, _ = _KINDS[kind]
    data = str(folder / "data")
    if name:
        generate = ("data", "generate", "--workload", name, "--data", data, "--weeks", "2")
        subprocess.run([*_EDGELINE, *generate, "--per-week", size], check=True, stdout=subprocess.DEVNULL)
        return ["--workload", name, "--data", data]
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "malignant", 1: "benign"})
    frame.to_csv(folder / "cells.csv", index=False)
    imported = ("data", "import", str(folder / "cells.csv"), "--label", "target", "--data", data)
    subprocess.run([*_EDGELINE, *imported], check=True, stdout=subprocess.DEVNULL)
    return ["--workload", f"{data}/workload.yaml", "--data", data]


@contextmanager
def _keep_busy(processes: int) -> Iterator[None]:
    """Has so many processes compute during the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _run(source: Sequence[str], workspace: Path, settings: Sequence[str]) -> None:
    sets = [part for setting in (*_QUICK, *settings) for part in ("--set", setting)]
    command = [*_EDGELINE, "run", *source, "--workspace", str(workspace), *sets]
    print(f"load {os.getloadavg()[0]:.1f}: {' '.join(command[2:])}", file=sys.stderr, flush=True)
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode not in (0, 3):
        sys.exit(ended.stderr[-2000:])


def _list_decisions(workspace: Path) -> dict[str, Any]:
    """Returns all that a run decided, by name."""

    def find(output: str) -> Path:
        return next(workspace.glob(f"artifacts/{output}/*"))

    decisions: dict[str, Any] = {}
    for output in ("DataValidator/verdict", "ModelValidator/blessing", "EdgeValidator/verdict"):
        decisions |= {f"{output}: {name}": value for name, value in vars(VERDICT.read(find(output))).items()}
    evaluation = find("ModelValidator/evaluation")
    training = TRAINING.read(find("Trainer/model_run"))
    files, issues = EDGE_FILES.read(find("EdgeValidator/verdict")), LABEL_ISSUES.read(evaluation)
    metrics = METRICS.read(evaluation)
    return decisions | {
        "the default file": files.default_variant,
        "the files that may ship": [variant.name for variant in files.variants if not variant.reasons],
        "the epoch that is kept, and notes": (training.best_epoch, training.notes),
        "the judges of labels": (issues.judges, issues.unjudged),
        "the suspects": (evaluation / LABEL_ISSUES_CSV).read_text(encoding="utf-8"),
        "the simple models": [(model.name, model.accuracy) for model in metrics.simple_models],
        "the metrics": metrics.candidate,
    }


if __name__ == "__main__":
    main()
