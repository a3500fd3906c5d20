"""Damage can be seen: it changes enough of a package."""

import random

import numpy as np
import pytest
from PIL import Image

from data.shelf.layout import LANES, make_lane
from data.shelf.packages import crush, draw_package

PRODUCTS = [product for number in range(1, LANES + 1) for product in make_lane(number).products]


def rgba(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32)


def test_a_package_is_as_large_as_planned_and_stands_on_its_base() -> None:
    for product in PRODUCTS:
        pixels = rgba(draw_package(product))
        assert pixels.shape == (product.height, product.width, 4)
        assert pixels[-2, :, 3].mean() > 128


@pytest.mark.parametrize("severity", [0.5, 1.0])
def test_a_crushed_package_loses_height_and_is_changed_by_a_tenth_at_least(severity: float) -> None:
    for product in PRODUCTS:
        whole = rgba(draw_package(product))
        spoilt = rgba(crush(draw_package(product), severity, random.Random(2)))
        height, alpha = product.height // 8, whole[..., 3]
        assert spoilt[..., 3].sum() < 0.95 * alpha.sum()
        assert spoilt[:height, :, 3].sum() < 0.2 * alpha[:height].sum() + 1
        left = (spoilt.shape[1] - product.width) // 2
        other = spoilt[:, left : left + product.width]
        assert ((np.abs(whole - other)[..., :3].max(-1) > 30) & (alpha > 0)).mean() > 0.1
