from pathlib import Path

import numpy as np
import pytest
from tfx.types.standard_artifacts import Examples

from components.photo_drift import write_photo_drift
from components.raw_rows import Rows
from edgeline.records.evaluation import PHOTO_DRIFT, PhotoDrift
from tests.components.steps import SHELF, artifact
from tests.components.test_simple_models import write_split
from tests.data.sample_photos import jpeg

pytestmark = pytest.mark.e2e

WEEKS, PHOTOS, SESSIONS = 5, 100, 20


def make_rows(unlike: float = 0.0, weeks: int = WEEKS, seed: int = 1) -> Rows:
    """Makes rows whose sessions and weeks differ; a share of the newest week's sessions is far away."""
    rng = np.random.default_rng(seed)
    ids, groups, features = [], [], []
    for week in range(1, weeks + 1):
        week_mean = rng.normal(0, 0.2, 30)
        for number in range(PHOTOS):
            session = f"{week}-{number % SESSIONS}"
            session_rng = np.random.default_rng([seed, week, number % SESSIONS])
            value = week_mean + session_rng.normal(0, 0.5, 30) + rng.normal(0, 1, 30)
            if week == weeks and number % SESSIONS < unlike * SESSIONS:
                value[:5] += 8
            ids.append(f"span-{week:05d}/{number:03d}.jpg")
            groups.append(session)
            features.append(value)
    labels = np.zeros(len(ids), np.int64)
    return Rows(ids, labels, np.array(groups, object), np.array(features, np.float32), "photos")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    ids = make_rows().ids
    write_split(folder / "Split-train", [{SHELF.id: name, "photo": jpeg(seed=3)} for name in ids[::2]])
    write_split(folder / "Split-eval", [{SHELF.id: name, "photo": jpeg(seed=4)} for name in ids[1::2]])
    output = artifact(Examples, folder)
    output.split_names = '["train", "eval"]'
    return output


def take(rows: Rows, part: slice) -> Rows:
    return Rows(rows.ids[part], rows.labels[part], rows.groups[part], rows.features[part], rows.kind)


def measure(examples, folder: Path, rows: Rows) -> PhotoDrift | None:
    splits = [("train", take(rows, slice(0, None, 2))), ("eval", take(rows, slice(1, None, 2)))]
    return write_photo_drift(folder, examples, splits, SHELF)


def test_a_share_of_sessions_that_are_unlike_earlier_ones_is_found_and_shown(examples, tmp_path):
    drift = measure(examples, tmp_path, make_rows(unlike=0.2))
    assert drift == PHOTO_DRIFT.read(tmp_path)
    assert drift.has_drifted and drift.share == pytest.approx(0.2, abs=0.03) and drift.low < 0.2 < drift.high
    assert (drift.span, drift.photos, len(drift.unlike)) == ("span-00005", PHOTOS, 10)
    for photo in drift.unlike:
        assert int(photo.example[-7:-4]) % SESSIONS < 0.2 * SESSIONS
        assert (tmp_path / photo.file).read_bytes()[:2] == b"\xff\xd8"
    assert "% of 100 photos of span-00005 are unlike all earlier photos" in drift.sentence


def test_weeks_that_differ_as_usual_are_no_drift(examples, tmp_path):
    drifts = [measure(examples, tmp_path, make_rows(seed=seed)) for seed in range(8)]
    assert not [drift for drift in drifts if drift is None or drift.has_drifted]


def test_without_three_spans_of_thirty_photos_there_is_no_measurement(examples, tmp_path):
    assert measure(examples, tmp_path, make_rows(weeks=2)) is None
    assert not (tmp_path / PHOTO_DRIFT.name).exists()
    rows = make_rows(unlike=1.0)
    assert measure(examples, tmp_path, take(rows, slice(29 - PHOTOS))) is None
