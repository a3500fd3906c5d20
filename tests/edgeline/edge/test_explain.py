import io

import numpy as np
import pytest
from PIL import Image

from edgeline.edge.explain import draw_picture, measure_occlusion
from tests.edgeline.edge.contracts.test_image import jpeg


def brightest(image):
    """Returns the share of white in the left upper quarter, and the rest."""
    share = (image[0, :24, :24] > 200).mean()
    return np.array([[share, 1 - share]], np.float32)


@pytest.fixture
def image():
    image = np.full((1, 48, 48, 1), 20, np.uint8)
    image[:, 8:16, 8:16] = 250
    return image


def test_the_map_shows_the_place_that_the_answer_depends_on(image):
    drops = measure_occlusion(brightest, image, 0)
    assert drops.shape == (11, 11) and drops.dtype == np.float32
    # The patch whose corner is that of the square covers all of it: 8 pixels, every 4.
    assert np.unravel_index(drops.argmax(), drops.shape) == (2, 2)
    assert drops.max() == pytest.approx(brightest(image)[0, 0])
    assert (drops[6:] == 0).all() and (drops[:, 6:] == 0).all()


def test_the_picture_has_the_photo_the_input_and_in_red_what_matters(image):
    panels = Image.open(io.BytesIO(draw_picture(jpeg(64, 48), image, measure_occlusion(brightest, image, 0))))
    assert (panels.format, panels.size) == ("PNG", (960, 320))
    pixels, red = (np.asarray(panels)[:, at : at + 320].astype(int) for at in (320, 640))
    row, column = (12 * 320 // 48,) * 2  # the middle of the square
    assert pixels[row, column].tolist() == [250, 250, 250]
    assert red[row, column, 0] > red[row, column, 1] + 100
    np.testing.assert_array_equal(red[-1, -1], pixels[-1, -1])
