"""Randomly damaged settings and workloads: each gives a value or a UsageError."""

import json
import random
from pathlib import Path

import pytest
import yaml

from edgeline.errors import UsageError
from pipeline.settings import load_settings
from pipeline.workloads import find_workload, with_features
from tests.fuzz import ROUNDS, SEED, damage_text, damage_value

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
SHELF = with_features(find_workload("shelf"))
SCHEMA = 'feature { name: "label" domain: "l" } string_domain { name: "l" value: "a" value: "b" }'
WORKLOAD = """\
name: "bottles"
schema: schema.pbtxt
module: trainer_module.workloads.photos
settings:
  evaluation:
    bounds:
      - {slice: overall, metric: accuracy, max_drop: 0.02, min_support: 50}
"""
PROFILE = """\
seed: 7
data: {window: 8, max_megapixels: 1e3}
gate: {severity: {drift: off}}
model: {weights: ~, image_size: 64}
trainer:
  learning_rate: 0.001
  class_weights: {"a": 2.0, b: 1}
edge:
  variants: [fp16, int8]
beam: {flags: [--runner=FlinkRunner]}
push: {destination: s3://bucket/push}
"""
TOKENS = (
    *("!!int ", "!!float ", "!!binary ", "!!set ", "!!timestamp ", "!x ", "&a ", "*a", "<<: ", "? ", "- "),
    *(": ", ", ", "{", "}", "[", "]", '"', "'", "|\n", ">\n", "%YAML 1.2\n", "---\n", "...\n", "#", "\n"),
    *("\t", "\r", "  ", "\0", "\x1b", "\x85", "\u2028", "\ufeff", "\ud800", r'"\ud800"', r'"\0"', "é"),
    *(r'"\UFFFFFFFF"', "~", "~nobody/", "9", "1e999", ".nan", "-.inf", "0x1F", "0o7", "1_000", "null"),
    *("true", "2026-10-05", "kubeflow", "trainer", "a."),
)  # fmt: skip


@pytest.mark.parametrize("kind", ["profile", "workload", "override"])
def test_damaged_text_gives_a_value_or_a_usage_error(tmp_path, kind):
    chance, path = random.Random(SEED), tmp_path / "settings.yaml"
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    platform = (ROOT / "deploy" / "kubeflow" / "settings.example.yaml").read_text().replace("  #   ", "  ")
    texts = {"profile": (PROFILE, platform), "workload": (WORKLOAD,), "override": ("edge=[1, 2]",)}[kind]
    values = [yaml.safe_load(text if kind != "override" else "{a: 1, b: [c]}") for text in texts]
    for _ in range(ROUNDS):
        if chance.random() < 0.5:
            damaged = damage_text(chance, chance.choice(texts), TOKENS)
        else:  # JSON is valid YAML.
            damaged = json.dumps(damage_value(chance, chance.choice(values)))
            damaged = f"edge={damaged}" if kind == "override" else damaged
        path.write_bytes(damaged.encode(errors=chance.choice(["surrogatepass", "replace"])))
        try:
            if kind == "workload":
                workload = find_workload(str(path))
                load_settings(workload.settings, workload=with_features(workload))
            elif kind == "profile":
                load_settings({}, str(path), workload=SHELF)
            else:
                load_settings({}, overrides=[damaged], workload=SHELF)
        except UsageError as error:
            assert error.exit_code == 2 and len(str(error)) < 100_000
