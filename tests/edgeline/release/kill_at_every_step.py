"""Runs a writer again and again, killed at one file operation after the other, until it gets through.

    .venv/bin/python -m tests.edgeline.release.kill_at_every_step WORK_FOLDER ACTION [SEED]

ACTION is push, repair, collect, withdraw (a rollback that ends a canary), rotate (a change of keys), or trust
(a person vouches for a store that nobody had signed).

It is a process with one thread, because it forks: the child gets an audit hook, which Python calls
before each operation and which cannot be taken off again. Each time it starts from a copy of the same push
folder; for a repair, a push to that folder was killed when models.config named it, and current.json did not.
Most operations only read, and a kill there leaves the same files as the kill before. So a first run notes
the files at each operation, and one kill stands for all that leave the same. With a seed, it tries those that
the seed draws, and the last.
It prints the number of operations, and the number of those whose kill left the old release.
"""

import os
import pickle
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from edgeline.release import store, upkeep
from edgeline.release.history import find_pointer, read_history
from edgeline.release.layout import PushFolder
from edgeline.release.pins import read_pins
from edgeline.store.locations import locate
from tests.edgeline.release.candidates import (
    find_problems,
    make_candidate,
    make_key,
    name_key,
    read_signed,
    snapshot,
    vouch,
)

DRAWN = 12
OWN = name_key()
FILE_OPERATIONS = {
    *("open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "os.truncate"),
    *("shutil.copyfile", "shutil.rmtree"),
}


def run_in_child(write: Callable[[], object], at_operation: Callable[[int], None]) -> bool:
    """Runs `write` in a child, with `at_operation` called before each operation; tells if it was killed."""
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
    """Runs `write` in a child and kills it at operation number `at`; tells if it came so far."""
    return run_in_child(write, lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == at else None)


def list_kills(write: Callable[[], object], root: Path) -> list[int]:
    """Returns for each operation the first one since which `root` has had the same files."""
    reading, writing = os.pipe()
    last = (0, b"")

    def note(number: int) -> None:
        nonlocal last
        paths = sorted(root.rglob("*"))
        files = pickle.dumps([(str(path), path.is_file() and path.read_bytes()) for path in paths])
        last = last if files == last[1] else (number, files)
        os.write(writing, last[0].to_bytes(2, "big"))

    assert not run_in_child(write, note)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        numbers = file.read()
    return [int.from_bytes(numbers[at : at + 2], "big") for at in range(0, len(numbers), 2)]


def leave_half_a_push(root: Path, candidate: store.Candidate) -> None:
    at = 1
    while run_killed(lambda: store.push(root, "shelf", candidate), at):
        if read_pins(PushFolder(root))["shelf"] == (3,):
            assert store.current(root, "shelf").version == 2
            return
        at += 1
    raise AssertionError("no kill left a push that models.config names and current.json does not")


def check_releases(root: str | Path, context: str) -> None:
    """Checks that no release is damaged, nor one of an unfinished push that models.config names."""
    assert all("writes it" in problem for problem in store.verify(root, "shelf")), context
    assert all("models.config" in problem for problem in store.verify(root, "other")), context
    for model, versions in read_pins(PushFolder(locate(root))).items():
        for version in {*versions} - {*store.list_known_versions(root, model)}:
            assert find_problems(root, model, version) == [], (context, model, version)


def main(work: Path, action: str, seed: str = "") -> None:
    base, root = work / "base", work / "push"
    os.environ["XDG_STATE_HOME"] = os.devnull  # each round puts the state of before back, and may do so
    store.push(base, "other", make_candidate(work / "other", "other"))
    for content in ("one", "two", *(["three"] if action == "collect" else [])):
        key = None if action == "trust" else make_key()
        store.push(base, "shelf", make_candidate(work / content, content, signing_key=key))
    new = make_candidate(work / "new", "new", signing_key=make_key())
    keys = {"signing_key": make_key(2 if action == "rotate" else 1), "trusted_keys": [OWN]}
    later = make_candidate(work / "later", "later", **keys)
    if action == "withdraw":
        store.rollout(base, "shelf", 1, 10, "drill", make_key())
    # The versions in production and of the candidate, before and after the action.
    before_it, after_it, write = {
        "push": ((2,), (3,), lambda: store.push(root, "shelf", new)),
        "repair": ((2,), (2,), lambda: store.repair(root)),
        "collect": ((3,), (3,), lambda: upkeep.collect_releases(root, "shelf", 1, key=make_key())),
        "withdraw": ((2, 1), (2,), lambda: store.rollback(root, "shelf", "drill", key=make_key())),
        "rotate": ((2,), (2,), lambda: upkeep.rotate(root, "shelf", make_key(), make_key(2))),
        "trust": ((2,), (2,), lambda: vouch(root, make_key())),
    }[action]
    changes = len(read_history(PushFolder(base), "shelf").changes)

    before = snapshot(base)
    if action == "repair":
        leave_half_a_push(base, new)
    shutil.copytree(base, root)
    write()  # imports what children would else import, some at one time and some at another
    shutil.rmtree(root)
    shutil.copytree(base, root)
    kills = list_kills(write, root)
    old = 0
    different = [*dict.fromkeys(kills)]
    if seed:
        different = sorted(random.Random(seed).sample(different, min(DRAWN, len(different))))
    for rounds, at in enumerate([*different, len(kills) + 1]):
        shutil.rmtree(root)
        shutil.copytree(base, root)
        was_killed = run_killed(write, at)
        assert was_killed == (at <= len(kills)), at
        context = f"killed at operation {at}"
        release, versions = store.current(root, "shelf"), find_pointer(PushFolder(root), "shelf").versions
        assert versions in (before_it, after_it) and release.version == versions[0], context
        pointer, signer = read_signed(root)
        candidate = (pointer.candidate.version,) if pointer.candidate else ()
        unchanged = pointer.counter == changes
        assert (pointer.production.version, *candidate) == versions, context
        assert bool(signer) == (action != "trust" or not unchanged), context
        assert was_killed or versions == after_it
        numbers = [release.version for release in store.releases(root, "shelf")]
        old += unchanged * kills.count(at)
        check_releases(root, context)
        whole = [1, 2, 3] if 3 in versions else [1, 2]
        assert numbers == (whole if unchanged or action != "collect" else [2, 3]), (context, numbers)

        if rounds % 2:  # the next push does the same after a repair and without one
            store.repair(root)
            assert store.verify(root, "shelf") == [], context
            if unchanged:
                assert snapshot(root) == before, context
        if action == "trust" and unchanged:
            vouch(root, make_key())
        if candidate:
            store.rollback(root, "shelf", "the next one waits", key=make_key())
        following = store.push(root, "shelf", later)
        assert following.version == 1 + max(numbers), (context, numbers)
        assert store.current(root, "shelf") == following and store.verify(root, "shelf") == [], context
        history = read_history(PushFolder(root), "shelf")
        expected = changes + (not unchanged or action == "trust") + len(candidate) + 1
        assert [change.number for change in history.changes] == list(range(1, expected + 1)), context
        assert sorted(os.listdir(root)) == [".lock", "edge", "serving"], context
        folders = {*os.listdir(root / "edge/shelf"), *os.listdir(root / "serving/shelf")}
        assert folders - {"current.json", "history.jsonl"} == {str(v) for v in {*numbers, following.version}}
    print(len(kills), old)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
