import numpy as np

from data.photos.likeness import SIDE
from data.photos.same_object import find_same


def photos(objects, each, apart, kinds=1, size=64, seed=0):
    """Makes random looks, and features; those of one object are about `apart` from each other."""
    rng = np.random.default_rng(seed)
    kind = rng.normal(0, 3, (kinds, size))[rng.integers(0, kinds, objects)]
    centres = kind + rng.normal(0, 1, (objects, size))
    features = np.repeat(centres, each, 0) + rng.normal(0, apart, (objects * each, size))
    looks = rng.integers(0, 255, (len(features), SIDE * SIDE), np.uint8)
    return looks, features.astype(np.float32)


def list_groups(groups):
    return sorted(list(np.flatnonzero(groups == group)) for group in np.unique(groups))


def test_photos_of_one_object_are_one_group_also_where_kinds_of_objects_are_alike():
    looks, features = photos(60, 4, 0.25, kinds=4)
    groups = find_same(looks, features, len(looks)).groups
    assert list_groups(groups) == [list(range(4 * n, 4 * n + 4)) for n in range(60)]


def test_few_photos_of_one_distribution_are_joined():
    looks, features = photos(400, 1, 0.0, kinds=5)
    features[:, 0] *= 40  # the feature that varies most tells nothing
    assert len(list_groups(find_same(looks, features, len(looks)).groups)) >= 390


def test_neighbours_need_less_evidence():
    looks, features = photos(60, 4, 0.8)
    pairs = np.array([(n, n + 1) for n in range(239)])
    alone = find_same(looks, features, len(looks)).groups
    numbered = find_same(looks, features, len(looks), pairs).groups
    whole = [list(range(4 * n, 4 * n + 4)) for n in range(60)]
    complete = [sum(group in whole for group in list_groups(groups)) for groups in (alone, numbered)]
    assert complete[0] + 20 < complete[1]
    assert all(len({n // 4 for n in group}) == 1 for group in list_groups(numbered))


def test_a_chain_does_not_join_its_ends():
    looks, features = photos(100, 1, 0.0)
    steps = np.linspace(0, np.pi / 2, 30)[:, None]
    chain = np.cos(steps) * features[:1] + np.sin(steps) * features[1:2]
    looks = np.concatenate([looks, np.random.default_rng(1).integers(0, 255, (30, 256), np.uint8)])
    groups = find_same(looks, np.concatenate([features, chain.astype(np.float32)]), len(looks)).groups
    assert groups[100] != groups[129] and max(map(len, list_groups(groups))) <= 20


def test_one_background_behind_two_objects_joins_nothing():
    looks, features = photos(60, 1, 0.0)
    looks[30:] = looks[:30]
    assert len(list_groups(find_same(looks, features, len(looks)).groups)) >= 57
    assert len(list_groups(find_same(looks, np.empty((60, 0), np.float32), len(looks)).groups)) == 30


def test_the_twin_of_a_photo_is_named_and_few_photos_go_by_their_looks():
    looks, features = photos(60, 2, 0.25)
    order = [*range(0, 40, 2), *range(1, 120, 2)]  # 20 photos to look up, and 60 with their twins among them
    assert list(find_same(looks[order], features[order], 20).twins) == list(range(20, 40))
    assert list(find_same(looks[order[:24]], features[order[:24]], 20).twins) == [-1] * 20
