import pytest

from edgeline.release import store
from edgeline.release.layout import PushFolder
from edgeline.release.pins import read_pins, render_pins


def test_each_model_is_pinned_to_the_version_in_production(root, candidate):
    store.push(root, "shelf", candidate)
    store.push(root, "shelf", candidate)
    store.push(root, "sentiment", candidate)
    assert read_pins(PushFolder(root)) == {"sentiment": (1,), "shelf": (2,)}
    store.rollback(root, "shelf", "drill")
    assert read_pins(PushFolder(root)) == {"sentiment": (1,), "shelf": (1,)}


def test_while_a_canary_is_open_both_versions_are_pinned_and_have_a_label(root, candidate):
    for _ in range(2):
        store.push(root, "shelf", candidate)
    before = PushFolder(root).pins.read_bytes()
    store.rollback(root, "shelf", "drill")
    store.rollout(root, "shelf", 2, 10, "drill")
    assert read_pins(PushFolder(root)) == {"shelf": (1, 2)}
    PushFolder(root).pins.write_bytes(before)
    (problem,) = store.verify(root, "shelf")
    assert "found version 2. Expected version 1 and 2, as in current.json" in problem
    store.promote(root, "shelf", 2, "drill")
    assert PushFolder(root).pins.read_bytes() == before


def test_a_damaged_pointer_of_one_model_leaves_its_pin_and_stops_no_other_model(root, candidate):
    for _ in range(2):
        store.push(root, "shelf", candidate)
    (root / "edge/shelf/current.json").write_text("{")
    store.push(root, "sentiment", candidate)
    assert read_pins(PushFolder(root)) == {"sentiment": (1,), "shelf": (2,)}


def test_a_pin_changed_by_hand_is_fixed_by_the_next_writer(root, candidate):
    store.push(root, "shelf", candidate)
    PushFolder(root).pins.write_bytes(render_pins({"shelf": (7, 8), "ghost": (1,)}))
    store.repair(root)
    assert read_pins(PushFolder(root)) == {"shelf": (1,)}
    assert store.verify(root, "shelf") == []


def test_tf_serving_itself_would_read_the_same_pins():
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    parsed = text_format.Parse(render_pins({"shelf": (3, 4), "sentiment": (12,)}), config.ModelServerConfig())
    found = {c.name: list(c.model_version_policy.specific.versions) for c in parsed.model_config_list.config}
    assert found == {"shelf": [3, 4], "sentiment": [12]}
    assert {c.base_path for c in parsed.model_config_list.config} == {"/models/shelf", "/models/sentiment"}
    labels = {c.name: dict(c.version_labels) for c in parsed.model_config_list.config}
    assert labels == {"shelf": {"stable": 3, "canary": 4}, "sentiment": {}}
