from pathlib import Path

import pytest

from deploy.environment.stacks import SetupError
from deploy.environment.uv import find_uv, provide_python, read_uv_version, run_uv


@pytest.fixture
def root(tmp_path):
    """A checkout that pins uv 0.13.8."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "uv.txt").write_text("# by hand\nuv==0.13.8 \\\n    --hash=sha256:00\n")
    return tmp_path


def uv_that(folder: Path, does: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uv").write_text(f"#!/bin/sh\n{does}\n")
    (folder / "uv").chmod(0o755)
    return str(folder / "uv")


def test_a_recent_uv_on_path_is_taken(root, tmp_path):
    uv = uv_that(tmp_path / "path", "echo 'uv 0.7.2 (x86_64-unknown-linux-gnu)'")
    assert read_uv_version(uv) == (0, 7, 2)
    assert find_uv(root, [], str(tmp_path / "path")) == uv


@pytest.mark.parametrize("does", ["echo uv 0.4.30", "echo 'pyenv: uv: command not found'; exit 127"])
def test_an_old_or_broken_uv_is_passed_over_for_the_pinned_one(root, tmp_path, does):
    uv_that(tmp_path / "path", does)
    uv_that(root / ".uv" / "bin", "echo uv 0.13.8")
    assert find_uv(root, [], str(tmp_path / "path")) == ".uv/bin/uv"


def test_lock_files_are_written_by_the_pinned_uv_alone(root, tmp_path):
    uv_that(tmp_path / "path", "echo uv 0.14.0")
    uv_that(root / ".uv" / "bin", "echo uv 0.13.8")
    assert find_uv(root, [], str(tmp_path / "path"), pinned_only=True) == ".uv/bin/uv"


def test_where_no_python_makes_environments_debians_package_is_named(root, tmp_path):
    python = uv_that(tmp_path / "bare", "echo 'ensurepip is not available'; exit 1")
    with pytest.raises(SetupError, match="apt-get install python3-venv") as refusal:
        find_uv(root, [python], "")
    assert refusal.value.exit_code == 2


def test_a_uv_that_pip_cannot_download_is_installed_by_the_next_set_up(root, tmp_path):
    new = uv_that(tmp_path / "new", "echo uv 0.13.8")
    allowed = tmp_path / "allowed"
    # What the Python of the small environment does when it is asked to run pip, and what makes it.
    installs = f"[ -e {allowed} ] || {{ echo 'ERROR: no route' >&2; exit 1; }}; cp {new} {root}/.uv/bin/uv"
    pip = uv_that(tmp_path / "pip", installs)
    python = uv_that(tmp_path / "python", f'mkdir -p "$4/bin" && cp {pip} "$4/bin/python"')
    bare = uv_that(tmp_path / "bare", "exit 1")
    with pytest.raises(SetupError, match=r"pip could not install uv: ERROR: no route") as failure:
        find_uv(root, [bare, python], "")
    assert failure.value.exit_code == 1
    allowed.touch()
    assert read_uv_version(str(root / find_uv(root, [bare, python], ""))) == (0, 13, 8)


def test_a_uv_that_fails_ends_the_set_up_with_the_command_that_goes_on(root, tmp_path):
    uv = uv_that(tmp_path / "path", "exit 2")
    with pytest.raises(SetupError, match=r"`uv pip sync --strict` ended with exit code 2") as failure:
        run_uv(uv, root, "pip sync --strict", root)
    assert failure.value.exit_code == 1
    assert "make setup" in str(failure.value)


def test_uv_is_asked_only_for_a_python_of_its_own(tmp_path):
    uv = uv_that(tmp_path, '[ "$2" = install ] || echo "/$UV_PYTHON_PREFERENCE/$3"')
    assert provide_python(uv, (3, 10)) == ("/only-managed/3.10", "")


def test_the_last_cause_is_the_reason_why_uv_has_no_python(tmp_path):
    uv = uv_that(
        tmp_path,
        "printf 'error: Failed to install\\n  cause: dns error\\n  cause: no such name\\n' >&2; exit 1",
    )
    assert provide_python(uv, (3, 10)) == ("", "no such name")
