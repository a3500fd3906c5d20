"""Run a writer again and again, killed at its first file operation, its second, ..., until it gets through.

    python -m tests.edgeline.release.kill_at_every_step WORK_FOLDER ACTION

ACTION is push, rollback, repair, collect, rollout, canary (a push that opens one) or withdraw.

A process of its own, with one thread, because it forks: the child gets an audit hook, which Python calls
before each operation and which cannot be taken off again. Each time it starts from a copy of the same push
folder; for a repair, a push to that folder was killed when models.config named it, and current.json did not.
Prints how many kills there were, and how many of the rounds ended with the old release.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeline.release import store
from edgeline.release.history import find_envelope, find_pointer, read_history
from edgeline.release.layout import PushFolder
from edgeline.release.pins import read_pins
from edgeline.store.locations import locate
from tests.edgeline.release.candidates import make_candidate, make_key, problems_of, snapshot

FILE_OPERATIONS = {
    "open",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.truncate",
    "shutil.copyfile",
    "shutil.rmtree",
}


def run_killed(write: Callable[[], object], at: int) -> bool:
    """Whether `write` was killed at its operation number `at`, in a child."""
    child = os.fork()
    if child == 0:
        left = at

        def hook(event: str, _: object) -> None:
            nonlocal left
            if event in FILE_OPERATIONS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        write()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def leave_half_a_push(root: Path, candidate: store.Candidate) -> None:
    at = 1
    while run_killed(lambda: store.push(root, "shelf", candidate), at):
        if read_pins(PushFolder(root))["shelf"] == (3,):
            assert store.current(root, "shelf").version == 2
            return
        at += 1
    raise AssertionError("no kill left a push that models.config names and current.json does not")


def check_what_tf_serving_loads(root: str | Path, context: str = "") -> None:
    """Whatever models.config names is there and whole."""
    for model, versions in read_pins(PushFolder(locate(root))).items():
        for version in versions:
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
        "rollback": ((2,), (1,), lambda: store.rollback(root, "shelf", "drill", key=make_key())),
        "repair": ((2,), (2,), lambda: store.repair(root)),
        "collect": ((3,), (3,), lambda: store.collect(root, "shelf", 1)),
        "rollout": ((2,), (2, 1), lambda: store.rollout(root, "shelf", 1, 10, "drill", make_key())),
        "canary": ((2,), (2, 3), lambda: store.push(root, "shelf", replace(new, canary_percent=10))),
        "withdraw": ((2, 1), (2,), lambda: store.rollback(root, "shelf", "drill", key=make_key())),
    }[action]
    changes = len(read_history(PushFolder(base), "shelf").changes)

    before = snapshot(base)
    if action == "repair":
        leave_half_a_push(base, new)
    kills, old = 0, 0
    killed = True
    while killed:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(base, root)
        killed = run_killed(write, kills + 1)
        kills += killed
        context = f"killed at operation {kills}"
        release, named = store.current(root, "shelf"), find_pointer(PushFolder(root), "shelf").versions
        assert named in (before_it, after_it) and release.version == named[0], context
        signed, signer = find_envelope(PushFolder(root), "shelf").read()
        tried = (signed.candidate.version,) if signed.candidate else ()
        assert (signed.production.version, *tried) == named and signer, context
        assert killed or named == after_it
        listed = [release.version for release in store.releases(root, "shelf")]
        unchanged = 1 in listed if action == "collect" else named == before_it
        old += unchanged
        check_what_tf_serving_loads(root, context)
        assert not any(problems_of(root, "shelf", version) for version in named), context
        assert all("writes it" in problem for problem in store.verify(root, "shelf")), context
        assert all("models.config" in problem for problem in store.verify(root, "other")), context
        whole = [1, 2, 3] if 3 in named else [1, 2]
        assert listed == (whole if unchanged or action != "collect" else [2, 3]), (context, listed)

        if kills % 2:  # what readers see after a repair and after another push must be the same story
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
    print(kills, old)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
