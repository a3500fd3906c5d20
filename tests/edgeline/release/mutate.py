"""Damage a push folder again and again in one way each, and see whether `verify` finds it.

    python -m tests.edgeline.release.mutate COUNT SEED

Prints how many mutations there were of each kind, and those that `verify` missed.
"""

import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edgeline.errors import EdgelineError
from edgeline.release import store
from tests.edgeline.release.candidates import make_candidate, make_key
from tests.edgeline.release.conftest import MEMORY


def make_base(root: Path, work: Path) -> None:
    """Three releases of one model, signed, five changes, and another model beside it, unsigned."""
    store.push(root, "other", make_candidate(work / "other", "other", 300))
    for content in ("one", "two", "three"):
        candidate = make_candidate(work / content, content, 300, signing_key=make_key(), rollback_epoch=1)
        store.push(root, "shelf", candidate)
    store.rollback(root, "shelf", "three is worse", key=make_key())
    store.promote(root, "shelf", 3, "it was not", make_key())


def files_of(root: Path) -> list[Path]:
    """What the releases of `shelf` are made of."""
    found = [path for path in root.rglob("*") if path.is_file() and "other" not in path.parts]
    return sorted(path for path in found if path.name != ".lock")


def flip_a_bit(root: Path, dice: random.Random) -> None:
    path = dice.choice(files_of(root))
    raw = bytearray(path.read_bytes())
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    path.write_bytes(raw)


def truncate(root: Path, dice: random.Random) -> None:
    path = dice.choice(files_of(root))
    os.truncate(path, dice.randrange(path.stat().st_size))


def append(root: Path, dice: random.Random) -> None:
    with dice.choice(files_of(root)).open("ab") as file:
        file.write(dice.choice([b"\n", b"\0", b" ", b"{}\n", dice.randbytes(9)]))


def delete(root: Path, dice: random.Random) -> None:
    dice.choice(files_of(root)).unlink()


def swap(root: Path, dice: random.Random) -> None:
    exchange(*dice.sample(files_of(root), 2))


def exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def delete_folder(root: Path, dice: random.Random) -> None:
    shutil.rmtree(dice.choice(folders_of(root)))


def rename(root: Path, dice: random.Random) -> None:
    path = dice.choice([*folders_of(root), *files_of(root)])
    path.rename(path.with_name(dice.choice(["4", "x", "07", f"{path.name}~"])))


def add(root: Path, dice: random.Random) -> None:
    tops = [folder for folder in folders_of(root) if "shelf" in folder.parts]
    (dice.choice(tops) / dice.choice(["model_fp32.tflite", "x", "9", ".hidden"])).write_bytes(b"new")


def make_a_folder_of_a_file(root: Path, dice: random.Random) -> None:
    path = dice.choice(files_of(root))
    path.unlink()
    path.mkdir()


def change_lines(root: Path, dice: random.Random) -> None:
    path = dice.choice([root / "edge/shelf/history.jsonl", root / "serving/models.config"])
    lines = path.read_bytes().splitlines(keepends=True)
    at, other = dice.sample(range(len(lines)), 2)
    how = dice.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, lines[other])
    elif how == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        del lines[min(at, other) :]
    path.write_bytes(b"".join(lines))


def change_a_value(root: Path, dice: random.Random) -> None:
    """As somebody would by hand: it still is JSON, laid out as it was."""
    paths = [path for path in files_of(root) if path.suffix in (".json", ".jsonl")]
    path = dice.choice(paths)
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines()
        at = dice.randrange(len(lines))
        lines[at] = json.dumps(changed(json.loads(lines[at]), dice))
        path.write_text("\n".join(lines) + "\n")
    else:
        document = changed(json.loads(path.read_text()), dice)
        path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def changed(document: dict, dice: random.Random) -> dict:
    key = dice.choice(list(document))
    value = document[key]
    if isinstance(value, dict) and value:
        return {**document, key: changed(value, dice)}
    if isinstance(value, int):
        value = max(1, value + dice.choice([-1, 1, 2]))
    elif isinstance(value, str):
        value = value[::-1]
    else:
        return {name: each for name, each in document.items() if name != key}
    return {**document, key: value}


def folders_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_dir() and "other" not in path.parts)


KINDS: tuple[Callable[[Path, random.Random], None], ...] = (
    *(flip_a_bit, truncate, append, delete, swap, delete_folder, rename, add),
    *(make_a_folder_of_a_file, change_lines, change_a_value),
)


def content_of(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): None if path.is_symlink() or path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def finds(root: Path) -> bool:
    try:
        return bool(store.verify(root, "shelf"))
    except EdgelineError:
        return True


def mutate(count: int, seed: int, work: Path) -> tuple[Counter[str], list[tuple[str, int]]]:
    """How many mutations were tried of each kind, and kind and number of those that were missed."""
    base, root = work / "base", work / "push"
    make_base(base, work)
    before, tried, missed = content_of(base), Counter[str](), []
    number = 0
    while tried.total() < count:
        number += 1
        kind = KINDS[number % len(KINDS)]
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(base, root)
        kind(root, random.Random(seed * 1_000_003 + number))
        if content_of(root) == before:
            continue  # two files of the same content were swapped, say
        tried[kind.__name__] += 1
        if not finds(root):
            missed.append((kind.__name__, number))
    return tried, missed


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        tried, missed = mutate(int(sys.argv[1]), int(sys.argv[2]), Path(folder))
    print(tried.total(), dict(tried))
    print(len(missed), "missed", missed)
