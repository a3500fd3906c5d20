import dataclasses

import pytest

from deploy.environment.stacks import (
    NO_HEADERS,
    Interpreter,
    Machine,
    SetupError,
    choose,
    no_python,
    stacks_for,
)

BOOKWORM = Machine("Linux", "x86_64", (2, 36))
NOBLE = Machine("Linux", "x86_64", (2, 39))


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
    choice = choose(stacks_for(machine), pythons(*versions))
    assert (choice.stack.name, choice.interpreter.path) == (stack, f"/usr/bin/python{version}")


@pytest.mark.parametrize(
    ("machine", "versions"),
    [(BOOKWORM, ("3.11.2",)), (BOOKWORM, ("3.13.5", "3.9.18")), (NOBLE, ("3.14.0", "3.9.18")), (NOBLE, ())],
)
def test_without_a_fitting_python_nothing_is_chosen(machine, versions):
    assert choose(stacks_for(machine), pythons(*versions)) is None


def test_a_python_with_a_defect_is_passed_over():
    broken = Interpreter("/opt/a/bin/python3.13", (3, 13, 5), "built without sqlite3")
    whole = Interpreter("/opt/b/bin/python3.13", (3, 13, 1))
    assert choose(stacks_for(NOBLE), [broken, whole]).interpreter == whole
    assert choose(stacks_for(NOBLE), [broken]) is None


def test_among_equals_the_python_found_first_is_chosen():
    first = Interpreter("/first/python3.10", (3, 10, 1))
    second = Interpreter("/second/python3.10", (3, 10, 18))
    assert choose(stacks_for(BOOKWORM), [first, second]).interpreter == first


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
        stacks_for(machine)
    first, second, third = str(refusal.value).splitlines()
    assert first.startswith("Found: ") and found in first
    assert second.startswith("Needed: ") and "Linux on x86_64 with glibc 2.28 or newer" in second
    assert third.startswith("Do: ") and command in third
    assert refusal.value.exit_code == 2


def test_bare_bookworm_is_told_of_python_3_10_and_of_the_newer_system():
    refusal = no_python(BOOKWORM, stacks_for(BOOKWORM), pythons("3.11.2"), ".uv/bin/uv", "no route to host")
    first, second, third = str(refusal).splitlines()
    assert "glibc 2.36" in first and "Python 3.11.2 (/usr/bin/python3.11.2)" in first
    assert "Python 3.10 for TFX 1.16" in second and "glibc 2.39" in second and "no route to host" in second
    assert ".uv/bin/uv python install 3.10 && make setup" in third


def test_a_new_system_is_asked_for_the_pythons_of_both_stacks():
    refusal = str(no_python(NOBLE, stacks_for(NOBLE), pythons("3.14.0"), "uv", "no route to host"))
    assert "Python 3.13 or 3.12 or 3.11 for TFX 1.21, or Python 3.10 for TFX 1.16" in refusal
    assert "uv python install 3.13 && make setup" in refusal


def test_where_only_headers_are_missing_their_package_is_named():
    bare = dataclasses.replace(pythons("3.13.5")[0], defect=NO_HEADERS)
    refusal = str(no_python(NOBLE, stacks_for(NOBLE), [bare], "uv", "no route to host"))
    assert NO_HEADERS in refusal and "apt-get install python3-dev" in refusal
