"""The spans of a drill: good photos, and the files of weeks with a fault."""

from collections import Counter
from pathlib import Path

import pytest

from data.photos.labels_file import PhotoSpan, read_labels
from data.spans.layout import find_spans
from data.spans.split import hash_group
from drill.photos import deliver, render_hidden_test

PHOTOS, FEW = 60, 20


def deliver_weeks(tmp_path: Path, *faults: dict[str, float], photos: int = PHOTOS) -> list[PhotoSpan]:
    for number, rates in enumerate(faults, start=1):
        deliver(tmp_path, number, photos, 7, rates, 0.2)
    return [PhotoSpan.of(span) for span in find_spans(tmp_path)]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> PhotoSpan:
    """A week without a fault."""
    [span] = deliver_weeks(tmp_path_factory.mktemp("good"), {})
    return span


def test_a_week_can_come_twice_empty_or_half_copied(tmp_path: Path) -> None:
    weeks = {}, {"twice": 0.0}, {"empty": 0.0}, {"half-copied": 0.0}
    first, second, empty, half = deliver_weeks(tmp_path, *weeks, photos=FEW)
    assert read_labels(first) == read_labels(second)
    assert read_labels(empty) == [] and not Path(str(empty.photos)).exists()
    files = sorted(Path(str(half.photos)).iterdir())
    assert (len(read_labels(half)), len(files)) == (FEW, FEW // 2)
    assert files[-1].stat().st_size == 1000


def test_labels_are_shuffled_in_train_alone_and_their_shares_stay(good: PhotoSpan, tmp_path: Path) -> None:
    [bad] = deliver_weeks(tmp_path, {"flipped-labels": 1.0})
    pairs = list(zip(read_labels(good), read_labels(bad), strict=True))
    assert Counter(row.label for row, _ in pairs) == Counter(row.label for _, row in pairs)
    changed = [hash_group(row.session_id) for row, other in pairs if row.label != other.label]
    assert changed and min(changed) >= 0.2


def test_a_new_camera_takes_some_sessions_and_no_label_changes(good: PhotoSpan, tmp_path: Path) -> None:
    [bad] = deliver_weeks(tmp_path, {"new-camera": 0.3})
    assert read_labels(good) == read_labels(bad)
    changed = {row.session_id for row in read_labels(good) if good.read(row.photo) != bad.read(row.photo)}
    assert len(changed) == 2


@pytest.mark.parametrize("fault", ["corrupt", "half-copied"])
def test_a_camera_or_lens_leaves_photos_that_another_fault_damaged(fault: str, tmp_path: Path) -> None:
    rates = {fault: 0.5, "dark-lens": 0.6, "new-camera": 0.9, "dead-session": 0.9}
    (span,) = deliver_weeks(tmp_path, rates, photos=FEW)
    assert list(Path(str(span.photos)).iterdir())


def test_an_empty_week_comes_again_with_another_fault(tmp_path: Path) -> None:
    _, again = deliver_weeks(tmp_path, {"empty": 0.0}, {"twice": 0.0, "half-copied": 0.0}, photos=FEW)
    assert read_labels(again) == []


def test_a_dead_session_is_of_another_camera_and_has_shuffled_labels_in_train(
    good: PhotoSpan, tmp_path: Path
) -> None:
    [bad] = deliver_weeks(tmp_path, {"dead-session": 0.5})
    changed = {row.session_id for row in read_labels(good) if good.read(row.photo) != bad.read(row.photo)}
    before, after = ({row.photo: row for row in read_labels(span)} for span in (good, bad))
    relabelled = {row.session_id for name, row in after.items() if row.label != before[name].label}
    assert len(changed) == 3 and after.keys() == before.keys()
    assert relabelled <= changed and all(hash_group(session) >= 0.2 for session in relabelled)


def test_a_hidden_test_shows_other_photos_than_the_week_and_true_classes(good: PhotoSpan) -> None:
    hidden = render_hidden_test(1, PHOTOS, 7)
    assert not {photo for photo, _ in hidden} & {good.read(row.photo) for row in read_labels(good)}
    assert Counter(label for _, label in hidden) == {"ok": 42, "misplaced": 12, "damaged": 6}
