"""Run a writer to an object store again and again, killed before its first write, its second, and so on.

    python -m tests.release.kill_at_every_object URL WORK_FOLDER push|rollback|repair

A process of its own, with one thread, because it forks: everything that speaks to the store happens in a
child. Each round goes on with the store that the round before left. Prints how many kills there were, and how
many of the rounds ended with the old release.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import s3fs

from locations import files_below, locate
from release import lease, store
from release.history import read_history
from release.layout import PushFolder
from tests.release.candidates import make_candidate

WRITES = {
    "put_object",
    "delete_object",
    "delete_objects",
    "create_multipart_upload",
    "complete_multipart_upload",
}


def in_child(do: Callable[[], object]) -> bool:
    """Whether the child was killed; what it raises ends this process too."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            do()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"the child ended with {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status)


def kill_before_write(number: int) -> None:
    """Let this process kill itself before it sends its write of that number."""
    left = number
    send = s3fs.S3FileSystem._call_s3

    async def counted(self, method, *arguments, **keywords):
        nonlocal left
        if method in WRITES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return await send(self, method, *arguments, **keywords)

    s3fs.S3FileSystem._call_s3 = counted


def check(root: str, new, was: tuple[int, int], round_number: int, tell: Path) -> None:
    """What readers and the next writer find; `was` has the old version and the number of changes."""
    lease.LEASE_S = 0.1  # the killed writer cannot come back
    place = locate(root)
    old_version, changes = was
    release = store.current(root, "shelf")
    assert release is not None
    assert store.verify(root, "shelf", release.version) == []
    assert all("models.config" in problem for problem in store.verify(root, "shelf"))
    assert store.verify(root, "other") == []
    listed = [each.version for each in store.releases(root, "shelf")]
    if round_number % 2:
        store.repair(root)
        assert store.verify(root, "shelf") == []
        assert store.current(root, "shelf") == release
        assert [each.version for each in store.releases(root, "shelf")] == listed
    following = store.push(root, "shelf", new)
    assert following.version == 1 + max(listed), listed
    assert store.current(root, "shelf") == following and store.verify(root, "shelf") == []
    history = read_history(PushFolder(place), "shelf")
    expected = changes + (release.version != old_version) + 1
    assert [change.number for change in history.changes] == list(range(1, expected + 1))
    names = set(files_below(place))
    assert not {name for name in names if name.startswith((".scratch", ".lock"))}
    assert {int(name.split("/")[2]) for name in names if name.count("/") > 2 and "/shelf/" in name} == {
        *listed,
        following.version,
    }
    tell.write_text(f"{following.version} {expected} {release.version == old_version}")


def main(root: str, work: Path, action: str) -> None:
    candidate = make_candidate(work / "candidate", size=100)
    told = work / "told"

    def begin() -> None:
        for model in ("other", "shelf", "shelf"):
            store.push(root, model, candidate)

    def leave_half_a_push() -> None:
        kill_before_write(8)  # its mark and some of its files are there
        store.push(root, "shelf", candidate)

    def write() -> None:
        lease.LEASE_S = 0.1 if action == "repair" else lease.LEASE_S
        if action == "repair":
            lease.Lease.keep = lambda self, stop: None
        kill_before_write(kills + 1)
        if action == "push":
            store.push(root, "shelf", candidate)
        elif action == "rollback":
            store.rollback(root, "shelf", "drill")
        else:
            assert store.repair(root) == [f"shelf {version + 1}: removed a push that was not finished."]

    assert not in_child(begin)
    version, changes, kills, old = 2, 2, 0, 0
    killed = True
    while killed:
        if action == "repair":
            assert in_child(leave_half_a_push)
        killed = in_child(write)
        kills += killed
        in_child(partial(check, root, candidate, (version, changes), kills, told))
        numbers = told.read_text().split()
        version, changes = int(numbers[0]), int(numbers[1])
        old += numbers[2] == "True"
        assert killed or action == "repair" or numbers[2] == "False"
    print(kills, old)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
