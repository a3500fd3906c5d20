"""The Pythons on this machine: on PATH and in pyenv's versions folder, each asked what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.environment.stacks import NO_HEADERS, STACKS, Interpreter, dotted

# Runs in the Python that is asked. A venv's Python answers for the one it was made from.
_QUESTION = """
import json, os, platform, sys, sysconfig
missing = []
for module in ("bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib"):
    try:
        __import__(module)
    except ImportError:
        missing.append(module)
headers = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:3]),
    "implementation": platform.python_implementation(),
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "missing": missing,
    "headers": headers,
}))
"""


def find_pythons(environ: Mapping[str, str]) -> list[Interpreter]:
    """All Pythons that are found and answer, each once: the running one, then PATH's, then pyenv's.

    Args:
        environ: PATH, PYENV_ROOT and HOME are read.
    """
    found: dict[str, Interpreter] = {}
    for candidate in _candidates(environ):
        interpreter = ask(candidate)
        if interpreter:
            found.setdefault(interpreter.path, interpreter)
    return list(found.values())


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    minors = [dotted(minor) for stack in STACKS for minor in stack.pythons]
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    yield Path(sys.executable)
    # Every folder of PATH, since the first Python of a name may not answer. pyenv's shims are slow and answer
    # only for a version that a person has chosen; its versions folder says it all.
    for folder in filter(None, environ.get("PATH", "").split(os.pathsep)):
        for name in (*(f"python{minor}" for minor in minors), "python3"):
            if Path(folder) != pyenv / "shims" and os.access(os.path.join(folder, name), os.X_OK):
                yield Path(folder, name)
    for minor in minors:
        versions = (pyenv / "versions").glob(f"{minor}.*/bin/python{minor}")
        yield from sorted(versions, key=lambda path: _numbers(path.parts[-3]), reverse=True)


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdigit() else -1 for part in version.split(".")]


def ask(python: Path) -> Interpreter | None:
    """Runs a Python to learn what it is; None where it does not start or does not answer."""
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=True,
        )
        facts = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    # Resolved, since `python3` may mean another Python after the next upgrade of the system.
    return Interpreter(os.path.realpath(facts["path"]), tuple(facts["version"]), _defect(facts))


def _defect(facts: dict[str, Any]) -> str:
    if facts["implementation"] != "CPython":
        return f"{facts['implementation']}, not CPython"
    if facts["bits"] != 64:
        return "32-bit"
    if facts["free_threaded"]:
        return "free-threaded"
    if facts["missing"]:
        return "built without " + ", ".join(facts["missing"])
    # pyfarmhash, which TFDV needs, is compiled at installation.
    return "" if facts["headers"] else NO_HEADERS
