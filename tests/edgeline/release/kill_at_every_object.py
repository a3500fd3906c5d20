"""Push to an object store again and again, killed before its first write, its second, and so on.

Of the writes of files, one after the other, only the first two and the last, of the manifest, are tried.

    python -m tests.edgeline.release.kill_at_every_object URL WORK_FOLDER

A process of its own, with one thread, because it forks: everything that speaks to the store happens in a
child. Each round starts with the same releases, as a disk holds them. Prints how many kills there were, and
how many of the rounds ended with the old release.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain, count
from pathlib import Path

import s3fs

from edgeline.release import lease, store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from edgeline.store.locations import get_filesystem, list_files_below, locate
from tests.edgeline.release.candidates import make_candidate, snapshot
from tests.edgeline.release.kill_at_every_step import check_what_readers_find

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


def check(root: str, new, at: str, tell: Path) -> None:
    """What readers and the next writer find in a store that had version 1 and one change."""
    patience, lease.LEASE_S = lease.LEASE_S, 0.1  # the killed writer cannot come back
    place = locate(root)
    release = store.current(root, "shelf")
    assert release is not None
    is_old = release.version == 1
    check_what_readers_find(root, at)
    listed = [each.version for each in store.releases(root, "shelf")]
    if tell.stat().st_size % 2:
        store.repair(root)
        assert store.verify(root, "shelf") == [], at
        assert store.current(root, "shelf") == release
        assert [each.version for each in store.releases(root, "shelf")] == listed
    following = store.push(root, "shelf", new)
    assert following.version > max(listed), (at, listed)
    assert store.current(root, "shelf") == following and store.verify(root, "shelf") == [], at
    history = read_history(PushFolder(place), "shelf")
    expected = 1 + (not is_old) + 1
    assert [change.number for change in history.changes] == list(range(1, expected + 1))
    names = set(list_files_below(place))
    assert not {name for name in names if name.startswith((".scratch", ".lock"))}
    assert {int(name.split("/")[2]) for name in names if name.count("/") > 2 and "/shelf/" in name} == {
        *listed,
        following.version,
    }
    lease.LEASE_S = patience
    with tell.open("a") as file:
        file.write("o" if is_old else "n")


def main(root: str, work: Path) -> None:
    candidate = make_candidate(work / "candidate", size=100)
    told = work / "told"
    told.touch()

    for model in ("other", "shelf"):
        store.push(work / "base", model, candidate)
    base = snapshot(work / "base")
    # Each writer is alone, and a check has a lease of 0.1 s: it would do little else than renew it.
    lease.Lease.keep = lambda self, stop: None

    def go_on(number: int, before: list[int]) -> None:
        """What was left is checked here, not in a child of its own: each takes a second to connect."""
        for last in before[-1:]:
            check(f"{root}/{last}", candidate, f"killed before write {last}", told)
        place = f"{root}/{number}"
        top = locate(place)
        get_filesystem(top).pipe({f"{top.path}/{name}": content for name, content in base.items()})
        kill_before_write(number)
        store.push(place, "shelf", candidate)

    kills: list[int] = []
    for number in chain(range(1, 6), count(12)):
        if not in_child(partial(go_on, number, kills)):
            break
        kills.append(number)
    in_child(partial(check, f"{root}/{number}", candidate, "not killed", told))
    assert told.read_text()[-1] == "n"
    print(len(kills), told.read_text().count("o"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
