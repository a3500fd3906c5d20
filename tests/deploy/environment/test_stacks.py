import dataclasses
import json
import os
import platform
import sys
from pathlib import Path

import pytest

from deploy.environment.stacks import (
    NO_HEADERS,
    Interpreter,
    Machine,
    SetupError,
    ask,
    choose,
    find_pythons,
    find_stacks,
    missing_python,
)

BOOKWORM = Machine("Linux", "x86_64", (2, 36))
NOBLE = Machine("Linux", "x86_64", (2, 39))
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
THIS = os.path.realpath(sys._base_executable)


def pythons(*versions: str) -> list[Interpreter]:
    return [Interpreter(f"/usr/bin/python{v}", tuple(map(int, v.split(".")))) for v in versions]


@pytest.mark.parametrize(
    ("machine", "versions", "stack", "version"),
    [
        (BOOKWORM, ("3.11.2", "3.10.13"), "tfx-1.16", "3.10.13"),
        (BOOKWORM, ("3.13.0", "3.12.1", "3.11.7", "3.10.13", "3.9.18"), "tfx-1.16", "3.10.13"),
        (NOBLE, ("3.12.3",), "tfx-1.21", "3.12.3"),
        (NOBLE, ("3.11.9", "3.13.5", "3.12.3"), "tfx-1.21", "3.13.5"),
        (NOBLE, ("3.10.13", "3.11.9"), "tfx-1.21", "3.11.9"),
        (NOBLE, ("3.14.0", "3.10.13"), "tfx-1.16", "3.10.13"),
        (Machine("Linux", "x86_64", (2, 28)), ("3.10.2",), "tfx-1.16", "3.10.2"),
        (Machine("Linux", "x86_64", (3, 0)), ("3.13.5",), "tfx-1.21", "3.13.5"),
    ],
)
def test_the_newest_stack_that_machine_and_python_carry_is_chosen(machine, versions, stack, version):
    chosen, python = choose(find_stacks(machine), pythons(*versions))
    assert (chosen.name, python.path) == (stack, f"/usr/bin/python{version}")


@pytest.mark.parametrize(
    ("machine", "versions"),
    [(BOOKWORM, ("3.11.2",)), (BOOKWORM, ("3.13.5", "3.9.18")), (NOBLE, ("3.14.0", "3.9.18")), (NOBLE, ())],
)
def test_without_a_fitting_python_nothing_is_chosen(machine, versions):
    assert choose(find_stacks(machine), pythons(*versions)) is None


def test_a_python_with_a_defect_is_passed_over():
    broken = Interpreter("/opt/a/bin/python3.13", (3, 13, 5), "built without sqlite3")
    whole = Interpreter("/opt/b/bin/python3.13", (3, 13, 1))
    assert choose(find_stacks(NOBLE), [broken, whole])[1] == whole
    assert choose(find_stacks(NOBLE), [broken]) is None


def test_among_equals_the_python_found_first_is_chosen():
    first = Interpreter("/first/python3.10", (3, 10, 1))
    second = Interpreter("/second/python3.10", (3, 10, 18))
    assert choose(find_stacks(BOOKWORM), [first, second])[1] == first


@pytest.mark.parametrize(
    ("machine", "found", "command"),
    [
        (Machine("Darwin", "arm64", None), "macOS on arm64", "docker run"),
        (Machine("Windows", "AMD64", None), "Windows on AMD64", "wsl --install"),
        (Machine("Linux", "aarch64", (2, 41)), "Linux on aarch64 with glibc 2.41", "docker run"),
        (Machine("Linux", "x86_64", None), "a C library that is not glibc", "docker run"),
        (Machine("Linux", "x86_64", (2, 27)), "glibc 2.27", "docker run"),
    ],
)
def test_a_machine_without_wheels_is_told_what_it_is_what_is_needed_and_one_command(machine, found, command):
    with pytest.raises(SetupError) as refusal:
        find_stacks(machine)
    first, second, third = str(refusal.value).splitlines()
    assert first.startswith("Found: ") and found in first
    assert second.startswith("Needed: ") and "Linux on x86_64 with glibc 2.28 or newer" in second
    assert third.startswith("Do: ") and command in third
    assert refusal.value.exit_code == 2


def test_bare_bookworm_is_told_of_python_3_10_and_of_the_newer_system():
    refusal = missing_python(BOOKWORM, pythons("3.11.2"), ".uv/bin/uv", "no route to host")
    first, second, third = str(refusal).splitlines()
    assert "glibc 2.36" in first and "Python 3.11.2 (/usr/bin/python3.11.2)" in first
    assert "Python 3.10 for TFX 1.16" in second and "glibc 2.39" in second and "no route to host" in second
    assert ".uv/bin/uv python install 3.10 && make setup" in third


def test_a_new_system_is_asked_for_the_pythons_of_both_stacks():
    refusal = str(missing_python(NOBLE, pythons("3.14.0"), "uv", "no route to host"))
    assert "Python 3.13 or 3.12 or 3.11 for TFX 1.21, or Python 3.10 for TFX 1.16" in refusal
    assert "uv python install 3.13 && make setup" in refusal


def test_where_only_headers_are_missing_their_package_is_named():
    bare = dataclasses.replace(pythons("3.13.5")[0], defect=NO_HEADERS)
    refusal = str(missing_python(NOBLE, [bare], "uv", "no route to host"))
    assert NO_HEADERS in refusal and "apt-get install python3-dev" in refusal


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
    ("lack", "defect"),
    [
        ("", ""),
        ('import platform; platform.python_implementation = lambda: "PyPy"', "PyPy, not CPython"),
        ("import sys; sys.maxsize = 2**31 - 1", "32-bit"),
        ('import sysconfig; sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1', "free-threaded"),
        ('import sys; sys.modules["sqlite3"] = sys.modules["lzma"] = None', "built without lzma, sqlite3"),
        ('import sysconfig; sysconfig.get_path = lambda name: "/nowhere"', NO_HEADERS),
    ],
)
def test_what_a_python_lacks_is_its_defect(tmp_path, lack, defect):
    answer = f"import sys\n{lack}\nexec(sys.argv[-1])"
    assert ask(program(tmp_path / "python3.10", f"exec {THIS} -c '{answer}' \"$@\"")).defect == defect


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
        minor = ".".join(version.split("-")[0].split(".")[:2])
        numbers = [int(part) for part in version.split("-")[0].split(".")]
        answer = json.dumps([f"/{version}", numbers, ""])
        program(tmp_path / "versions" / version / "bin" / f"python{minor}", f"echo '{answer}'")
    found = find_pythons({"PATH": "", "PYENV_ROOT": str(tmp_path)})
    assert [python.path for python in found[1:]] == ["/3.10.13", "/3.10.9"]


def test_path_is_searched_in_its_order_and_each_python_counts_once(tmp_path):
    link(tmp_path / "one" / "python3")
    link(tmp_path / "two" / f"python{MINOR}")
    found = find_pythons({"PATH": f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}", "HOME": str(tmp_path)})
    assert [python.path for python in found] == [THIS]
