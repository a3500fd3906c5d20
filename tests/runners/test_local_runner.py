import shutil
import subprocess
import sys

import pytest

from runners.shared.inputs import ROOT

# No site-packages: a Python as a stranger has it.
BARE = [sys.executable, "-I", "-S"]


@pytest.fixture
def clone(tmp_path):
    """A clone of the project in which no environment was made yet."""
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


def test_a_bare_python_without_an_environment_is_told_the_one_command_that_makes_it(clone):
    ended = run(BARE, clone)

    assert ended.returncode == 2
    assert "make setup" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bare_python_goes_on_in_the_environment_with_the_same_options(clone):
    make_environment(clone, '#!/bin/sh\necho "$@"\nexit 4\n')

    ended = run(BARE, clone, "--data", "my photos")

    assert ended.returncode == 4
    assert ended.stdout.strip() == f"{clone}/runners/local_runner.py --data my photos"


def test_a_broken_environment_ends_in_a_message_and_not_in_a_circle(clone):
    make_environment(clone, f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')

    ended = run(BARE, clone)

    assert ended.returncode == 2
    assert "has none either" in ended.stderr


def test_inside_the_environment_it_is_edgeline_run_and_a_mistake_in_its_options_names_the_nearest():
    ended = run([sys.executable], ROOT, "--if-change")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"python {ROOT}/runners/local_runner.py: No such option '--if-change'.",
        "Did you mean --if-changed?",
        f"See `python {ROOT}/runners/local_runner.py --help`.",
    ]
