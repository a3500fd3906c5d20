import os
import platform
import sys
from pathlib import Path

import pytest

from deploy.environment.stacks import STACKS, SetupError, detect_machine, find_stacks
from deploy.environment.uv import find_python, find_uv, read_uv_version, run_uv

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path):
    """Writes a checkout that pins uv 0.13.8."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "uv.txt").write_text("# by hand\nuv==0.13.8 \\\n    --hash=sha256:00\n")
    return tmp_path


def write_uv(folder: Path, script: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uv").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "uv").chmod(0o755)
    return str(folder / "uv")


def test_a_recent_uv_on_path_is_taken(root, tmp_path):
    uv = write_uv(tmp_path / "path", "echo 'uv 0.7.2 (x86_64-unknown-linux-gnu)'")
    assert read_uv_version(uv) == (0, 7, 2)
    assert find_uv(root, str(tmp_path / "path")) == uv


@pytest.mark.parametrize("script", ["echo uv 0.4.30", "echo 'pyenv: uv: command not found'; exit 127"])
def test_an_old_or_broken_uv_is_passed_over_for_the_pinned_one(root, tmp_path, script):
    write_uv(tmp_path / "path", script)
    write_uv(root / ".uv" / "bin", "echo uv 0.13.8")
    assert find_uv(root, str(tmp_path / "path")) == ".uv/bin/uv"


def test_lock_files_are_written_by_the_pinned_uv_alone(root, tmp_path):
    write_uv(tmp_path / "path", "echo uv 0.14.0")
    write_uv(root / ".uv" / "bin", "echo uv 0.13.8")
    assert find_uv(root, str(tmp_path / "path"), pinned_only=True) == ".uv/bin/uv"


def test_debians_package_is_named_if_no_python_makes_environments(root, tmp_path):
    python = write_uv(tmp_path / "bare", "echo 'ensurepip is not available'; exit 1")
    with pytest.raises(SetupError, match="apt-get install python3-venv") as error:
        find_uv(root, "", python=python)
    assert error.value.exit_code == 2


def test_a_uv_that_pip_cannot_download_is_installed_by_the_next_set_up(root, tmp_path):
    new = write_uv(tmp_path / "new", "echo uv 0.13.8")
    allowed = tmp_path / "allowed"
    # `pip` stands for the Python of the small environment, which runs pip; `python` creates that environment.
    installs = f"[ -e {allowed} ] || {{ echo 'ERROR: no route' >&2; exit 1; }}; cp {new} {root}/.uv/bin/uv"
    pip = write_uv(tmp_path / "pip", installs)
    python = write_uv(tmp_path / "python", f'mkdir -p "$4/bin" && cp {pip} "$4/bin/python"')
    with pytest.raises(SetupError, match=r"pip could not install uv: ERROR: no route") as error:
        find_uv(root, "", python=python)
    assert error.value.exit_code == 1
    allowed.touch()
    assert read_uv_version(str(root / find_uv(root, "", python=python))) == (0, 13, 8)


def test_a_uv_that_fails_ends_the_set_up_with_the_command_that_resumes(root, tmp_path):
    uv = write_uv(tmp_path / "path", "exit 2")
    with pytest.raises(SetupError, match=r"`uv pip sync --strict` ended with exit code 2") as error:
        run_uv(uv, root, "pip sync --strict", root)
    assert error.value.exit_code == 1
    assert "make setup" in str(error.value)


THIS = os.path.realpath(sys._base_executable)
MACHINE = detect_machine()
MINORS = {
    minor for stack in STACKS if MACHINE.glibc and MACHINE.glibc >= stack.glibc for minor in stack.pythons
}
needs_this_python = pytest.mark.skipif(
    sys.version_info[:2] not in MINORS, reason="finds the Python that runs the tests"
)


def find_real_uv():
    return str(ROOT / find_uv(ROOT, os.environ["PATH"]))


@needs_this_python
def test_a_python_in_pyenv_is_found_behind_a_shim_that_does_not_answer(tmp_path):
    minor, pyenv = "{}.{}".format(*sys.version_info), tmp_path / "pyenv"
    shim = Path(write_uv(pyenv / "shims", "exit 127"))
    shim.rename(shim.with_name(f"python{minor}"))
    folder = pyenv / "versions" / platform.python_version() / "bin"
    folder.mkdir(parents=True)
    (folder / f"python{minor}").symlink_to(THIS)
    path = {"PATH": str(pyenv / "shims"), "PYENV_ROOT": str(pyenv)}
    _, python = find_python(find_real_uv(), MACHINE, path)
    assert python == THIS


@pytest.mark.parametrize(
    ("change", "defect", "command"),
    [
        ("import sys; sys.modules['sqlite3'] = None", "sqlite3", "uv python install 3.1"),
        (
            "import sysconfig; sysconfig.get_path = lambda name: '/nowhere'",
            "without its C headers",
            "apt-get install python3-dev",
        ),
    ],
)
def test_a_python_with_a_defect_is_passed_over_and_named(change, defect, command, tmp_path):
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\nexec {THIS} -c "import sys; {change}; exec(sys.argv[-1])" "$@"\n')
    broken.chmod(0o755)
    fails = 'echo "cause: no such name" >&2; exit 1'
    script = f'[ "$UV_PYTHON_PREFERENCE" = only-managed ] && {{ {fails}; }}; echo {broken}'
    with pytest.raises(SetupError, match=defect) as error:
        find_python(write_uv(tmp_path, script), MACHINE, {"PATH": ""})
    found, needed, do = str(error.value).splitlines()
    assert str(MACHINE) in found and "uv could not download one: no such name" in needed
    assert command in do and ("TFX 1.16" in needed)


def test_uv_installs_a_python_if_none_fits(tmp_path):
    uv = write_uv(tmp_path, '[ "$UV_PYTHON_PREFERENCE" ] && echo "/managed/$3"')
    stack = find_stacks(MACHINE)[0]
    assert find_python(uv, MACHINE, {"PATH": ""}) == (stack, "/managed/{}.{}".format(*stack.pythons[0]))
