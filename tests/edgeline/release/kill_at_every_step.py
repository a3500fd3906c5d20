"""Run a writer again and again, killed at one file operation after the other, until it gets through.

    python -m tests.edgeline.release.kill_at_every_step WORK_FOLDER ACTION

ACTION is push, repair, collect, or withdraw (a rollback that ends a canary).

A process of its own, with one thread, because it forks: the child gets an audit hook, which Python calls
before each operation and which cannot be taken off again. Each time it starts from a copy of the same push
folder; for a repair, a push to that folder was killed when models.config named it, and current.json did not.
Most operations only read, and a kill there leaves what the kill before it left. So a first run notes what
lies there at each operation, and one kill stands for all that leave the same.
Prints at how many operations a kill was tried or stood for, and how many of them left the old release.
"""

import os
import pickle
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from edgeline.release import store
from edgeline.release.history import find_envelope, find_pointer, read_history
from edgeline.release.layout import PushFolder
from edgeline.release.pins import read_pins
from edgeline.store.locations import locate
from tests.edgeline.release.candidates import make_candidate, make_key, problems_of, snapshot

FILE_OPERATIONS = {
    *("open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "os.truncate"),
    *("shutil.copyfile", "shutil.rmtree"),
}


def run_in_child(write: Callable[[], object], at_operation: Callable[[int], None]) -> bool:
    """Runs `write` in a child, which calls `at_operation` with each operation's number; true if killed."""
    child = os.fork()
    if child == 0:
        number, inside = 0, False

        def hook(event: str, _: object) -> None:
            nonlocal number, inside
            if event in FILE_OPERATIONS and not inside:
                inside = True
                number += 1
                at_operation(number)
                inside = False

        sys.addaudithook(hook)
        write()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def run_killed(write: Callable[[], object], at: int) -> bool:
    """Returns true if `write` was killed at its operation number `at`, in a child."""
    return run_in_child(write, lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == at else None)


def list_kills(write: Callable[[], object], root: Path) -> list[int]:
    """By operation, the first one at which the same lies in `root` as at this one and at all in between."""
    reading, writing = os.pipe()
    last = (0, b"")

    def note(number: int) -> None:
        nonlocal last
        paths = sorted(root.rglob("*"))
        there = pickle.dumps([(str(path), path.is_file() and path.read_bytes()) for path in paths])
        last = last if there == last[1] else (number, there)
        os.write(writing, last[0].to_bytes(2, "big"))

    assert not run_in_child(write, note)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        noted = file.read()
    return [int.from_bytes(noted[at : at + 2], "big") for at in range(0, len(noted), 2)]


def leave_half_a_push(root: Path, candidate: store.Candidate) -> None:
    at = 1
    while run_killed(lambda: store.push(root, "shelf", candidate), at):
        if read_pins(PushFolder(root))["shelf"] == (3,):
            assert store.current(root, "shelf").version == 2
            return
        at += 1
    raise AssertionError("no kill left a push that models.config names and current.json does not")


def check_what_readers_find(root: str | Path, context: str) -> None:
    """No release is damaged, nor is what models.config names, though a push that is not over may have it."""
    assert all("writes it" in problem for problem in store.verify(root, "shelf")), context
    assert all("models.config" in problem for problem in store.verify(root, "other")), context
    for model, versions in read_pins(PushFolder(locate(root))).items():
        for version in {*versions} - {*store.list_known_versions(root, model)}:
            assert problems_of(root, model, version) == [], (context, model, version)


def main(work: Path, action: str) -> None:
    base, root = work / "base", work / "push"
    store.push(base, "other", make_candidate(work / "other", "other"))
    for content in ("one", "two", *(["three"] if action == "collect" else [])):
        store.push(base, "shelf", make_candidate(work / content, content, signing_key=make_key()))
    new, later = (make_candidate(work / name, name, signing_key=make_key()) for name in ("new", "later"))
    if action == "withdraw":
        store.rollout(base, "shelf", 1, 10, "drill", make_key())
    # The version in production and that of the candidate, before and after it.
    before_it, after_it, write = {
        "push": ((2,), (3,), lambda: store.push(root, "shelf", new)),
        "repair": ((2,), (2,), lambda: store.repair(root)),
        "collect": ((3,), (3,), lambda: store.collect(root, "shelf", 1)),
        "withdraw": ((2, 1), (2,), lambda: store.rollback(root, "shelf", "drill", key=make_key())),
    }[action]
    changes = len(read_history(PushFolder(base), "shelf").changes)

    before = snapshot(base)
    if action == "repair":
        leave_half_a_push(base, new)
    shutil.copytree(base, root)
    kills = list_kills(write, root)
    old = 0
    for rounds, at in enumerate([*dict.fromkeys(kills), len(kills) + 1]):
        shutil.rmtree(root)
        shutil.copytree(base, root)
        killed = run_killed(write, at)
        assert killed == (at <= len(kills)), at
        context = f"killed at operation {at}"
        release, named = store.current(root, "shelf"), find_pointer(PushFolder(root), "shelf").versions
        assert named in (before_it, after_it) and release.version == named[0], context
        signed, signer = find_envelope(PushFolder(root), "shelf").read()
        tried = (signed.candidate.version,) if signed.candidate else ()
        assert (signed.production.version, *tried) == named and signer, context
        assert killed or named == after_it
        listed = [release.version for release in store.releases(root, "shelf")]
        unchanged = 1 in listed if action == "collect" else named == before_it
        old += unchanged * kills.count(at)
        check_what_readers_find(root, context)
        whole = [1, 2, 3] if 3 in named else [1, 2]
        assert listed == (whole if unchanged or action != "collect" else [2, 3]), (context, listed)

        if rounds % 2:  # what readers see after a repair and after another push must be the same story
            store.repair(root)
            assert store.verify(root, "shelf") == [], context
            if unchanged:
                assert snapshot(root) == before, context
        if tried:
            store.rollback(root, "shelf", "the next one waits", key=make_key())
        following = store.push(root, "shelf", later)
        assert following.version == 1 + max(listed), (context, listed)
        assert store.current(root, "shelf") == following and store.verify(root, "shelf") == [], context
        history = read_history(PushFolder(root), "shelf")
        expected = changes + (not unchanged) + len(tried) + 1
        assert [change.number for change in history.changes] == list(range(1, expected + 1)), context
        assert sorted(os.listdir(root)) == [".lock", "edge", "serving"], context
        folders = {*os.listdir(root / "edge/shelf"), *os.listdir(root / "serving/shelf")}
        assert folders - {"current.json", "history.jsonl"} == {str(v) for v in {*listed, following.version}}
    print(len(kills), old)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
