"""Runs `gc` again and again, killed at one file operation after the other, until it gets through.

    .venv/bin/python -m tests.runners.local.kill_gc_at_every_step WORKSPACE [FIRST STEP]

It is a process of its own, as `kill_at_every_step.py` of the releases is. The kills are at
operations 1, 2, 3, ..., or at FIRST, FIRST + STEP, .... It prints the number of the last one.
"""

import shutil
import sqlite3
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

from edgeline.workspace.runs import list_files, read_runs
from runners.local import gc
from tests.edgeline.release.kill_at_every_step import run_killed


def check(workspace: Path, at: str) -> None:
    """Checks that folders which ML Metadata names are gone or whole, and those of the newest run whole."""
    with closing(sqlite3.connect(workspace / "metadata.sqlite")) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",), at
        for (uri,) in rows.execute("SELECT uri FROM Artifact"):
            assert not Path(uri).is_dir() or sorted(list_files(uri)) == ["made", "more"], at
    newest = read_runs(workspace)[-1]
    assert newest.artifacts and all(Path(each.uri).is_dir() for each in newest.artifacts), at


def list_names(workspace: Path) -> set[str]:
    return {str(path.relative_to(workspace)) for path in workspace.rglob("*")}


def main(workspace: Path, first: int = 1, step: int = 1) -> None:
    base = workspace.with_name("base")

    def collect() -> None:
        gc.collect_garbage(workspace, str(workspace / "push"), 1)

    collect()
    expected = list_names(workspace)
    for at in count(first, step):
        shutil.rmtree(workspace)
        shutil.copytree(base, workspace)
        killed = run_killed(collect, at)
        check(workspace, f"killed at operation {at}")
        collect()
        assert list_names(workspace) == expected, (at, list_names(workspace) ^ expected)
        if not killed:
            print(at - step)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
