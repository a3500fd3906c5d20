import os
import platform
import sys
from pathlib import Path

import pytest

from deploy.environment.pythons import ask, find_pythons

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
THIS = os.path.realpath(sys._base_executable)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def link(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(THIS)
    return path


def test_a_python_says_what_it_is(tmp_path):
    interpreter = ask(link(tmp_path / "python"))
    assert interpreter.path == THIS
    assert interpreter.version == sys.version_info[:3]
    assert interpreter.defect == ""


@pytest.mark.parametrize(
    "text",
    ["exit 127", "echo not json", "kill -9 $$", 'echo "{}"; exit 1'],
    ids=["shim", "text", "dies", "fails"],
)
def test_what_does_not_answer_is_no_python(tmp_path, text):
    assert ask(program(tmp_path / "python3.10", text)) is None
    assert ask(tmp_path / "not-there") is None


@pytest.mark.parametrize(
    ("fact", "defect"),
    [
        ('"implementation": "PyPy"', "PyPy"),
        ('"bits": 32', "32-bit"),
        ('"free_threaded": true', "free-threaded"),
        ('"missing": ["sqlite3", "lzma"]', "built without sqlite3, lzma"),
        ('"headers": false', "headers"),
    ],
)
def test_what_a_python_lacks_is_its_defect(tmp_path, fact, defect):
    whole = (
        '"path": "/x/python3.10", "version": [3, 10, 9], "implementation": "CPython", "bits": 64,'
        ' "free_threaded": false, "missing": [], "headers": true'
    )
    assert ask(program(tmp_path / "whole", f"echo '{{{whole}}}'")).defect == ""
    # In JSON the last of two equal keys counts.
    assert defect in ask(program(tmp_path / "less", f"echo '{{{whole}, {fact}}}'")).defect


@pytest.mark.skipif(
    MINOR not in ("3.10", "3.11", "3.12", "3.13"), reason="looks for the Pythons of the stacks"
)
def test_a_python_in_pyenv_is_found_behind_a_shim_that_does_not_answer(tmp_path):
    program(tmp_path / "pyenv" / "shims" / f"python{MINOR}", "echo 'not chosen' >&2; exit 127")
    link(tmp_path / "pyenv" / "versions" / platform.python_version() / "bin" / f"python{MINOR}")
    found = find_pythons({"PATH": str(tmp_path / "pyenv" / "shims"), "PYENV_ROOT": str(tmp_path / "pyenv")})
    assert [python.path for python in found] == [THIS]
    at_home = find_pythons({"PATH": "", "HOME": str(tmp_path)})
    assert [python.path for python in at_home] == [THIS], "the running Python is always among them"


def test_of_pyenvs_versions_the_newest_comes_first_and_other_minors_are_left_alone(tmp_path):
    for version in ("3.10.9", "3.10.13", "3.9.18", "3.10-dev"):
        answer = (
            f'{{"path": "/{version}", "version": [3, 10, 0], "implementation": "CPython", "bits": 64,'
            ' "free_threaded": false, "missing": [], "headers": true}'
        )
        name = "python" + ".".join(version.split(".")[:2])
        program(tmp_path / "versions" / version / "bin" / name, f"echo '{answer}'")
    found = find_pythons({"PATH": "", "PYENV_ROOT": str(tmp_path)})
    assert [python.path for python in found[1:]] == ["/3.10.13", "/3.10.9"]


def test_path_is_searched_in_its_order_and_each_python_counts_once(tmp_path):
    link(tmp_path / "one" / "python3")
    link(tmp_path / "two" / f"python{MINOR}")
    found = find_pythons({"PATH": f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}", "HOME": str(tmp_path)})
    assert [python.path for python in found] == [THIS]
