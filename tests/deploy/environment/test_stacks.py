import pytest

from deploy.environment.stacks import Machine, SetupError, find_stacks


@pytest.mark.parametrize(
    ("glibc", "stacks"),
    [((2, 28), ["tfx-1.16"]), ((2, 38), ["tfx-1.16"]), ((2, 39), ["tfx-1.21", "tfx-1.16"]), ((3, 0), None)],
)
def test_the_newest_stack_whose_wheels_fit_comes_first(glibc, stacks):
    available = find_stacks(Machine("Linux", "x86_64", glibc))
    assert [stack.name for stack in available] == (stacks or ["tfx-1.21", "tfx-1.16"])


@pytest.mark.parametrize(
    ("machine", "description", "command"),
    [
        (Machine("Darwin", "arm64", None), "macOS on arm64", "docker run"),
        (Machine("Windows", "AMD64", None), "Windows on AMD64", "wsl --install"),
        (Machine("Linux", "aarch64", (2, 41)), "Linux on aarch64 with glibc 2.41", "docker run"),
        (Machine("Linux", "x86_64", None), "a C library that is not glibc", "docker run"),
        (Machine("Linux", "x86_64", (2, 27)), "glibc 2.27", "docker run"),
    ],
)
def test_the_error_on_a_machine_without_wheels_has_found_needed_and_a_command(machine, description, command):
    with pytest.raises(SetupError) as error:
        find_stacks(machine)
    first, second, third = str(error.value).splitlines()
    assert first.startswith("Found: ") and description in first
    assert second.startswith("Needed: ") and "Linux on x86_64 with glibc 2.28 or newer" in second
    assert third.startswith("Do: ") and command in third
    assert error.value.exit_code == 2
