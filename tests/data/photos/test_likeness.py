import numpy as np
import pytest
from PIL import Image

from data.photos.checks import check_photo
from data.photos.likeness import find_alike, stack_looks
from data.photos.thumbnails import read_look
from data.settings import DataSettings
from tests.data.sample_photos import encode, exposures, phone_exif, pixels


def find_groups(looks, **more):
    """Returns the members of each group of two or more."""
    groups = find_alike(looks, len(looks), **more).groups
    members = [list(np.flatnonzero(groups == group)) for group in np.unique(groups)]
    return [photos for photos in members if len(photos) > 1]


def read_looks(photos):
    return stack_looks([read_look(photo, DataSettings())[0] for photo in photos])


def draw_on_belt(number, grain):
    """Draws a small object on a belt below a fixed camera, as grey levels."""
    rng = np.random.default_rng(7)
    scene = rng.integers(30, 220, (16, 16))
    rng = np.random.default_rng(number)
    y, x = rng.integers(0, 12, 2)
    scene[y : y + 4, x : x + 4] = rng.integers(0, 255, (4, 4))
    return (scene + np.random.default_rng((number, grain)).integers(-2, 3, (16, 16))).clip(0, 255).ravel()


def test_exposures_of_a_scene_are_one_group_and_other_scenes_are_not_in_it():
    photos = [photo for seed in range(12) for photo in exposures(6, seed)]
    assert find_groups(read_looks(photos)) == [list(range(6 * n, 6 * n + 6)) for n in range(12)]


def to_16_bits(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def draw_in_black(image):
    """Draws an image as the transparency of a black photo."""
    black = Image.new("RGBA", image.size)
    black.putalpha(image.convert("L"))
    return black


@pytest.mark.parametrize(
    "photo",
    [
        encode(pixels(640, 480, 3), exif=phone_exif(orientation=6)),
        encode(to_16_bits(pixels(640, 480, 3)), "PNG"),
        encode(to_16_bits(pixels(640, 480, 3)), "TIFF"),
        encode(draw_in_black(pixels(640, 480, 3)), "PNG"),
    ],
    ids=["sideways", "16 bits", "TIFF", "transparent"],
)
def test_ingest_and_import_see_the_same_in_a_photo(photo):
    looks = stack_looks([read_look(photo, DataSettings())[0], check_photo(photo, DataSettings()).look])
    assert looks.std(1).min() > 20
    assert np.corrcoef(looks.astype(float))[0, 1] > 0.99


def test_photos_are_compared_by_what_changes_in_a_scene_that_all_share():
    looks = np.stack([draw_on_belt(number, grain) for number in range(40) for grain in range(3)])
    assert find_groups(looks.astype(np.uint8)) == [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(40)]


def test_photos_of_two_fixed_cameras_are_compared_camera_by_camera():
    belts = np.stack([draw_on_belt(number, grain) for number in range(20) for grain in range(3)])
    looks = np.concatenate([belts, 255 - belts[:, ::-1]])
    assert len(find_groups(looks.astype(np.uint8))) == 40


def test_a_chain_of_similar_photos_is_not_one_group():
    first, last = (pixels(16, 16, seed).convert("L") for seed in (1, 2))
    looks = read_looks([encode(Image.blend(first, last, step / 299), "PNG") for step in range(300)])
    neighbours = np.stack([np.arange(299), np.arange(1, 300)], axis=1)
    assert max(map(len, find_groups(looks, neighbours=neighbours)), default=0) <= 30


def test_photos_that_nothing_tells_apart_stay_apart_where_there_are_many():
    looks = np.random.default_rng(0).integers(0, 4, (500, 256)) + pixels(16, 16).convert("L").tobytes()[0]
    assert find_groups(looks.astype(np.uint8)) == []
    assert find_groups(np.repeat(looks[:1], 500, axis=0).astype(np.uint8)) == []


def test_a_lens_cap_is_like_nothing():
    dark = np.random.default_rng(0).integers(0, 2, (1, 256)).repeat(6, axis=0)
    assert find_groups(dark.astype(np.uint8)) == []


@pytest.mark.filterwarnings("error")
def test_photos_that_show_nothing_do_not_hide_which_others_are_alike():
    flat = np.full((40, 256), 9, np.uint8)
    assert find_groups(flat) == []
    assert find_groups(np.concatenate([flat, read_looks(exposures(2))])) == [[40, 41]]


@pytest.mark.parametrize("count", [1, 5])
def test_the_nearest_of_the_others_is_named(count):
    scenes = [exposures(2, seed) for seed in range(8)]
    looks = read_looks([pair[0] for pair in scenes[:count]] + [pair[1] for pair in reversed(scenes)])
    assert list(find_alike(looks, count).twins) == [count + 7 - n for n in range(count)]
    assert list(find_alike(read_looks([scenes[0][0], scenes[1][0]]), 1).twins) == [-1]
