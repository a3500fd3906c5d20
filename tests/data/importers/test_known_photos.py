import shutil

import msgspec
import pytest

from data.importers.importing import import_photos
from data.importers.known_photos import keep_looks, read_known_looks
from data.photos.labels_file import PhotoSpan, read_labels
from data.photos.likeness import SIDE
from data.spans.layout import find_spans
from edgeline.records.photo_features import SIZE
from edgeline.records.rejection import RowRejected
from tests.data.importers.test_importing import write
from tests.data.sample_photos import jpeg

LOOK = bytes(SIDE * SIDE + SIZE)


@pytest.fixture
def span(tmp_path):
    """A span of one photo."""
    import_photos(write(tmp_path / "src", {"ok/1.jpg": jpeg()}), tmp_path / "data")
    (span,) = map(PhotoSpan.of, find_spans(tmp_path / "data"))
    return span


@pytest.mark.parametrize("kept", ["whole", "without features", "of an earlier version"])
def test_a_look_without_what_a_network_saw_or_of_an_earlier_version_is_made_again(tmp_path, span, kept):
    (row,) = rows = read_labels(span)
    keep_looks(tmp_path / "data", span, {row.photo: LOOK if kept == "whole" else bytes(SIDE * SIDE)})
    if kept == "of an earlier version":
        blank = {f"{row.photo} {len(jpeg())}": LOOK}
        (tmp_path / "data/.looks/span-00001.msgpack").write_bytes(msgspec.msgpack.encode(blank))
    made = []
    for _ in range(2):  # and is kept
        looks = read_known_looks(
            tmp_path / "data", {span: rows}, lambda it: made.append(it) or LOOK, described=True
        )
        assert list(looks) == [(row, LOOK)]
    assert len(made) == (kept != "whole")


def test_a_photo_that_a_run_rejects_is_tried_once(tmp_path, span):
    rows, tries = read_labels(span), []
    shutil.rmtree(tmp_path / "data" / ".looks")

    def reject(photo):
        tries.append(photo)
        raise RowRejected("unsafe", "It takes too long to decode.")

    for _ in range(2):
        assert not list(read_known_looks(tmp_path / "data", {span: rows}, reject, described=False))
    assert len(tries) == 1
