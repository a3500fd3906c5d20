import numpy as np

from components.ingest import near_twins
from components.ingest.example_shards import Look
from edgeline.records.ingest import Twin, Twins


def make_looks(split: str, label: str, seeds: range) -> list[Look]:
    """Makes a look for each seed; no two of them are alike."""
    contents = (np.random.default_rng(seed).integers(0, 255, 256, np.uint8).tobytes() for seed in seeds)
    return [Look(f"{split}/{seed}", label, split, look) for seed, look in zip(seeds, contents, strict=True)]


SHARDS = [
    make_looks("train", "ok", range(40)) + make_looks("eval", "ok", range(30, 34)),
    make_looks("train", "ok", range(100, 140)) + make_looks("eval", "ok", range(138, 144)),
    make_looks("train", "torn", range(200, 210)) + make_looks("eval", "torn", range(0, 5)),
]


def test_twins_are_found_within_a_label_across_all_shards():
    in_both = [*range(30, 34), 138, 139]
    twins = sorted((Twin(f"eval/{n}", f"train/{n}") for n in in_both), key=lambda twin: twin.example_id)
    assert near_twins.find_twins(lambda: SHARDS) == Twins(15, tuple(twins), 15)


def test_a_large_train_split_is_compared_in_parts_with_the_same_result(monkeypatch):
    whole = near_twins.find_twins(lambda: SHARDS)
    monkeypatch.setattr(near_twins, "_AT_ONCE", 20)
    assert near_twins.find_twins(lambda: SHARDS) == whole


def test_a_sample_of_many_eval_photos_is_compared_and_called_a_sample(monkeypatch):
    monkeypatch.setattr(near_twins, "_MOST_QUERIES", 5)
    twins = near_twins.find_twins(lambda: SHARDS)
    assert (twins.compared, twins.there, twins.sample) == (10, 15, " (a sample of 15)")
    assert {twin.example_id for twin in twins.found} == {"eval/138", *(f"eval/{n}" for n in range(30, 34))}
    assert near_twins.find_twins(lambda: [[]]) is None
