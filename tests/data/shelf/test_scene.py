"""Every lane can be drawn from every angle, with everything that can be wrong with it."""

import random

import numpy as np
import pytest

from data.shelf.layout import LANES, make_lane
from data.shelf.scene import draw_bay

LANDSCAPE, PORTRAIT = (282, 225), (225, 282)


@pytest.mark.parametrize(
    ("size", "label"),
    [(LANDSCAPE, "ok"), (LANDSCAPE, "damaged"), (PORTRAIT, "misplaced"), (PORTRAIT, "damaged")],
)
def test_every_lane_can_be_drawn(size: tuple[int, int], label: str) -> None:
    for number in range(1, LANES + 4, 3):
        scene = draw_bay(make_lane(number), size, label, random.Random(number))
        assert (scene.mode, scene.size) == ("RGB", size)
        assert np.asarray(scene).std() > 10


def test_two_photos_of_a_lane_that_is_in_order_show_the_same_goods() -> None:
    """Colours of a lane come back in each of its photos; hardly any of another lane do."""

    def colors(number: int, seed: int) -> set[tuple[int, int, int]]:
        scene = np.asarray(draw_bay(make_lane(number), LANDSCAPE, "ok", random.Random(seed))).reshape(-1, 3)
        found, counts = np.unique(scene, axis=0, return_counts=True)
        return {tuple(map(int, color)) for color in found[counts > 300]}

    # Price tags and the edge of a board are the same in all lanes.
    assert len(colors(3, 1) & colors(3, 2)) > 5 * len(colors(3, 1) & colors(4, 1))
