"""Each fault does what its name says, and nothing else is accepted."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.photos.labels_file import LabelRow, read_labels
from data.shelf.faults import spoil
from data.shelf.renderer import generate, plan_week, render_session


@pytest.fixture(scope="module")
def photo() -> tuple[LabelRow, bytes]:
    session = plan_week(1, 10, 3, {})[0]
    return render_session(session)[0]


def spoil_photo(name: str, photo: tuple[LabelRow, bytes]) -> tuple[LabelRow, bytes]:
    return spoil(name, *photo, random.Random(1))


def to_gray(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), np.float32)


def test_a_dark_lens_takes_the_light_and_a_blurred_one_the_edges(photo: tuple[LabelRow, bytes]) -> None:
    before = to_gray(photo[1])
    dark, blurred = (to_gray(spoil_photo(name, photo)[1]) for name in ("dark-lens", "blurred"))
    assert dark.mean() < 0.45 * before.mean() and abs(blurred.mean() - before.mean()) < 3
    assert np.diff(blurred, n=2).var() < 0.1 * np.diff(before, n=2).var()


def test_a_walk_without_a_lane_changes_nothing_else(photo: tuple[LabelRow, bytes]) -> None:
    row, jpeg = spoil_photo("null-lane", photo)
    assert (vars(row), jpeg) == ({**vars(photo[0]), "lane_id": ""}, photo[1])


def test_a_duplicate_is_the_same_photo_under_another_name(tmp_path: Path) -> None:
    (span,) = generate(tmp_path, weeks=1, per_week=20, seed=3, faults={"duplicate": 0.1})
    rows = read_labels(span)
    copies = [row for row in rows if row.photo.endswith("-copy.jpg")]
    assert len(rows) == 22 and len(copies) == 2
    for copy in copies:
        original = span.photos / copy.photo.replace("-copy", "")
        assert original.read_bytes() == (span.photos / copy.photo).read_bytes()


def test_new_lanes_come_as_whole_sessions() -> None:
    plain, shifted = (plan_week(2, 100, 3, faults) for faults in ({}, {"new-lane": 0.2}))
    assert max(session.lane for session in plain) <= 40
    assert sum(session.lane > 40 for session in shifted) == 2
    lanes = {row.lane_id for row, _ in render_session(max(shifted, key=lambda s: s.lane))}
    assert lanes < {"lane-41", "lane-42", "lane-43"}


def test_label_shift_moves_class_shares_towards_damaged() -> None:
    shifted = plan_week(2, 500, 3, {"label-shift": 0.5})
    labels = [label for session in shifted for label in session.contents]
    assert labels.count("damaged") == 50 + 225


def test_a_fault_leaves_all_other_photos_as_they_were() -> None:
    week = {
        name: [photo for session in plan_week(2, 10, 3, faults) for photo in render_session(session)]
        for name, faults in {"clean": {}, "blurred": {"blurred": 0.2}}.items()
    }
    same = [one == other for one, other in zip(week["clean"], week["blurred"], strict=True)]
    assert same.count(False) == 2
