import json

import pytest

from edgeline.records.edge import EDGE_FILES, EdgeFiles, Variant
from tests.edgeline.records.samples import MEASURED

FILES = EdgeFiles("fp16", 40, (Variant("fp16", "model_fp16.tflite", measured=MEASURED),))


def written():
    return json.loads(EDGE_FILES.to_bytes(FILES))


def test_a_file_with_facts_that_are_measured_no_more_is_read(tmp_path):
    old = written()
    measured = old["variants"][0]["measured"]
    measured["latency"] |= {"p10_ms": 0.4, "threads": 1}
    measured["machine"]["cores"] = 2
    measured |= {"mean_difference": 1e-4, "variant": "fp16"}
    measured["groups"]["lane"]["lane-01"]["reference_accuracy"] = 0.8
    (tmp_path / EDGE_FILES.name).write_text(json.dumps(old))
    assert EDGE_FILES.read(tmp_path) == FILES


def test_the_count_of_examples_keeps_the_name_that_manifests_always_had():
    assert written()["variants"][0]["measured"]["photos"] == 40


def test_a_number_that_none_of_ours_is_is_told(tmp_path):
    for broken in (1e300, float("nan")):
        content = written()
        content["variants"][0]["measured"]["agreement"] = broken
        (tmp_path / EDGE_FILES.name).write_text(json.dumps(content))
        with pytest.raises(ValueError):
            EDGE_FILES.read(tmp_path)
