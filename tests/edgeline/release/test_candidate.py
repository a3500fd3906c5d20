from pathlib import Path

import pytest
from msgspec import to_builtins

from edgeline.errors import EdgelineError
from edgeline.release import store
from tests.edgeline.release.candidates import make_candidate, released_file, snapshot

NOWHERE = Path("nowhere")
WITHOUT_OPS = to_builtins(released_file("fp16", "model_fp16.tflite"))
del WITHOUT_OPS["ops"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"saved_model": NOWHERE}, "no saved_model.pb"),
        ({"edge_files": {"../up.tflite": NOWHERE}}, "file name in the bundle '../up.tflite' is not allowed"),
        ({"edge_files": {"manifest.json": NOWHERE}}, "writes that file itself"),
        ({"edge_files": {"model_fp16.tflite": NOWHERE}}, "which is not a file"),
        ({"labels": ()}, "has no labels"),
        ({"labels": ("ok", "ok")}, "'ok': it occurs 2 times"),
        ({"expires_days": 0}, "expires_days is 0"),
        ({"default_variant": "int4"}, "default_variant 'int4'"),
        ({"variants": (WITHOUT_OPS,)}, "missing required field `ops`"),
        ({"variants": (released_file("fp16", "x.tflite"),)}, "file 'x.tflite'"),
        ({"metrics": {"accuracy": float("nan")}}, "cannot be written as JSON"),
    ],
)
def test_a_candidate_that_cannot_be_released_is_refused_and_leaves_nothing(copy, tmp_path, changes, message):
    before = snapshot(copy)
    with pytest.raises(EdgelineError, match=message):
        store.push(copy, "shelf", make_candidate(tmp_path / "new", "new", **changes))
    assert snapshot(copy) == before


@pytest.mark.parametrize("name", ["", "..", "a/b", "models.config", "é", "a" * 101])
def test_a_model_name_that_is_no_plain_folder_name_is_refused(root, candidate, name):
    with pytest.raises(EdgelineError, match=r"model name .* is not allowed"):
        store.push(root, name, candidate)
    assert not root.exists()
