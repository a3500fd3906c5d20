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


@pytest.mark.parametrize("seen, made_again", [(SIZE, 0), (0, 1), (1856, 1)])
def test_a_look_without_what_a_network_saw_or_with_what_it_saw_otherwise_is_made_again(
    tmp_path, seen, made_again
):
    data_dir = tmp_path / "data"
    import_photos(write(tmp_path / "src", {"ok/1.jpg": jpeg()}), data_dir)
    (span,) = map(PhotoSpan.of, find_spans(data_dir))
    (row,) = rows = read_labels(span)
    keep_looks(data_dir, span, {row.photo: bytes(SIDE * SIDE + seen)})
    made = []
    look = bytes(SIDE * SIDE + SIZE)
    for _ in range(2):  # and is kept
        looks = read_known_looks(data_dir, {span: rows}, lambda it: made.append(it) or look, described=True)
        assert list(looks) == [(row, look)]
    assert len(made) == made_again


def test_a_photo_that_a_run_rejects_is_tried_once(tmp_path):
    data_dir = tmp_path / "data"
    import_photos(write(tmp_path / "src", {"ok/1.jpg": jpeg()}), data_dir)
    (span,) = map(PhotoSpan.of, find_spans(data_dir))
    rows, tries = read_labels(span), []
    shutil.rmtree(data_dir / ".looks")

    def reject(photo):
        tries.append(photo)
        raise RowRejected("unsafe", "It takes too long to decode.")

    for _ in range(2):
        assert not list(read_known_looks(data_dir, {span: rows}, reject, described=False))
    assert len(tries) == 1


def test_a_look_of_an_earlier_version_is_made_again(tmp_path):
    data_dir = tmp_path / "data"
    import_photos(write(tmp_path / "src", {"ok/1.jpg": jpeg()}), data_dir)
    (span,) = map(PhotoSpan.of, find_spans(data_dir))
    (row,) = rows = read_labels(span)
    blank = {f"{row.photo} {len(jpeg())}": bytes(SIDE * SIDE)}
    (data_dir / ".looks" / "span-00001.msgpack").write_bytes(msgspec.msgpack.encode(blank))
    looks = read_known_looks(data_dir, {span: rows}, lambda photo: b"new", described=False)
    assert list(looks) == [(row, b"new")]
