"""Mutations of a store, on which `verify` and a phone have to agree, each undone before the next.

    .venv/bin/python -m tests.attack.mutations COUNT [SEED]

Prints for a signed store, one that nobody signs and one with an open canary how many were tried, how many
phones refused, and how many `verify` missed: it named no problem though a file had changed.
"""

import base64
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeline.bundle import Bundle
from edgeline.errors import EdgelineError
from edgeline.release import store
from edgeline.release.manifest import parse_manifest
from edgeline.runtime import Phone, Refused
from tests.edgeline.release.candidates import make_candidate, make_key, name_key

KEY = make_key()
OWN = name_key()
STORES = ("signed", "unsigned", "canary")
# The first takes the candidate, and the second production.
CLIENTS = ("phone-1", "phone-3")


class Reader(Phone):
    """A phone that does all but run the files: those of these tests are no models."""

    def _prove(self, folder: Path) -> Bundle:
        return self._load(folder)

    def _load(self, folder: Path) -> Bundle:
        content = (folder / "manifest.json").read_bytes()
        return Bundle(parse_manifest(content, "manifest.json"), {}, (), {})


def make_store(kind: str, folder: Path) -> Path:
    """Makes one of the three stores, with three releases."""
    key, root = None if kind == "unsigned" else KEY, folder / "push"
    for content in ("one", "two", "three"):
        store.push(root, "shelf", make_candidate(folder / content, content, 100, signing_key=key))
    if kind == "canary":
        store.rollout(root, "shelf", 2, 50, "a try", KEY)
    return root


def follow(root: Path, keys: list[str], clients: Sequence[str], keep: Path) -> dict[str, Any]:
    """Returns what new phones do: for each the reason of a refusal, or the files that it took."""
    outcomes: dict[str, Any] = {}
    for client in clients:
        folder = keep / client
        phone = Reader(str(root / "edge/shelf"), "shelf", folder, keys or None, client)
        try:
            phone.update()
            (bundle,) = (path for path in folder.iterdir() if path.is_dir())
            outcomes[client] = {path.name: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
        except Refused as error:
            outcomes[client] = error.reason
        except (EdgelineError, OSError) as error:  # of a folder in place of a file
            outcomes[client] = type(error).__name__
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


@dataclass(frozen=True)
class Mutation:
    """A change of one path of a store, and the way back."""

    kind: str
    path: Path
    do: Callable[[], object]
    undo: Callable[[], object]


def draw_mutation(rng: random.Random, root: Path, outside: Path) -> Mutation:
    """Draws a mutation: of a file's bytes, of a file, or of what lies beside files."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    documents = [path for path in files if path.name in ("current.json", "history.jsonl", "manifest.json")]
    path = rng.choice(rng.choice((files, documents)))
    kind = rng.choice(("flip", "digit", "cut", "add", "remove", "copy", "link", "folder", "stray"))
    content, backup = path.read_bytes(), outside / "backup"

    def restore() -> None:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        path.write_bytes(content)

    def link() -> None:
        backup.write_bytes(content)
        path.unlink()
        path.symlink_to(backup)

    def make_folder() -> None:
        path.unlink()
        path.mkdir()

    at = rng.randrange(len(content)) if content else 0
    digits = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    changed = {
        "flip": content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :],
        "cut": content[:at],
        "add": content + rng.randbytes(rng.randint(1, 9)),
        "copy": rng.choice(files).read_bytes(),
    }
    if kind == "digit" and digits:
        place = rng.choice(digits)
        digit = str((int(chr(content[place])) + rng.randint(1, 9)) % 10)
        changed["digit"] = content[:place] + digit.encode() + content[place + 1 :]
    if kind in changed:
        return Mutation(kind, path, lambda: path.write_bytes(changed[kind]), restore)
    if kind == "stray":
        folder = rng.choice([root, *sorted({path.parent for path in files}), root / "edge"])
        stray = folder / rng.choice((".DS_Store", "notes.txt", "4x", "shelf.bak", "Thumbs.db"))
        return Mutation(kind, stray, lambda: stray.write_text("x"), stray.unlink)
    do = {"remove": path.unlink, "link": link, "folder": make_folder}.get(kind, path.unlink)
    return Mutation(kind, path, do, restore)


@contextmanager
def mutate(mutation: Mutation) -> Iterator[None]:
    """Applies a mutation for a while."""
    mutation.do()
    try:
        yield
    finally:
        mutation.undo()


def _differ_in_unsealed(before: bytes | None, after: bytes) -> bool:
    """Returns whether two pointers differ in nothing but what the audit log does not have.

    These are the times from when and until when a pointer holds, and its count of rollbacks: where nobody
    signs, nothing seals them.
    """
    contents = []
    for raw in (before or b"", after):
        try:
            pointer = json.loads(raw)
            payload = json.loads(base64.b64decode(pointer["signed"].pop("payload"), validate=True))
            contents.append((pointer, payload | dict.fromkeys(("issued", "expires", "rollbacks"))))
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
    return contents[0] == contents[1]


def find_missed(kind: str, count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Tries mutations of a store; returns the counts of what happened, and the mutations that were missed."""
    rng, root = random.Random(f"{seed} {kind}"), make_store(kind, folder)
    keys = [] if kind == "unsigned" else [OWN]
    outside, keep = folder / "outside", folder / "phones"
    outside.mkdir()
    clients = CLIENTS if kind == "canary" else CLIENTS[:1]
    whole = follow(root, keys, clients, keep)
    assert all(isinstance(files, dict) for files in whole.values()) and not store.verify(
        root, "shelf", keys=keys
    )
    counts: Counter[str] = Counter()
    missed = []
    for _ in range(count):
        mutation = draw_mutation(rng, root, outside)
        before = mutation.path.read_bytes() if mutation.path.is_file() else None
        with mutate(mutation):
            is_same = not mutation.path.is_symlink() and mutation.path.is_file()
            after = mutation.path.read_bytes() if is_same else b""
            is_free = kind == "unsigned" and _differ_in_unsealed(before, after)
            is_same = is_same and (after == before or is_free)
            outcomes = follow(root, keys, clients, keep)
            try:
                problems = store.verify(root, "shelf", keys=keys)
            except EdgelineError as error:
                problems = [error.found]
        refused = any(isinstance(outcome, str) for outcome in outcomes.values())
        counts["tried"] += 1
        counts["same bytes"] += is_same
        counts["refused by phones"] += refused
        counts["named by verify"] += bool(problems)
        if not problems and (outcomes != whole or not is_same):
            missed.append(
                f"{mutation.kind} {mutation.path.relative_to(root)}: {'refused' if refused else ''}"
            )
    return counts, missed


def try_store(kind: str, count: int, seed: int) -> tuple[str, int]:
    """Tries mutations of one store; returns the lines on them, and the number of those that were missed."""
    began = time.process_time()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        counts, missed = find_missed(kind, count, seed, Path(folder))
    facts = ", ".join(f"{name} {number}" for name, number in counts.items())
    lines = [f"{kind}: {facts}, missed {len(missed)}; {time.process_time() - began:.0f} s of CPU"]
    return "\n".join([*lines, *(f"  {each}" for each in missed)]), len(missed)


def main(count: int, seed: int) -> int:
    """Prints a line for each store, tried at the same time; returns 1 if any mutation was missed."""
    print(f"seed {seed}")
    with ProcessPoolExecutor() as pool:
        shares = [pool.submit(try_store, kind, count // len(STORES), seed) for kind in STORES]
        results = [share.result() for share in shares]
    for lines, _ in results:
        print(lines)
    return int(any(missed for _, missed in results))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)))
