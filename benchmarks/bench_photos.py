"""Scores the file that phones get on photos that the DAG never saw.

    .venv/bin/python -m benchmarks.bench_photos TRAIN TEST [--side 'seed=1 a.b=c']

TRAIN and TEST have a folder of JPEGs for each class. TRAIN is imported and run through the DAG with the steps
of a new user, which holds out a part for eval. With `--side`, repeatable, the DAG runs once with the settings
of each side.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgeline.release import store
from edgeline.runtime import load_bundle
from edgeline.workspace import runs


def main() -> None:
    """Prints accuracy, mean recall and the worst class of each side on TEST."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--side", action="append", metavar="SETTINGS", help="settings of a run; repeatable")
    options = parser.parse_args()

    photos = {
        folder.name: [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
        for folder in sorted(options.test.iterdir())
        if folder.is_dir()
    }
    print(f"{sum(map(len, photos.values())):,} test photos, {len(photos)} classes")
    print(f"{'':40} {'accuracy':>8} {'mean recall':>11} {'worst class':>17}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        run_edgeline("data", "import", options.train, "--data", data)
        for number, side in enumerate(options.side or [""]):
            workspace = Path(folder, f"workspace-{number}")
            sets = [part for setting in side.split() for part in ("--set", setting)]
            run_edgeline("run", "--data", data, "--workspace", workspace, *sets)
            print_scores(side or "the DAG", workspace, photos)


def run_edgeline(*arguments: object) -> None:
    """Runs the command; exits with its output if it neither pushed nor held back a model."""
    command = [sys.executable, "-m", "runners.cli", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode not in (0, 3):
        sys.exit(result.stdout + result.stderr)


def print_scores(name: str, workspace: Path, photos: dict[str, list[bytes]]) -> None:
    """Prints a line of the table for the default file of the workspace's release."""
    (run,) = runs.read_runs(workspace)
    if run.outcome != "pushed":
        print(f"{name:40} {run.outcome}: {' '.join(run.reasons)}", flush=True)
        return

    (release,) = store.releases(run.push, run.workload)
    bundle = load_bundle(release.manifest, release.read)
    right = {
        label: [next(iter(bundle.predict(photo).ranked)) == label for photo in of_class]
        for label, of_class in photos.items()
    }
    recalls = {label: float(np.mean(answers)) for label, answers in right.items()}
    worst = min(recalls, key=recalls.__getitem__)
    accuracy = np.mean(np.concatenate(list(right.values())))
    mean = np.mean(list(recalls.values()))
    name = f"{name}, {release.default_file.name}"
    print(f"{name:40} {accuracy:>8.3f} {mean:>11.3f} {worst:>11} {recalls[worst]:.3f}", flush=True)


if __name__ == "__main__":
    main()
