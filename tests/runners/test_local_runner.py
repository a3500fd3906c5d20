import ast
import shutil
import subprocess
import sys

import pytest

from runners.shared.inputs import ROOT

# A Python without site-packages, as on a new machine.
BARE = [sys.executable, "-I", "-S"]


@pytest.fixture
def clone(tmp_path):
    """A clone of the project without an environment."""
    (tmp_path / "runners").mkdir()
    shutil.copy(ROOT / "runners" / "local_runner.py", tmp_path / "runners")
    return tmp_path


def run(command, clone, *options):
    return subprocess.run(
        [*command, str(clone / "runners" / "local_runner.py"), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )


def make_environment(clone, script):
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(script)
    python.chmod(0o755)


def test_the_error_of_a_bare_python_has_the_command_that_makes_the_environment(clone):
    result = run(BARE, clone)

    assert result.returncode == 2
    assert "make setup" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bare_python_goes_on_in_the_environment_with_the_same_options(clone):
    make_environment(clone, '#!/bin/sh\necho "$@"\nexit 4\n')

    result = run(BARE, clone, "--data", "my photos")

    assert result.returncode == 4
    assert result.stdout.strip() == f"{clone}/runners/local_runner.py --data my photos"


def test_a_broken_environment_ends_in_a_message_and_not_in_a_loop(clone):
    make_environment(clone, f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')

    result = run(BARE, clone)

    assert result.returncode == 2
    assert "has none either" in result.stderr


def test_in_the_environment_it_is_edgeline_run_and_names_the_nearest_option():
    result = run([sys.executable], ROOT, "--if-change")
    assert result.returncode == 2
    shown = ".venv/bin/python runners/local_runner.py"
    assert [line.replace(f"{ROOT}/", "") for line in result.stderr.splitlines()] == [
        f"{shown}: No such option '--if-change'.",
        "Did you mean --if-changed?",
        f"See `{shown} --help`.",
    ]


def test_a_source_is_the_argument_of_edgeline_run():
    result = run([sys.executable], ROOT, "nowhere/photos")
    assert result.returncode == 2 and "The source 'nowhere/photos' does not exist." in result.stderr


@pytest.mark.parametrize("version", [(2, 7), (3, 4), (3, 9)])
def test_a_python_that_the_project_does_not_support_goes_on_in_the_environment(clone, version):
    make_environment(clone, '#!/bin/sh\necho "$@"\n')
    path = clone / "runners" / "local_runner.py"
    source = path.read_text()
    script = f"import sys; sys.version_info = {version}; exec(open(sys.argv.pop(1)).read())"
    result = subprocess.run(
        [sys.executable, "-c", f"__file__ = {str(path)!r}; __name__ = '__main__'; {script}", path, "a b"],
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == f"{path} a b", result.stderr
    for node in ast.walk(ast.parse(source)):
        # Syntax that came with Python 3.
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.Starred | ast.Nonlocal | ast.Await)
        assert not isinstance(node, ast.FunctionDef) or node.returns is None
