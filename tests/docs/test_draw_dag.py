"""The picture of the DAG in README and docs, which is drawn from the code."""

import pytest

from docs.draw_dag import PICTURE, PLACES, draw, find_all_before, find_arrows, find_waits


@pytest.fixture(scope="module")
def waits():
    return find_waits()


def test_the_picture_in_the_repository_is_that_of_the_code(waits):
    assert PICTURE.read_text(encoding="utf-8") == draw(waits), "Draw it: .venv/bin/python -m docs.draw_dag"


def test_the_arrows_reach_each_step_from_all_the_steps_it_waits_for(waits):
    arrows = find_arrows(waits)
    direct = {step: frozenset(before for before, to in arrows if to == step) for step in waits}
    assert {step: find_all_before(direct, step) for step in waits} == {
        step: find_all_before(waits, step) for step in waits
    }
    assert set(PLACES) == set(waits)


def test_an_arrow_that_follows_from_others_is_not_drawn():
    waits = {"a": frozenset(), "b": frozenset({"a"}), "c": frozenset({"a", "b"})}
    assert find_arrows(waits) == [("a", "b"), ("b", "c")]
