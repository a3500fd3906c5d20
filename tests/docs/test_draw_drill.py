"""The picture of the drills, which is drawn from the table of measurements."""

from docs.draw_drill import PAGE, PICTURE, draw


def test_the_picture_in_the_repository_is_that_of_the_table():
    picture = draw(PAGE.read_text(encoding="utf-8"))
    assert PICTURE.read_text(encoding="utf-8") == picture, "Draw it: .venv/bin/python -m docs.draw_drill"
    assert picture.count("<circle") == 12
