import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeline.release import store

BUNDLE, OLDER, SAVED = "edge/shelf/3", "edge/shelf/1", "serving/shelf/3"
POINTER, HISTORY, PINS = "edge/shelf/current.json", "edge/shelf/history.jsonl", "serving/models.config"


def edit(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def replace(*change: bytes) -> Callable[[Path], object]:
    return edit(lambda raw: raw.replace(*change, 1))


def add(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"never validated")


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def link_a_file(path: Path) -> None:
    moved = path.rename(path.parents[4] / "moved")
    path.symlink_to(moved)


def make_a_folder_of_a_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "damage", "found"),
    [
        (f"{BUNDLE}/model_fp16.tflite", edit(lambda raw: raw[:-1] + b"!"), "found sha256"),
        (f"{SAVED}/variables/variables.index", edit(lambda raw: raw[:9]), "found 9 bytes. Expected 2,000."),
        (f"{BUNDLE}/model_fp32.tflite", add, "is not in the manifest."),
        (f"{SAVED}/assets.extra/x", add, "is not in the manifest."),
        (f"{SAVED}/saved_model.pb", Path.unlink, "found no file."),
        (f"{BUNDLE}/manifest.json", replace(b"0.94", b"0.99"), "found sha256"),
        (f"{BUNDLE}/labels.txt", link_a_file, "found something other than a file."),
        (f"{BUNDLE}/labels.txt", make_a_folder_of_a_file, "found something other than a file."),
        (PINS, replace(b"versions: 3", b"versions: 1"), "found version 1. Expected version 3"),
        (PINS, Path.unlink, "found no pin. Expected version 3"),
        (POINTER, replace(b'"version": 3', b'"version": 1'), "found version 1. Expected version 3"),
        (POINTER, edit(lambda raw: raw[:-9]), "found invalid content"),
        (POINTER, edit(lambda raw: raw + b"\n"), "was changed after it was written."),
        (POINTER, Path.unlink, "missing"),
        (f"{BUNDLE}/manifest.json", remove_folder, "found no file."),
        (HISTORY, edit(lambda raw: b"nobody did anything\n" + raw), "line 1 cannot be read."),
    ],
)
def test_damage_is_found_and_named(copy, name, damage, found):
    damage(copy / name)
    (problem,) = store.verify(copy, "shelf")
    assert problem.startswith(f"{name}: {found}")


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_releases_that_changed_places_are_both_found(copy, name):
    one, other, between = copy / OLDER / name, copy / BUNDLE / name, copy / "between"
    os.rename(one, between)
    os.rename(other, one)
    os.rename(between, other)
    first, second = store.verify(copy, "shelf")
    assert first.startswith(f"{OLDER}/manifest.json: found sha256")
    assert second.startswith(f"{BUNDLE}/manifest.json: found sha256")


def truncate_an_older_manifest_and_spoil_its_files(path: Path) -> None:
    os.truncate(path, 10)
    path.with_name("labels.txt").write_text("damaged\nok\n")


def remove_both_folders(path: Path) -> None:
    remove_folder(path)
    shutil.rmtree(path.parents[3] / "serving/shelf/1")


@pytest.mark.parametrize(
    ("name", "damage", "found"),
    [
        (f"{OLDER}/manifest.json", replace(b"0.94", b"0.99"), "found sha256"),
        (f"{OLDER}/manifest.json", truncate_an_older_manifest_and_spoil_its_files, "found sha256"),
        (f"{OLDER}/manifest.json", remove_folder, "found no file"),
        (f"{OLDER}/manifest.json", remove_both_folders, "found no file"),
        (HISTORY, Path.unlink, "it has no changes. Expected change 3"),
        (HISTORY, edit(lambda raw: raw[: raw[:-1].rfind(b"\n") + 1]), "change 3 is missing; the next push"),
        (HISTORY, edit(lambda raw: raw[:-1]), "its last line is incomplete"),
        (HISTORY, replace(b"run 2026", b"run 2025"), "line 2 does not follow the line before it"),
        (POINTER, replace(b"run 2026", b"run 2025"), "its last line differs from the change"),
        ("edge/shelf/4", lambda path: shutil.copytree(path.with_name("3"), path), "history.jsonl has no"),
        ("serving/shelf/saved_model.pb", add, "is not part of a release"),
        ("serving/shelf.bak", add, "is of no model"),
        ("edge/shelf.bak", add, "is of no model"),
        ("notes.txt", add, "is not part of a store"),
        (PINS, replace(b"/models/shelf", b"/models/shelg"), "was changed after it was written"),
    ],
)
def test_damage_behind_production_is_found_and_named(copy, name, damage, found):
    damage(copy / name)
    place = HISTORY if name == POINTER else name  # where the log differs from the pointer
    assert store.verify(copy, "shelf")[0].startswith(f"{place}: {found}")
