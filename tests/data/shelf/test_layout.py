"""The warehouse is the same for every seed, and its lanes can be told apart."""

import random

from data.shelf.layout import LANES, choose_stray, compute_luma, make_lane

ALL = [make_lane(number) for number in range(1, LANES + 1)]


def test_lanes_plan_different_products() -> None:
    products = [product for home in ALL for product in home.products]
    assert len(set(products)) == len(products)


def test_every_facing_is_a_planned_product_that_fits_its_shelf() -> None:
    for home in (*ALL, make_lane(LANES + 1)):
        for product in (product for shelf in home.shelves for product in shelf):
            assert product in home.products
            assert product.height < home.pitch - home.lip


def test_a_stray_is_planned_elsewhere_fits_and_stands_out() -> None:
    rng = random.Random(1)
    for home in (*ALL, make_lane(LANES + 1)):
        found = choose_stray(home, rng)
        assert found not in home.products
        assert found.height < home.pitch - home.lip
        assert (
            min(abs(compute_luma(found.body) - compute_luma(planned.body)) for planned in home.products) > 70
        )


def test_goods_are_light_in_odd_lanes_and_dark_in_even_ones() -> None:
    light, dark = (
        [compute_luma(p.body) for home in ALL[start::2] for p in home.products] for start in (0, 1)
    )
    assert min(light) > max(dark)
