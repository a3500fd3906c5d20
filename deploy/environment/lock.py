"""`python3 -m deploy.environment lock`: resolves the requirements of both stacks into their lock files."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.environment.uv import find_uv, run_uv

_PROJECT = ("setup.py", "--extra", "kubeflow", "--extra", "s3")
_TOOLS = "requirements/tools.in"
# For each lock file: what it is resolved from beside its own .in file, and for which Pythons and systems.
_TARGETS = {
    "tfx-1.16": ((*_PROJECT, _TOOLS), "--python-version 3.10 --python-platform x86_64-manylinux_2_28"),
    # One file for Python 3.11 to 3.13, with markers where they differ.
    "tfx-1.21": ((*_PROJECT, _TOOLS), "--python-version 3.11 --universal"),
    # What of it the container image has, and what a GPU adds there.
    "image": (_PROJECT, "--python-version 3.13 --python-platform x86_64-manylinux_2_40"),
    "image-cuda": ((), "--python-version 3.13 --python-platform x86_64-manylinux_2_40"),
    "uv": ((), "--python-version 3.8 --universal"),
}


def lock(root: Path, search_path: str) -> None:
    """Writes the lock files, keeping the pins that still hold; always with the pinned uv."""
    uv = find_uv(root, [sys.executable], search_path, pinned_only=True)
    for name, (sources, target) in _TARGETS.items():
        print(f"Resolving requirements/{name}.txt", flush=True)
        output = ("--custom-compile-command", "make lock", "--output-file", f"requirements/{name}.txt")
        options = f"pip compile --quiet --generate-hashes --no-emit-index-url {target}"
        run_uv(uv, root, options, *output, *sources, f"requirements/{name}.in")
