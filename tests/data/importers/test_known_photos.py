import msgspec
import pytest

from data.importers.known_photos import keep_looks, read_known_looks
from data.photos.labels_file import LabelRow, write_span
from data.photos.likeness import SIDE
from edgeline.records.photo_features import SIZE
from edgeline.records.rejection import RowRejected
from tests.data.sample_photos import jpeg

LOOK = bytes(SIDE * SIDE + SIZE)
ROW = LabelRow("1.jpg", "ok", "", "", "")


@pytest.fixture
def span(tmp_path):
    """Writes a span of one photo."""
    return write_span(tmp_path / "data", [(ROW, jpeg())])


@pytest.mark.parametrize("kept", ["whole", "without features", "of an earlier version"])
def test_a_look_without_what_a_network_saw_or_of_an_earlier_version_is_made_again(tmp_path, span, kept):
    keep_looks(tmp_path / "data", span, {ROW.photo: LOOK if kept == "whole" else bytes(SIDE * SIDE)})
    if kept == "of an earlier version":
        blank = {f"{ROW.photo} {len(jpeg())}": LOOK}
        (tmp_path / "data/.looks/span-00001.msgpack").write_bytes(msgspec.msgpack.encode(blank))
    photos = []
    for _ in range(2):  # the second time, the look is known
        looks = read_known_looks(
            tmp_path / "data", {span: [ROW]}, lambda it: photos.append(it) or LOOK, described=True
        )
        assert list(looks) == [(ROW, LOOK)]
    assert len(photos) == (kept != "whole")


def test_a_photo_that_a_run_rejects_is_tried_once(tmp_path, span):
    tries = []

    def reject(photo):
        tries.append(photo)
        raise RowRejected("unsafe", "It takes too long to decode.")

    for _ in range(2):
        assert not list(read_known_looks(tmp_path / "data", {span: [ROW]}, reject, described=False))
    assert len(tries) == 1
