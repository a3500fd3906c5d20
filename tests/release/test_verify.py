import json
import os
import shutil
from pathlib import Path

import pytest

from release import store
from tests.release.candidates import make_candidate


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
        (truncate, "serving/shelf/2/variables/variables.index: found 10 bytes. Expected 2000."),
        (add_a_file, "edge/shelf/2/model_fp32.tflite: is not in the manifest."),
        (add_to_the_saved_model, "serving/shelf/2/assets.extra/x: is not in the manifest."),
        (remove_the_graph, "serving/shelf/2/saved_model.pb: found nothing."),
        (swap_manifests, "edge/shelf/2/manifest.json: found sha256"),
        (swap_bundles, "edge/shelf/2/manifest.json: found sha256"),
        (improve_the_metrics, "edge/shelf/2/manifest.json: found sha256"),
        (link_a_file, "edge/shelf/2/labels.txt: found something else than a file."),
        (pin_the_old_one, "serving/models.config: found version 1. Expected version 2"),
        (remove_the_pins, "serving/models.config: found no pin. Expected version 2"),
        (point_elsewhere, "edge/shelf/current.json: found version 1. Expected version 2"),
        (remove_the_pointer, "edge/shelf/current.json: missing"),
        (remove_the_release, "edge/shelf/2/manifest.json: found no file."),
        (garble_the_history, "edge/shelf/history.jsonl: line 1 cannot be read."),
    ],
)
def test_damage_is_found_and_named(root, tmp_path, damage, message):
    for content in ("one", "two"):
        store.push(root, "shelf", make_candidate(tmp_path / content, content))
    assert store.verify(root, "shelf") == []
    damage(root)
    problems = store.verify(root, "shelf")
    assert len(problems) == 1 and problems[0].startswith(message)


def test_an_older_release_is_checked_against_the_digest_with_which_it_went_into_production(root, tmp_path):
    for content in ("one", "two"):
        store.push(root, "shelf", make_candidate(tmp_path / content, content))
    assert store.verify(root, "shelf", 1) == []
    path = root / "edge/shelf/1/manifest.json"
    path.write_text(path.read_text().replace("0.94", "0.99"))
    assert store.verify(root, "shelf", 1)[0].startswith("edge/shelf/1/manifest.json: found sha256")
    assert store.verify(root, "shelf") == []
