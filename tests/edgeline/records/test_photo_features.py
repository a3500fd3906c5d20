import numpy as np

from edgeline.records.photo_features import CELLS, SIZE, STAGES, pack, unpack


def test_features_are_unpacked_within_a_thirtieth_of_their_range():
    rng = np.random.default_rng(0)
    photos = rng.normal(0, 1, (3, CELLS, sum(STAGES))).astype(np.float32) * rng.uniform(0, 9, sum(STAGES))
    photos[0, :, 5] = 1.5  # the same everywhere
    packed = [pack(photo.astype(np.float32)) for photo in photos]
    assert {len(photo) for photo in packed} == {SIZE}
    errors = np.abs(unpack(packed) - photos)
    assert (errors <= np.ptp(photos, axis=1, keepdims=True) / 30 + 0.01).all()
    assert (errors[0, :, 5] < 1e-2).all()
