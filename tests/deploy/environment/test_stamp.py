from pathlib import Path

import pytest

from deploy.environment import stamp
from deploy.environment.stacks import Machine

HERE = Machine("Linux", "x86_64", (2, 36))


@pytest.fixture
def finished(tmp_path):
    """A checkout with an environment that is whole."""
    lock = stamp.lock_file(tmp_path, "tfx-1.16")
    lock.parent.mkdir()
    lock.write_text("tfx==1.16.0\n")
    (tmp_path / "setup.py").write_text("setup()\n")
    venv = tmp_path / ".venv"
    for folder in ("bin", "lib/python3.10/site-packages/tfx-1.16.0.dist-info"):
        (venv / folder).mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(_python(tmp_path))
    stamp.write(venv, stamp.expected(tmp_path, "tfx-1.16", str(_python(tmp_path)), HERE))
    return tmp_path


def _python(root: Path) -> Path:
    path = root / "python3.10"
    path.touch()
    return path


def test_a_finished_environment_is_current(finished):
    assert stamp.is_current(finished, HERE)


def test_more_packages_than_the_lock_has_are_a_persons_own_business(finished):
    (finished / ".venv/lib/python3.10/site-packages/ipython-9.0.dist-info").mkdir()
    assert stamp.is_current(finished, HERE)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: stamp.lock_file(root, "tfx-1.16").write_text("tfx==1.16.1\n"),
        lambda root: stamp.lock_file(root, "tfx-1.16").unlink(),
        lambda root: (root / "setup.py").write_text("setup(entry_points={})\n"),
        lambda root: (root / "python3.10").unlink(),
        lambda root: (root / ".venv/lib/python3.10/site-packages/tfx-1.16.0.dist-info").rmdir(),
        lambda root: stamp.remove(root / ".venv"),
        lambda root: (root / ".venv" / stamp.FILE_NAME).write_text("{"),
        lambda root: (root / ".venv" / stamp.FILE_NAME).write_text('{"packages": [], "stack": "tfx-1.16"}'),
    ],
    ids=[
        "lock",
        "no lock",
        "setup.py",
        "python gone",
        "package gone",
        "interrupted",
        "torn",
        "other version",
    ],
)
def test_an_environment_is_stale_when_what_it_is_made_from_changed(finished, change):
    change(finished)
    assert not stamp.is_current(finished, HERE)


def test_an_environment_is_stale_on_another_system_and_in_a_moved_checkout(finished, tmp_path_factory):
    assert not stamp.is_current(finished, Machine("Linux", "x86_64", (2, 41)))
    moved = tmp_path_factory.mktemp("elsewhere") / "checkout"
    finished.rename(moved)
    assert not stamp.is_current(moved, HERE)


def test_only_the_same_interpreter_in_the_same_place_is_brought_up_to_date_in_place(finished):
    before = stamp.read(finished / ".venv")
    stamp.lock_file(finished, "tfx-1.16").write_text("tfx==1.16.1\n")
    assert before.same_interpreter(stamp.expected(finished, "tfx-1.16", before.python, HERE))
    assert not before.same_interpreter(stamp.expected(finished, "tfx-1.16", "/other/python3.10", HERE))
