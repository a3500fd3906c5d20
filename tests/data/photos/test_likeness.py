import numpy as np
import pytest
from PIL import Image

from data.photos.checks import check_photo
from data.photos.likeness import find_alike, stack_looks
from data.photos.thumbnails import read_look
from data.settings import DataSettings
from tests.data.sample_photos import encode, exposures, phone_exif, pixels


def groups_of(looks, **more):
    """The members of each group of several."""
    found = find_alike(looks, len(looks), **more).groups
    return [list(np.flatnonzero(found == group)) for group in np.unique(found) if (found == group).sum() > 1]


def looks_of(photos):
    return stack_looks([read_look(photo, DataSettings())[0] for photo in photos])


def on_a_belt(number, grain):
    """Something small on a belt below a camera that stands, as grey levels."""
    rng = np.random.default_rng(7)
    scene = rng.integers(30, 220, (16, 16))
    rng = np.random.default_rng(number)
    y, x = rng.integers(0, 12, 2)
    scene[y : y + 4, x : x + 4] = rng.integers(0, 255, (4, 4))
    return (scene + np.random.default_rng((number, grain)).integers(-2, 3, (16, 16))).clip(0, 255).ravel()


def test_exposures_of_a_scene_are_one_group_and_other_scenes_are_not_in_it():
    photos = [photo for seed in range(12) for photo in exposures(6, seed)]
    assert groups_of(looks_of(photos)) == [list(range(6 * n, 6 * n + 6)) for n in range(12)]


def in_16_bits(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def drawn_in_black(image):
    """A transparent photo with nothing but black in it."""
    drawn = Image.new("RGBA", image.size)
    drawn.putalpha(image.convert("L"))
    return drawn


@pytest.mark.parametrize(
    "photo",
    [
        encode(pixels(640, 480, 3), exif=phone_exif(orientation=6)),
        encode(in_16_bits(pixels(640, 480, 3)), "PNG"),
        encode(in_16_bits(pixels(640, 480, 3)), "TIFF"),
        encode(drawn_in_black(pixels(640, 480, 3)), "PNG"),
    ],
    ids=["sideways", "16 bits", "TIFF", "transparent"],
)
def test_what_ingest_and_import_see_in_a_photo_is_the_same(photo):
    both = stack_looks([read_look(photo, DataSettings())[0], check_photo(photo, DataSettings()).look])
    assert both.std(1).min() > 20
    assert np.corrcoef(both.astype(float))[0, 1] > 0.99


def test_a_scene_that_is_in_every_photo_tells_nothing_and_what_changes_in_it_does():
    looks = np.stack([on_a_belt(number, grain) for number in range(40) for grain in range(3)])
    assert groups_of(looks.astype(np.uint8)) == [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(40)]


def test_two_cameras_that_stand_are_told_apart_first():
    belts = np.stack([on_a_belt(number, grain) for number in range(20) for grain in range(3)])
    looks = np.concatenate([belts, 255 - belts[:, ::-1]])
    assert len(groups_of(looks.astype(np.uint8))) == 40


def test_a_chain_does_not_join_all_that_it_reaches():
    first, last = (pixels(16, 16, seed).convert("L") for seed in (1, 2))
    looks = looks_of([encode(Image.blend(first, last, step / 299), "PNG") for step in range(300)])
    neighbours = np.stack([np.arange(299), np.arange(1, 300)], axis=1)
    assert max(map(len, groups_of(looks, neighbours=neighbours)), default=0) <= 30


def test_photos_that_nothing_tells_apart_stay_apart_where_there_are_many():
    looks = np.random.default_rng(0).integers(0, 4, (500, 256)) + pixels(16, 16).convert("L").tobytes()[0]
    assert groups_of(looks.astype(np.uint8)) == []
    assert groups_of(np.repeat(looks[:1], 500, axis=0).astype(np.uint8)) == []


def test_a_lens_cap_is_like_nothing():
    dark = np.random.default_rng(0).integers(0, 2, (1, 256)).repeat(6, axis=0)
    assert groups_of(dark.astype(np.uint8)) == []


@pytest.mark.filterwarnings("error")
def test_photos_that_show_nothing_do_not_hide_which_others_are_alike():
    flat = np.full((40, 256), 9, np.uint8)
    assert groups_of(flat) == []
    assert groups_of(np.concatenate([flat, looks_of(exposures(2))])) == [[40, 41]]


@pytest.mark.parametrize("asked", [1, 5])
def test_the_nearest_of_the_others_is_named(asked):
    scenes = [exposures(2, seed) for seed in range(8)]
    looks = looks_of([pair[0] for pair in scenes[:asked]] + [pair[1] for pair in reversed(scenes)])
    assert list(find_alike(looks, asked).twins) == [asked + 7 - n for n in range(asked)]
    assert list(find_alike(looks_of([scenes[0][0], scenes[1][0]]), 1).twins) == [-1]
