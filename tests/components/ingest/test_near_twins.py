import numpy as np

from components.ingest import near_twins
from components.ingest.example_shards import Look
from edgeline.records.ingest import Twin, Twins


def looks(split: str, label: str, seeds: range) -> list[Look]:
    """Returns photos of one object for one seed; no two of these are alike."""
    drawn = (np.random.default_rng(seed).integers(0, 255, 256, np.uint8).tobytes() for seed in seeds)
    return [Look(f"{split}/{seed}", label, split, look) for seed, look in zip(seeds, drawn, strict=True)]


SHARDS = [
    looks("train", "ok", range(40)) + looks("eval", "ok", range(30, 34)),
    looks("train", "ok", range(100, 140)) + looks("eval", "ok", range(138, 144)),
    looks("train", "torn", range(200, 210)) + looks("eval", "torn", range(0, 5)),
]


def test_twins_are_found_within_a_label_across_all_shards():
    there = [*range(30, 34), 138, 139]
    found = sorted((Twin(f"eval/{n}", f"train/{n}") for n in there), key=lambda twin: twin.example_id)
    assert near_twins.find_twins(lambda: SHARDS) == Twins(15, tuple(found), 15)


def test_a_large_train_split_is_compared_in_parts_with_the_same_result(monkeypatch):
    whole = near_twins.find_twins(lambda: SHARDS)
    monkeypatch.setattr(near_twins, "_AT_ONCE", 20)
    assert near_twins.find_twins(lambda: SHARDS) == whole


def test_of_many_eval_photos_a_sample_is_compared_which_is_said(monkeypatch):
    monkeypatch.setattr(near_twins, "_MOST_QUERIES", 5)
    found = near_twins.find_twins(lambda: SHARDS)
    assert (found.compared, found.there, found.sample) == (10, 15, " (a sample of 15)")
    assert {twin.example_id for twin in found.found} == {"eval/138", *(f"eval/{n}" for n in range(30, 34))}
    assert near_twins.find_twins(lambda: [[]]) is None
