import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.environment import stamp
from deploy.environment.__main__ import ROOT, set_up, this_machine
from deploy.environment.stacks import SetupError

# Notes each call, and makes what the real one would: slowly enough for a second set-up to come in between.
UV = """#!/bin/sh
[ "$1" = --quiet ] && shift
case "$1 $2" in
"--version ") echo "uv 0.13.8"; exit ;;
"venv --no-project")
    mkdir -p .venv/bin .venv/lib/python3.10/site-packages/tfx.dist-info
    ln -s "$4" .venv/bin/python ;;
"pip sync")
    touch syncing
    sleep 0.3
    [ ! -e slow ] || { rm slow; sleep 2; }
    [ ! -e fail ] || exit 1 ;;
esac
echo "$1 $2" >>calls
"""
FROM_NOTHING = ["venv --no-project", "pip sync", "pip install"]

pytestmark = pytest.mark.skipif(
    not (3, 10) <= sys.version_info < (3, 14), reason="chooses the Python that runs the tests"
)


@pytest.fixture
def root(tmp_path):
    """A checkout, with what makes an environment on PATH."""
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    for name in ("tfx-1.16", "tfx-1.21"):
        stamp.lock_file(root, name).write_text("tfx\n")
    (root / "requirements" / "uv.txt").write_text("uv==0.13.8\n")
    (root / "setup.py").write_text("setup()\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("uv", UV), ("c++", "#!/bin/sh\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return root


@pytest.fixture
def environ(root):
    fitting = "3.10" if this_machine().glibc < (2, 39) else ""
    if fitting and sys.version_info[:2] != (3, 10):
        pytest.skip("this machine's stack is made with Python 3.10")
    return {"PATH": f"{root.parent / 'tools'}:/bin", "HOME": str(root.parent)}


def calls(root: Path) -> list[str]:
    file = root / "calls"
    made = file.read_text().splitlines()
    file.unlink()
    return made


def start(root: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path\n" + (
        f"from deploy.environment.__main__ import set_up\nset_up(Path({str(root)!r}), {environ!r})"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)


def test_a_second_set_up_calls_nothing(root, environ, capsys):
    set_up(root, environ)
    assert calls(root) == FROM_NOTHING
    assert "packages" in capsys.readouterr().out, "where the time went is printed"
    set_up(root, environ)
    assert not (root / "calls").exists()


def test_a_new_lock_is_installed_into_the_environment_that_is_there(root, environ):
    set_up(root, environ)
    calls(root)
    for name in ("tfx-1.16", "tfx-1.21"):
        stamp.lock_file(root, name).write_text("tfx\nrich\n")
    set_up(root, environ)
    assert calls(root) == FROM_NOTHING[1:]


def test_an_interrupted_set_up_is_made_anew_by_the_next(root, environ):
    (root / "fail").touch()
    with pytest.raises(SetupError):
        set_up(root, environ)
    (root / "fail").unlink()
    half = root / ".venv" / "half"
    half.mkdir()
    calls(root)
    set_up(root, environ)
    assert calls(root) == FROM_NOTHING
    assert not half.exists()


def test_an_environment_on_a_larger_disk_stays_there(root, environ):
    elsewhere = root.parent / "larger"
    elsewhere.mkdir()
    (root / ".venv").symlink_to(elsewhere)
    set_up(root, environ)
    assert (root / ".venv").is_symlink()
    assert (elsewhere / stamp.FILE_NAME).exists()


def test_of_two_set_ups_at_once_one_works_and_the_other_waits(root, environ):
    both = [start(root, environ) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert calls(root) == FROM_NOTHING
    assert sum("waiting for it" in text for text in said) == 1


def test_the_uv_of_a_killed_set_up_ends_before_the_next_begins(root, environ):
    (root / "slow").touch()
    killed = start(root, environ)
    while not (root / "syncing").exists():
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    set_up(root, environ)
    assert calls(root) == [*FROM_NOTHING[:2], *FROM_NOTHING]


def test_without_a_compiler_the_package_is_named(root, environ):
    (root.parent / "tools" / "c++").unlink()
    with pytest.raises(SetupError, match=r"apt-get install g\+\+"):
        set_up(root, {**environ, "PATH": str(root.parent / "tools")})
    assert not (root / ".venv").exists()
