import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeline.errors import UsageError
from edgeline.release import store

BUNDLE, OLDER, SAVED = "edge/shelf/3", "edge/shelf/1", "serving/shelf/3"
POINTER, HISTORY, PINS = "edge/shelf/current.json", "edge/shelf/history.jsonl", "serving/models.config"


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(change((root / name).read_bytes()))


def add(name: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"never validated")

    return do


def remove(*names: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        for path in (root / name for name in names):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return do


def link_a_file(root: Path) -> None:
    path = root / BUNDLE / "labels.txt"
    os.rename(path, root / "labels.txt")
    path.symlink_to(root / "labels.txt")


def make_a_folder_of_a_file(root: Path) -> None:
    path = root / BUNDLE / "labels.txt"
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            edit(f"{BUNDLE}/model_fp16.tflite", lambda raw: raw[:-1] + b"!"),
            f"{BUNDLE}/model_fp16.tflite: found sha256",
        ),
        (
            edit(f"{SAVED}/variables/variables.index", lambda raw: raw[:10]),
            f"{SAVED}/variables/variables.index: found 10 bytes. Expected 2,000.",
        ),
        (add(f"{BUNDLE}/model_fp32.tflite"), f"{BUNDLE}/model_fp32.tflite: is not in the manifest."),
        (add(f"{SAVED}/assets.extra/x"), f"{SAVED}/assets.extra/x: is not in the manifest."),
        (remove(f"{SAVED}/saved_model.pb"), f"{SAVED}/saved_model.pb: found no file."),
        (
            edit(f"{BUNDLE}/manifest.json", lambda raw: raw.replace(b"0.94", b"0.99")),
            f"{BUNDLE}/manifest.json: found sha256",
        ),
        (link_a_file, f"{BUNDLE}/labels.txt: found something other than a file."),
        (make_a_folder_of_a_file, f"{BUNDLE}/labels.txt: found something other than a file."),
        (
            edit(PINS, lambda raw: raw.replace(b"versions: 3", b"versions: 1")),
            f"{PINS}: found version 1. Expected version 3",
        ),
        (remove(PINS), f"{PINS}: found no pin. Expected version 3"),
        (
            edit(POINTER, lambda raw: json.dumps({**json.loads(raw), "version": 1}).encode()),
            f"{POINTER}: found version 1. Expected version 3",
        ),
        (edit(POINTER, lambda raw: raw[:-9]), f"{POINTER}: found invalid content"),
        (edit(POINTER, lambda raw: raw + b"\n"), f"{POINTER}: was changed after it was written."),
        (remove(POINTER), f"{POINTER}: missing"),
        (remove(BUNDLE), f"{BUNDLE}/manifest.json: found no file."),
        (edit(HISTORY, lambda raw: b"nobody did anything\n" + raw), f"{HISTORY}: line 1 cannot be read."),
    ],
)
def test_damage_is_found_and_named(pushed, damage, message):
    damage(pushed)
    (problem,) = store.verify(pushed, "shelf")
    assert problem.startswith(message)


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_releases_that_changed_places_are_both_found(pushed, name):
    one, other, between = pushed / OLDER / name, pushed / BUNDLE / name, pushed / "between"
    os.rename(one, between)
    os.rename(other, one)
    os.rename(between, other)
    found = [
        problem.partition(" Expected")[0].rpartition(" ")[0] for problem in store.verify(pushed, "shelf")
    ]
    assert found == [f"edge/shelf/{version}/manifest.json: found sha256" for version in (1, 3)]


def truncate_an_older_manifest_and_spoil_its_files(root: Path) -> None:
    os.truncate(root / OLDER / "manifest.json", 10)
    (root / OLDER / "labels.txt").write_text("damaged\nok\n")


def add_a_version(root: Path) -> None:
    shutil.copytree(root / BUNDLE, root / "edge/shelf/4")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            edit(f"{OLDER}/manifest.json", lambda raw: raw.replace(b"0.94", b"0.99")),
            f"{OLDER}/manifest.json: found sha256",
        ),
        (truncate_an_older_manifest_and_spoil_its_files, f"{OLDER}/manifest.json: found sha256"),
        (remove(OLDER), f"{OLDER}/manifest.json: found no file"),
        (remove(OLDER, "serving/shelf/1"), f"{OLDER}/manifest.json: found no file"),
        (remove(HISTORY), f"{HISTORY}: it has no changes. Expected change 3"),
        (
            edit(HISTORY, lambda raw: b"".join(raw.splitlines(keepends=True)[:-1])),
            f"{HISTORY}: change 3 is missing; the next push",
        ),
        (edit(HISTORY, lambda raw: raw[:-1]), f"{HISTORY}: its last line is incomplete"),
        (
            edit(HISTORY, lambda raw: raw.replace(b"run 2026", b"run 2025", 1)),
            f"{HISTORY}: line 2 does not follow the line before it",
        ),
        (
            edit(POINTER, lambda raw: raw.replace(b"run 2026", b"run 2025", 1)),
            f"{HISTORY}: its last line differs from the change",
        ),
        (add_a_version, "edge/shelf/4: history.jsonl has no line for this push"),
        (add("serving/shelf/saved_model.pb"), "serving/shelf/saved_model.pb: is not part of a release"),
        (
            edit(PINS, lambda raw: raw.replace(b"/models/shelf", b"/models/shelg")),
            f"{PINS}: was changed after it was written",
        ),
    ],
)
def test_damage_behind_production_is_found_and_named(pushed, damage, message):
    damage(pushed)
    assert store.verify(pushed, "shelf")[0].startswith(message)


def test_a_model_that_was_never_pushed_cannot_be_verified_and_what_is_there_is_named(base, tmp_path):
    with pytest.raises(UsageError, match=r"no model 'shelv'.* It has: shelf"):
        store.verify(base, "shelv")
    with pytest.raises(UsageError, match="It has no models"):
        store.verify(tmp_path / "elsewhere", "shelf")
