import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.environment.__main__ import ROOT, STAMP, add_extra, is_current, name_extra, set_up
from deploy.environment.stacks import Machine, SetupError, detect_machine

# Records each call and creates the files of the real uv. If the file `slow` exists, it is slow enough for a
# second set-up to start meanwhile.
UV = """#!/bin/sh
[ "$1" = --quiet ] && shift
case "$1 $2" in
"--version ") echo "uv 0.13.8"; exit ;;
"python find") echo PYTHON; exit ;;
"venv --no-project")
    mkdir -p .venv/bin .venv/lib/python3.10/site-packages/tfx.dist-info
    ln -s "$4" .venv/bin/python ;;
"pip sync")
    touch syncing
    echo "$*" >synced
    [ ! -e slow ] || { rm slow; sleep 2; }
    [ ! -e fail ] || exit 1 ;;
esac
echo "$1 $2" >>calls
"""
FROM_NOTHING = ["venv --no-project", "pip sync", "pip install"]

pytestmark = pytest.mark.e2e


@pytest.fixture
def root(tmp_path):
    """Writes a checkout, and the tools that create an environment."""
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    write_locks(root, "tfx\n")
    (root / "requirements" / "uv.txt").write_text("uv==0.13.8\n")
    (root / "setup.py").write_text("setup()\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("uv", UV.replace("PYTHON", sys.executable)), ("c++", "#!/bin/sh\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return root


@pytest.fixture
def environ(root):
    return {"PATH": f"{root.parent / 'tools'}:/bin", "HOME": str(root.parent)}


@pytest.fixture
def checkout(root, environ):
    """Sets up an environment in the checkout."""
    set_up(root, environ)
    read_calls(root)
    return root


def write_locks(root: Path, text: str) -> None:
    for name in ("tfx-1.16", "tfx-1.21"):
        (root / "requirements" / f"{name}.txt").write_text(text)


def read_calls(root: Path) -> list[str]:
    """Returns the calls of uv since the last reading."""
    file = root / "calls"
    lines = file.read_text().splitlines()
    file.unlink()
    return lines


def start(root: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path\n" + (
        f"from deploy.environment.__main__ import set_up\nset_up(Path({str(root)!r}), {environ!r})"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)


def test_a_second_set_up_calls_nothing(root, environ, capsys):
    set_up(root, environ)
    assert read_calls(root) == FROM_NOTHING
    assert "packages" in capsys.readouterr().out, "the time of each part is not printed"
    set_up(root, environ)
    assert not (root / "calls").exists()


def test_a_new_lock_is_installed_into_the_existing_environment(checkout, environ):
    write_locks(checkout, "tfx\nrich\n")
    set_up(checkout, environ)
    assert read_calls(checkout) == FROM_NOTHING[1:]


@pytest.mark.parametrize("extra", ["words", "cuda"])
def test_an_extra_stays_when_the_lock_changes(checkout, environ, extra):
    lock = name_extra(extra, json.loads((checkout / STAMP).read_text())["stack"])
    (checkout / lock).write_text(
        "rich==1 \\\n    --hash=sha256:0\nall-vectors==0.1 \\\n    --hash=sha256:0\n"
    )
    write_locks(checkout, "tfx==1\nrich==1\n")
    set_up(checkout, environ)
    assert extra not in (checkout / "synced").read_text()
    (checkout / ".venv/lib/python3.10/site-packages/all_vectors-0.1.dist-info").mkdir()
    with (checkout / lock).open("a") as text:
        text.write("more-vectors==0.1 \\\n    --hash=sha256:0\n")
    write_locks(checkout, "rich==1\n")
    set_up(checkout, environ)
    assert (checkout / "synced").read_text().split()[-1] == lock


def test_cusolver_is_linked_where_tensorflow_looks_for_it(checkout, environ):
    nvidia = checkout / ".venv/lib/python3.10/site-packages/nvidia"
    for name in ("cusolver", "cusparse"):
        (nvidia / name / "lib").mkdir(parents=True)
    (nvidia / "cusolver/lib/libcusolver.so.11").write_text("one")
    link = nvidia / "cusparse/lib/libcusolver.so.11"
    for _ in range(2):
        add_extra(checkout, environ["PATH"], "cuda")
        assert link.read_text() == "one"
    link.unlink()
    write_locks(checkout, "tfx\nrich\n")
    set_up(checkout, environ)
    assert link.read_text() == "one"


def test_an_interrupted_set_up_is_made_again_by_the_next(root, environ):
    (root / "fail").touch()
    with pytest.raises(SetupError):
        set_up(root, environ)
    (root / "fail").unlink()
    half = root / ".venv" / "half"
    half.mkdir()
    read_calls(root)
    set_up(root, environ)
    assert read_calls(root) == FROM_NOTHING
    assert not half.exists()


def test_an_environment_on_a_larger_disk_stays_there(root, environ):
    elsewhere = root.parent / "larger"
    elsewhere.mkdir()
    (root / ".venv").symlink_to(elsewhere)
    set_up(root, environ)
    assert (root / ".venv").is_symlink()
    assert (elsewhere / Path(STAMP).name).exists()


def test_the_second_of_two_set_ups_at_once_waits_for_the_first(root, environ):
    (root / "slow").touch()
    both = [start(root, environ) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert read_calls(root) == FROM_NOTHING
    assert sum("waiting for it" in text for text in outputs) == 1


def test_the_uv_of_a_killed_set_up_ends_before_the_next_begins(root, environ):
    (root / "slow").touch()
    process = start(root, environ)
    while not (root / "syncing").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    set_up(root, environ)
    assert read_calls(root) == [*FROM_NOTHING[:2], *FROM_NOTHING]


def test_without_a_compiler_the_package_is_named(root, environ):
    (root.parent / "tools" / "c++").unlink()
    with pytest.raises(SetupError, match=r"apt-get install g\+\+"):
        set_up(root, {**environ, "PATH": str(root.parent / "tools")})
    assert not (root / ".venv").exists()


def test_an_environment_with_more_packages_than_the_lock_is_current_and_on_another_system_stale(checkout):
    assert is_current(checkout, detect_machine())
    (checkout / ".venv/lib/python3.10/site-packages/ipython-9.0.dist-info").mkdir()
    assert is_current(checkout, detect_machine())
    assert not is_current(checkout, Machine("Linux", "x86_64", (2, 99)))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write_locks(root, "tfx==1.16.1\n"),
        lambda root: [lock.unlink() for lock in root.glob("requirements/tfx-*.txt")],
        lambda root: (root / "setup.py").write_text("setup(entry_points={})\n"),
        lambda root: (root / ".venv/lib/python3.10/site-packages/tfx.dist-info").rmdir(),
        lambda root: (root / STAMP).unlink(),
        lambda root: (root / STAMP).write_text("{"),
        lambda root: (root / STAMP).write_text('{"packages": [], "stack": "tfx-1.16"}'),
    ],
    ids=["lock", "no lock", "setup.py", "package gone", "interrupted", "torn", "other version"],
)
def test_an_environment_is_stale_when_its_sources_changed(checkout, change):
    change(checkout)
    assert not is_current(checkout, detect_machine())


def move(root: Path) -> Path:
    return root.rename(root.with_name("moved"))


def lock_another_python(root: Path) -> Path:
    stamp = json.loads((root / STAMP).read_text())
    (root / STAMP).write_text(json.dumps({**stamp, "python": "/other/python3.10"}))
    write_locks(root, "tfx==1.16.1\n")
    return root


def lose_python(root: Path) -> Path:
    (root / ".venv/bin/python").unlink()
    (root / ".venv/bin/python").symlink_to("/gone")
    return root


@pytest.mark.parametrize("change", [move, lock_another_python, lose_python])
def test_an_environment_of_another_place_or_python_is_made_again(checkout, environ, change):
    root = change(checkout)
    assert not is_current(root, detect_machine())
    set_up(root, environ)
    assert read_calls(root) == FROM_NOTHING
