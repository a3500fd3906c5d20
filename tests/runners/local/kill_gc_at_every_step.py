"""Runs `gc` again and again, killed at its first file operation, its second, ..., until it gets through.

    .venv/bin/python -m tests.runners.local.kill_gc_at_every_step WORKSPACE

It is a process of its own, as `kill_at_every_step.py` of the releases is. It prints the number of kills.
"""

import shutil
import sqlite3
import sys
from contextlib import closing
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


def main(workspace: Path) -> None:
    base = workspace.with_name("base")

    def collect() -> None:
        gc.collect(workspace, str(workspace / "push"), 1)

    collect()
    expected, kills, killed = list_names(workspace), 0, True
    while killed:
        shutil.rmtree(workspace)
        shutil.copytree(base, workspace)
        killed = run_killed(collect, kills + 1)
        kills += killed
        check(workspace, f"killed at operation {kills}")
        collect()
        assert list_names(workspace) == expected, (kills, list_names(workspace) ^ expected)
    print(kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
