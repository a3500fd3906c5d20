import json
import os
import shutil
from pathlib import Path

import pytest

from edgeline.errors import UsageError
from edgeline.release import store
from tests.edgeline.release.candidates import make_candidate
from tests.edgeline.release.mutate import mutate


def push_two(root: Path, tmp_path: Path) -> None:
    for content in ("one", "two"):
        store.push(root, "shelf", make_candidate(tmp_path / content, content))
    assert store.verify(root, "shelf") == []


def flip_a_byte(root: Path) -> None:
    path = root / "edge/shelf/2/model_fp16.tflite"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def truncate(root: Path) -> None:
    os.truncate(root / "serving/shelf/2/variables/variables.index", 10)


def add_a_file(root: Path) -> None:
    (root / "edge/shelf/2/model_fp32.tflite").write_bytes(b"never validated")


def add_to_the_saved_model(root: Path) -> None:
    (root / "serving/shelf/2/assets.extra").mkdir()
    (root / "serving/shelf/2/assets.extra/x").write_bytes(b"x")


def remove_the_graph(root: Path) -> None:
    (root / "serving/shelf/2/saved_model.pb").unlink()


def swap_manifests(root: Path) -> None:
    one, two = (root / f"edge/shelf/{version}/manifest.json" for version in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def swap_bundles(root: Path) -> None:
    os.rename(root / "edge/shelf/1", root / "edge/shelf/x")
    os.rename(root / "edge/shelf/2", root / "edge/shelf/1")
    os.rename(root / "edge/shelf/x", root / "edge/shelf/2")


def improve_the_metrics(root: Path) -> None:
    path = root / "edge/shelf/2/manifest.json"
    path.write_text(path.read_text().replace("0.94", "0.99"))


def link_a_file(root: Path) -> None:
    path = root / "edge/shelf/2/labels.txt"
    os.rename(path, root / "labels.txt")
    path.symlink_to(root / "labels.txt")


def pin_the_old_one(root: Path) -> None:
    path = root / "serving/models.config"
    path.write_text(path.read_text().replace("versions: 2", "versions: 1"))


def remove_the_pins(root: Path) -> None:
    (root / "serving/models.config").unlink()


def point_elsewhere(root: Path) -> None:
    path = root / "edge/shelf/current.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))


def remove_the_pointer(root: Path) -> None:
    (root / "edge/shelf/current.json").unlink()


def remove_the_release(root: Path) -> None:
    shutil.rmtree(root / "edge/shelf/2")


def garble_the_history(root: Path) -> None:
    path = root / "edge/shelf/history.jsonl"
    path.write_text("nobody did anything\n" + path.read_text())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, "edge/shelf/2/model_fp16.tflite: found sha256"),
        (truncate, "serving/shelf/2/variables/variables.index: found 10 bytes. Expected 2,000."),
        (add_a_file, "edge/shelf/2/model_fp32.tflite: is not in the manifest."),
        (add_to_the_saved_model, "serving/shelf/2/assets.extra/x: is not in the manifest."),
        (remove_the_graph, "serving/shelf/2/saved_model.pb: found no file."),
        (improve_the_metrics, "edge/shelf/2/manifest.json: found sha256"),
        (link_a_file, "edge/shelf/2/labels.txt: found something other than a file."),
        (pin_the_old_one, "serving/models.config: found version 1. Expected version 2"),
        (remove_the_pins, "serving/models.config: found no pin. Expected version 2"),
        (point_elsewhere, "edge/shelf/current.json: found version 1. Expected version 2"),
        (remove_the_pointer, "edge/shelf/current.json: missing"),
        (remove_the_release, "edge/shelf/2/manifest.json: found no file."),
        (garble_the_history, "edge/shelf/history.jsonl: line 1 cannot be read."),
    ],
)
def test_damage_is_found_and_named(root, tmp_path, damage, message):
    push_two(root, tmp_path)
    damage(root)
    problems = store.verify(root, "shelf")
    assert len(problems) == 1 and problems[0].startswith(message)


@pytest.mark.parametrize("swap", [swap_manifests, swap_bundles])
def test_releases_that_changed_places_are_both_found(root, tmp_path, swap):
    push_two(root, tmp_path)
    swap(root)
    found = [problem.partition(" Expected")[0].rpartition(" ")[0] for problem in store.verify(root, "shelf")]
    assert found == [f"edge/shelf/{version}/manifest.json: found sha256" for version in (1, 2)]


def improve_an_older_release(root: Path) -> None:
    path = root / "edge/shelf/1/manifest.json"
    path.write_text(path.read_text().replace("0.94", "0.99"))


def truncate_an_older_manifest_and_spoil_its_files(root: Path) -> None:
    os.truncate(root / "edge/shelf/1/manifest.json", 10)
    (root / "edge/shelf/1/labels.txt").write_text("damaged\nok\n")


def remove_the_edge_half_of_an_older_release(root: Path) -> None:
    shutil.rmtree(root / "edge/shelf/1")


def remove_an_older_release(root: Path) -> None:
    shutil.rmtree(root / "edge/shelf/1")
    shutil.rmtree(root / "serving/shelf/1")


def remove_the_history(root: Path) -> None:
    (root / "edge/shelf/history.jsonl").unlink()


def remove_the_newest_line(root: Path) -> None:
    path = root / "edge/shelf/history.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def tear_the_newest_line(root: Path) -> None:
    path = root / "edge/shelf/history.jsonl"
    os.truncate(path, path.stat().st_size - 1)


def change_who_did_it(root: Path) -> None:
    path = root / "edge/shelf/history.jsonl"
    path.write_text(path.read_text().replace("run 2026", "run 2025", 1))


def change_the_reason_in_the_pointer(root: Path) -> None:
    path = root / "edge/shelf/current.json"
    path.write_text(path.read_text().replace("run 2026", "run 2025", 1))


def add_a_version(root: Path) -> None:
    shutil.copytree(root / "edge/shelf/2", root / "edge/shelf/3")


def add_beside_the_versions(root: Path) -> None:
    (root / "serving/shelf/saved_model.pb").write_bytes(b"x")


def serve_from_elsewhere(root: Path) -> None:
    path = root / "serving/models.config"
    path.write_text(path.read_text().replace("/models/shelf", "/models/shelg"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (improve_an_older_release, "edge/shelf/1/manifest.json: found sha256"),
        (truncate_an_older_manifest_and_spoil_its_files, "edge/shelf/1/manifest.json: found sha256"),
        (remove_the_edge_half_of_an_older_release, "edge/shelf/1/manifest.json: found no file"),
        (remove_an_older_release, "edge/shelf/1/manifest.json: found no file"),
        (remove_the_history, "edge/shelf/history.jsonl: it has no changes. Expected change 2"),
        (remove_the_newest_line, "edge/shelf/history.jsonl: change 2 is missing; the next push"),
        (tear_the_newest_line, "edge/shelf/history.jsonl: its last line is incomplete"),
        (change_who_did_it, "edge/shelf/history.jsonl: line 2 does not follow the line before it"),
        (change_the_reason_in_the_pointer, "edge/shelf/history.jsonl: its last line differs from the change"),
        (add_a_version, "edge/shelf/3: history.jsonl has no line for this push"),
        (add_beside_the_versions, "serving/shelf/saved_model.pb: is not part of a release"),
        (serve_from_elsewhere, "serving/models.config: was changed after it was written"),
    ],
)
def test_damage_behind_production_is_found_and_named(root, tmp_path, damage, message):
    push_two(root, tmp_path)
    damage(root)
    assert store.verify(root, "shelf")[0].startswith(message)


@pytest.mark.e2e
def test_of_many_mutations_of_a_push_folder_none_is_missed(root):
    root.parent.joinpath("work").mkdir()
    tried, missed = mutate(480, 8, root.parent / "work")
    assert tried.total() == 480 and min(tried.values()) > 10
    assert missed == []


@pytest.mark.parametrize("model", ["shelv", "nothing"])
def test_a_model_that_was_never_pushed_cannot_be_verified_and_what_is_there_is_named(root, tmp_path, model):
    push_two(root, tmp_path)
    with pytest.raises(UsageError, match=f"no model {model!r}.* It has: shelf"):
        store.verify(root, model)
    with pytest.raises(UsageError, match="It has no models"):
        store.verify(root / "elsewhere", "shelf")
