"""The sample is the same everywhere, looks like what a phone saves, and is stable from week to week."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.photos.labels_file import read_labels
from data.shelf.layout import LANES
from data.shelf.renderer import Session, generate, plan_week, render_session
from data.spans.layout import Span, find_spans
from edgeline.records.events import Counted, Event, listen


def plan(number: int, photos: int, seed: int = 20) -> list[Session]:
    return plan_week(number, photos, seed, {})


def hash_files(spans: Iterable[Span]) -> str:
    sha = hashlib.sha256()
    for path in sorted(path for span in spans for path in span.path.rglob("*") if path.is_file()):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> list[Span]:
    return generate(tmp_path_factory.mktemp("data"), weeks=2, per_week=20, seed=20, faults={})


def test_other_processes_render_the_same_bytes_and_progress_counts_photos_to_the_end(
    spans: list[Span], tmp_path: Path
) -> None:
    events: list[Event] = []
    with listen(events.append):
        parallel = generate(tmp_path, weeks=2, per_week=20, seed=20, faults={}, workers=2)
    assert hash_files(parallel) == hash_files(spans)
    assert events == [Counted("photos", done, 40) for done in (10, 20, 30, 40)]


def test_a_second_call_goes_on_after_the_last_span_and_changes_nothing_before_it(tmp_path: Path) -> None:
    first = generate(tmp_path, weeks=1, per_week=10, seed=1, faults={})
    before = hash_files(first)
    second = generate(tmp_path, weeks=2, per_week=10, seed=1, faults={})
    assert [span.number for span in find_spans(tmp_path)] == [1, 2, 3]
    assert hash_files(first) == before
    dates = [min(row.captured_at for row in read_labels(span)) for span in (*first, *second)]
    assert dates == sorted(set(dates))
    other = generate(tmp_path / "other", weeks=1, per_week=10, seed=2, faults={})
    assert len({hash_files([span]) for span in (*first, *second, *other)}) == 4


def test_a_week_holds_the_promised_shares_and_one_per_cent_of_wrong_labels() -> None:
    sessions = plan(1, 1000)
    classes = [label for session in sessions for label in session.contents]
    labels = [label for session in sessions for label in session.labels]
    assert Counter(classes) == {"ok": 700, "misplaced": 200, "damaged": 100}
    assert sum(one != other for one, other in zip(classes, labels, strict=True)) == 10


def test_all_lanes_are_visited_in_two_weeks_of_the_sample() -> None:
    assert {session.lane for number in (1, 2) for session in plan(number, 300)} == set(range(1, LANES + 1))


def test_photos_are_colour_jpegs_of_the_week_that_they_were_taken_in(spans: list[Span]) -> None:
    for span in spans:
        for row in read_labels(span):
            with Image.open(span.photos / row.photo) as photo:
                assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (192, 144))
                taken = datetime.strptime(photo.getexif()[0x0132], "%Y:%m:%d %H:%M:%S")
            assert taken - datetime.strptime(row.captured_at, "%Y-%m-%dT%H:%M:%SZ") == timedelta(hours=1)
            assert taken.date().isocalendar().week == 1 + span.number


def test_the_class_cannot_be_read_from_the_size_of_the_file() -> None:
    sizes: dict[str, list[int]] = {}
    for session in plan(1, 120):
        for (_, jpeg), label in zip(render_session(session), session.contents, strict=True):
            sizes.setdefault(label, []).append(len(jpeg))
    means = {label: np.mean(values) for label, values in sizes.items()}
    spread = np.std(np.concatenate(list(sizes.values())))
    assert max(means.values()) - min(means.values()) < 0.5 * spread


def test_weeks_are_equally_bright_as_a_whole() -> None:
    light = [np.mean([session.camera.light for session in plan(number, 300)]) for number in range(1, 9)]
    sessions = [session.camera.light for session in plan(1, 300)]
    assert np.std(light) < 0.1 * np.std(sessions)
