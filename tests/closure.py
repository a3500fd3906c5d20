"""Counts what a local run of photos reaches by imports, as a part of `make lint`.

    .venv/bin/python -m tests.closure

Imports inside functions count. pyproject.toml names what is no part of a run, and lint-imports refuses it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from grimp import build_graph

ROOMS = ("runners", "pipeline", "components", "trainer_module", "data", "edgeline")
# The modules in which the processes of such a run begin, and those that it imports by their names.
STARTS = (
    "runners.local_runner",
    "runners.local.run",
    "runners.local.worker",
    "pipeline.dag",
    "trainer_module.run_fn",
    "trainer_module.workloads.photos",
    "data.photos.source",
)
MOST_LINES = 33_946  # lower it when the number falls


def count_lines(module: str) -> int:
    """Returns the number of lines of a module's file."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return len(Path(spec.origin).read_text(encoding="utf-8").splitlines())


def main() -> int:
    """Prints how many files and lines are reached; returns the exit code, 1 if there are too many."""
    graph = build_graph(*ROOMS, cache_dir=None)
    reached = set(STARTS).union(*map(graph.find_upstream_modules, STARTS))
    lines, all_lines = (sum(map(count_lines, modules)) for modules in (reached, graph.modules))
    print(f"A local run of photos reaches {len(reached)} files and {lines:,} of {all_lines:,} lines.")
    return int(lines > MOST_LINES)


if __name__ == "__main__":
    sys.exit(main())
