import numpy as np

from edgeline.records.photo_features import CELLS, SIZE, STAGES, pack, unpack


def test_what_was_seen_comes_back_within_a_thirtieth_of_its_range():
    rng = np.random.default_rng(0)
    photos = rng.normal(0, 1, (3, CELLS, sum(STAGES))).astype(np.float32) * rng.uniform(0, 9, sum(STAGES))
    photos[0, :, 5] = 1.5  # the same everywhere
    packed = [pack(photo.astype(np.float32)) for photo in photos]
    assert {len(photo) for photo in packed} == {SIZE}
    apart = np.abs(unpack(packed) - photos)
    assert (apart <= np.ptp(photos, axis=1, keepdims=True) / 30 + 0.01).all()
    assert (apart[0, :, 5] < 1e-2).all()
