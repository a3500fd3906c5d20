import numpy as np

from data.photos.likeness import SIDE, stack_looks
from data.photos.rare_parts import compute_features
from data.photos.same_object import find_same
from edgeline.records.photo_features import CELLS, STAGES, pack

LOOK = bytes(SIDE * SIDE)


def test_a_small_thing_is_found_before_backgrounds_that_it_shares_with_others():
    rng = np.random.default_rng(0)
    backgrounds, things = rng.normal(0, 2, (2, CELLS, sum(STAGES))), rng.normal(0, 2, (60, sum(STAGES)))
    looks = []
    for photo in range(120):  # each thing is shown once before each background
        cells_shown = rng.choice(backgrounds[photo // 60], CELLS)
        at = rng.integers(CELLS - 4)
        cells_shown[at : at + 4] = things[photo % 60]
        cells = cells_shown + rng.normal(0, 1, cells_shown.shape)
        looks.append(rng.bytes(SIDE * SIDE) + pack(cells.astype(np.float32)))
    twins = find_same(stack_looks(looks), compute_features(looks), 60).twins
    assert (twins == np.arange(60, 120)).sum() >= 55 and set(twins) <= {-1, *range(60, 120)}


def test_photos_have_features_where_the_network_saw_all():
    look = LOOK + pack(np.random.default_rng(0).normal(0, 1, (CELLS, sum(STAGES))).astype(np.float32))
    assert compute_features([look]).shape == (1, 928)
    for other in (LOOK, LOOK + bytes(1856)):
        assert compute_features([look, other]).shape == (2, 0)
        assert stack_looks([look, other]).shape == (2, SIDE * SIDE)
    assert compute_features([]).shape == (0, 0)
