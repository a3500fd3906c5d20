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
def test_a_crushed_package_loses_height(severity: float) -> None:
    for product in PRODUCTS:
        whole = rgba(draw_package(product))[..., 3]
        spoilt = rgba(crush(draw_package(product), severity, random.Random(1)))[..., 3]
        assert spoilt.sum() < 0.95 * whole.sum()
        assert spoilt[: product.height // 8].sum() < 0.2 * whole[: product.height // 8].sum() + 1


def test_a_crushed_package_is_changed_by_a_tenth_at_least() -> None:
    for product in PRODUCTS:
        whole = draw_package(product)
        spoilt = crush(whole, 0.5, random.Random(2))
        left = (spoilt.width - whole.width) // 2
        same = rgba(whole)
        other = rgba(spoilt)[:, left : left + whole.width]
        changed = (np.abs(same - other)[..., :3].max(-1) > 30) & (same[..., 3] > 0)
        assert changed.mean() > 0.1
