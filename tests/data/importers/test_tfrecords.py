import gzip
import math
import os
import struct
import subprocess
import sys

import google_crc32c
import pytest

from data.importers.importing import import_photos
from data.importers.tfrecords import holds_photos, is_tfrecord
from data.photos.labels_file import read_labels
from edgeline.errors import DataRefused, UsageError
from tests.data.importers.named import import_table
from tests.data.importers.test_importing import read_domain
from tests.data.sample_photos import jpeg
from tests.examples import serialize

tf = pytest.importorskip("tensorflow")


def write_source(tmp_path, *records, names=None, packed=False):
    (tmp_path / "src").mkdir()
    path = tmp_path / "src" / f"a.tfrecord-00000-of-00001{'.gz' * packed}"
    with tf.io.TFRecordWriter(str(path), "GZIP" if packed else "") as writer:
        for content in records:
            writer.write(serialize(content))
    if names is not None:
        (tmp_path / "src" / "labels.txt").write_bytes(names)
    return tmp_path / "src"


def make_readings(count):
    return [
        {
            "sensor_reading": float(n % 17 + 5 * (n % 2)),
            "axes": [n / 8, -n / 8],
            "tags": [b"a"] * (n % 3 + 1),
            "fault_label": n % 2,
            **({"site": (b"north", b"south")[n % 3 == 0]} if n % 10 else {}),
        }
        for n in range(count)
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_examples_of_readings_are_a_table(tmp_path, data_dir, packed):
    (file,) = write_source(tmp_path, *make_readings(300), packed=packed).iterdir()
    assert not holds_photos(file)
    report = import_table(file, data_dir, "fault_label")
    assert report.labels == ("0", "1")
    assert (report.numbers, report.categories) == (("axes_1", "axes_2", "sensor_reading"), ("site",))
    assert dict(report.left_out) == {"tags": "has lists in its cells"}
    table = (report.span.path / "table.csv").read_text().splitlines()
    assert table[:2] == ["axes_1,axes_2,sensor_reading,site,fault_label,tags", "0,0,0,,0,"]


def test_a_file_is_known_by_the_checksum_of_its_first_length(tmp_path, data_dir):
    (file,) = write_source(tmp_path, *make_readings(300)).iterdir()
    content = bytearray(file.read_bytes())
    content[8] ^= 1
    file.write_bytes(content)
    with pytest.raises(UsageError, match="is a binary file of an unknown kind"):
        import_table(file, data_dir, "fault_label")


def test_reading_a_table_does_not_import_tensorflow(tmp_path):
    (file,) = write_source(tmp_path, *make_readings(3)).iterdir()
    program = (
        "import sys; from pathlib import Path; from edgeline.tables.files import open_table;"
        f"table = open_table({str(file)!r}, Path({str(tmp_path)!r}));"
        "sys.exit('tensorflow' in sys.modules or len([*table.lists(table.header)]))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 3


@pytest.mark.parametrize("packed", [False, True])
def test_labels_are_texts(tmp_path, data_dir, packed):
    examples = [
        {"image/encoded": jpeg(), "image/class/text": "grün".encode(), "image/class/label": 7},
        {"image/encoded": jpeg(seed=1), "image/class/text": b"red", "lane_id": b"L1", "session_id": b"../w"},
        {"image/encoded": b"", "image/class/text": b"red"},
        {"image/encoded": jpeg(seed=2), "image/class/text": b""},
        {"image/encoded": bytes(2**26 + 1), "image/class/text": b"red"},  # the limit is that of a file
    ]
    src = write_source(tmp_path, *examples, packed=packed)
    (file,) = src.iterdir()
    assert holds_photos(file)
    report = import_photos(file, data_dir)
    assert report.added == {"grün": 1, "red": 1}
    assert [(row.lane_id, row.session_id) for row in read_labels(report.span)][1] == ("L1", "../w")
    assert report.refused == {
        "zero-byte": [f"{file.name} record 3"],
        "unlabelled": [f"{file.name} record 4"],
        "oversized": [f"{file.name} record 5"],
    }


LINES = b"x\r\ny\n b \n" + b"".join(b"z%d\n" % n for n in range(7)) + b"a\n\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ("class-2", "class-10")),
        ({"labels.txt": b"0:zero\n2:b\n10:a\n"}, ("b", "a")),
        ({"labels.txt": b"\xef\xbb\xbf" + LINES}, ("b", "a")),
        ({"labels.txt": LINES.replace(b"x", b"1" * 190 + b":x")}, ("b", "a")),
        # A file of TensorFlow Datasets counts less than that of a person.
        ({"label.labels.txt": b"2:dog\n10:cat\n"}, ("dog", "cat")),
        ({"label.labels.txt": b"2:dog\n10:cat\n", "labels.txt": LINES}, ("b", "a")),
    ],
    ids=["none", "numbered", "lines", "a large number", "of datasets", "both"],
)
def test_labels_are_numbers(tmp_path, data_dir, files, expected):
    src = write_source(tmp_path, dict(image=jpeg(), label=10), dict(image=jpeg(seed=1), label=2))
    for name, content in files.items():
        (src / name).write_bytes(content)
    import_photos(src, data_dir)
    assert read_domain(data_dir) == expected  # in the order of the numbers, which are the ids


@pytest.mark.parametrize(
    ("example", "error", "message"),
    [
        ({"pixels": b"x", "label": 1}, DataRefused, "has the features label, pixels. The photo must be"),
        ({"image": b"x", "tag": 1}, DataRefused, "The label must be"),
        ({"image": 5, "label": 1}, DataRefused, "has numbers in the feature image"),
        ({"image": b"x", "label": b"gr\xfcn"}, DataRefused, r"record 2: the label is b'gr\\xfcn'"),
        ({"image": b"x", "label": math.nan}, DataRefused, "record 2: the label is nan"),
        ({"image": b"x", "label": "a\u2028b"}, UsageError, "record 2: the label is 'a"),
        ({"image": b"x", "label": b"ok", "session_id": "a\u2028b"}, UsageError, "2: the session_id is 'a"),
    ],
)
def test_a_record_of_another_kind_is_refused_and_nothing_is_left(tmp_path, data_dir, example, error, message):
    with pytest.raises(error, match=message):
        import_photos(write_source(tmp_path, dict(image=jpeg(), label=1), example), data_dir)
    assert not list(data_dir.glob("*"))


def test_an_example_with_several_values_is_refused_by_record(tmp_path, data_dir):
    src = write_source(
        tmp_path,
        dict(image=jpeg(), label=b"ok"),
        dict(image=[jpeg(seed=1), jpeg(seed=2)], label=b"ok"),
        dict(image=jpeg(seed=3), label=[b"ok", b"bad"]),
        dict(image=jpeg(seed=4), label=[1, 2]),
        dict(image=jpeg(seed=5), label=b"ok", session_id=[b"1", b"2"]),
        dict(image=jpeg(seed=6), label=b"ok", more=[b"1", b"2"]),
    )
    report = import_photos(src, data_dir)
    assert report.added == {"ok": 2}
    places = [f"a.tfrecord-00000-of-00001 record {number}" for number in (2, 3, 4, 5)]
    assert report.refused == {"several-values": places}


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("gr\xfcn\n".encode("latin-1"), DataRefused, "labels.txt cannot be read"),
        ("a\u2028b\nc\n".encode(), UsageError, r"labels.txt line 1 is 'a\\u2028b'"),
        (b"a\nb\na\n", UsageError, "'a': it occurs 2 times"),
        (b"0:a\n0:b\n", DataRefused, "it has a number twice"),
        (b"", UsageError, "'': it is empty"),
    ],
    ids=ascii,
)
def test_a_labels_file_that_would_give_numbers_another_name_is_refused(
    tmp_path, data_dir, names, error, message
):
    src = write_source(tmp_path, dict(image=jpeg(), label=0), names=names)
    with pytest.raises(error, match=message):
        import_photos(src, data_dir)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["labels.txt", "b.tfrecord"])
def test_a_pipe_is_refused(tmp_path, data_dir, name):
    src = write_source(tmp_path, dict(image=jpeg(), label=1))
    os.mkfifo(src / name)
    with pytest.raises(DataRefused, match=name):
        import_photos(src, data_dir)


def test_a_file_that_announces_more_than_any_memory_is_refused_whole(tmp_path, data_dir):
    src = write_source(tmp_path, dict(image=jpeg(), label=b"ok"))
    (file,) = src.iterdir()
    length = struct.pack("<Q", 2**40)
    crc = google_crc32c.value(length)
    huge = length + struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF) + b"abc"
    file.write_bytes(file.read_bytes() + huge)
    with pytest.raises(DataRefused, match="record 2 cannot be read: its length"):
        import_photos(src, data_dir)
    assert not list(data_dir.glob("*"))


def test_a_packed_file_of_another_kind_has_no_examples(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + bytes(28 * 28 + 12)))
    assert not is_tfrecord(path)
