import pytest

from edgeline.release import store
from edgeline.release.layout import PushFolder
from edgeline.release.pins import read_pins, render_pins


def test_each_model_is_pinned_to_its_version_in_production_also_beside_one_with_a_damaged_pointer(
    copy, candidate
):
    store.rollback(copy, "shelf", "drill")
    assert read_pins(PushFolder(copy)) == {"shelf": (2,)}
    (copy / "edge/shelf/current.json").write_text("{")
    store.push(copy, "sentiment", candidate)
    assert read_pins(PushFolder(copy)) == {"sentiment": (1,), "shelf": (2,)}


def test_while_a_canary_is_open_both_versions_are_pinned_and_have_a_label(copy):
    before = PushFolder(copy).pins.read_bytes()
    store.rollback(copy, "shelf", "drill")
    store.rollout(copy, "shelf", 3, 10, "drill")
    assert read_pins(PushFolder(copy)) == {"shelf": (2, 3)}
    PushFolder(copy).pins.write_bytes(before)
    (problem,) = store.verify(copy, "shelf")
    assert "found version 3. Expected version 2 and 3, as in current.json" in problem
    store.promote(copy, "shelf", 3, "drill")
    assert PushFolder(copy).pins.read_bytes() == before


def test_a_pin_changed_by_hand_is_fixed_by_the_next_writer(copy):
    PushFolder(copy).pins.write_bytes(render_pins({"shelf": (7, 8), "ghost": (1,)}))
    store.repair(copy)
    assert read_pins(PushFolder(copy)) == {"shelf": (3,)}
    assert store.verify(copy, "shelf") == []


def test_tf_serving_itself_would_read_the_same_pins():
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    parsed = text_format.Parse(render_pins({"shelf": (3, 4), "sentiment": (12,)}), config.ModelServerConfig())
    pins = {c.name: list(c.model_version_policy.specific.versions) for c in parsed.model_config_list.config}
    assert pins == {"shelf": [3, 4], "sentiment": [12]}
    assert {c.base_path for c in parsed.model_config_list.config} == {"/models/shelf", "/models/sentiment"}
    labels = {c.name: dict(c.version_labels) for c in parsed.model_config_list.config}
    assert labels == {"shelf": {"stable": 3, "canary": 4}, "sentiment": {}}
