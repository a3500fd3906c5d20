"""Mutated inputs: any bytes end in a span or a refusal. For more of them, see tests/fuzz.py."""

import gzip
import importlib
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from data.importers.importing import import_photos
from data.photos.labels_file import read_labels
from data.photos.source import screen_rows
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.source import Row
from edgeline.errors import EdgelineError
from edgeline.labels import find_fault
from pipeline.workloads import find_workload, with_features
from tests.data.importers.named import import_table
from tests.data.sample_photos import jpeg
from tests.fuzz import ROUNDS, SEED

TOKENS = [
    *(b"\0", b"\n", b"\r", b"\x0b", b"\x85", b'"', b",", b";", b"\t", b"{", b"}", b"[", b"]", b"null"),
    *(b"NaN", "\u2028".encode(), "\x85".encode(), "é".encode(), b"\xed\xa0\x80", b"\xff", rb"\ud800"),
    *(rb"\u0000", b"1e999", b"-Infinity", b"9" * 5000, b"[" * 5000, b"label", b"photo", b"../", b"a.jpg"),
    *(b"\xef\xbb\xbf", b"span-99999", b"\xff\xda", b"\xff\xd8\xff", b"Exif\0\0", b"IEND", b"\xff" * 8),
    b"x" * 300,
]
PHOTO = jpeg()
CSV = b"photo,label,lane_id,session_id,captured_at\na.jpg,ok,l1,s1,2026-01-02T03:04:05Z\nb.jpg,bad,l2,s2,\n"
JSONL = (
    b'{"photo": "a.jpg", "label": "ok", "lane": "l1", "session": 7}\n'
    b'{"photo": "b.jpg", "label": 2, "lane": null, "session": "s2"}\n'
)
ROWS = [
    *((";", "csv", {}), (",", "csv", {"group": "id"}), ("\t", "csv", {"time": "when"})),
    *((",", "csv", {"text": "id", "group": "when"}), ("", "jsonl", {"text": "id"})),
]


def mutate(rng, content):
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 0, 1, 1, 4, 40)))
        data[start:end] = rng.choice(
            (rng.choice(TOKENS), rng.randbytes(rng.randint(0, 4)), data[start:end] * 2, b"")
        )
    return bytes(data if rng.random() < 0.95 else data[: rng.randrange(len(data) + 1)])


def fill(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def import_and_check(src, data):
    """Imports photos; checks that the spans can be read, and that their labels are valid."""
    import_photos(src, data)
    for span in find_spans(data):
        assert not any(find_fault(row.label) for row in read_labels(span))


def manifest(rng, folder):
    text, name = rng.choice(((CSV, "m_csv"), (JSONL, "m_jsonl"), (CSV.replace(b",", b"\t"), "m_tsv")))
    files = {"a_jpg": PHOTO, "b_jpg": b"no photo", name: mutate(rng, text)}
    import_and_check(fill(folder / "src", **files), folder / "data")


def folders(rng, folder):
    for name in (b"ok", mutate(rng, b"bad")[:200].replace(b"/", b"").replace(b"\0", b"") or b" "):
        target = os.path.join(os.fsencode(folder), b"src", name)
        if name not in (b".", b".."):
            os.makedirs(target, exist_ok=True)
            Path(os.fsdecode(target), "a.jpg").write_bytes(mutate(rng, PHOTO))
    import_and_check(folder / "src", folder / "data")


def span(rng, folder):
    fill(folder / "src", a_jpg=PHOTO, b_jpg=b"no photo", m_csv=CSV)
    import_and_check(folder / "src", folder / "data")
    labels = folder / "data" / "span-00001" / "labels.csv"
    labels.write_bytes(mutate(rng, labels.read_bytes()))
    import_photos(folder / "src", folder / "data")
    kept, rejected = screen_rows(read_labels(find_spans(folder / "data")[0]), ["ok", "bad"])
    assert not any(find_fault(row.lane_id) for row in kept) and all(item.detail for item in rejected)


def tfrecord(rng, folder):
    import tensorflow as tf

    example = tf.train.Example()
    for name, value in (("image", PHOTO), ("label", b"ok"), ("session_id", b"s1")):
        example.features.feature[name].bytes_list.value.append(value)
    if rng.random() < 0.5:
        example.features.feature["label"].int64_list.value.append(rng.randint(-1, 2))
    fill(folder / "src", **({"labels_txt": mutate(rng, b"0:ok\n1:bad\n")} if rng.random() < 0.5 else {}))
    path = folder / "src" / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())
        writer.write(mutate(rng, example.SerializeToString()))
    content = path.read_bytes() if rng.random() < 0.7 else mutate(rng, path.read_bytes())
    path.write_bytes(gzip.compress(content) if rng.random() < 0.3 else content)
    import_and_check(folder / "src", folder / "data")


def table(rng, folder):
    """Imports a table; checks that a source reads it row by row, and that a fault costs only its row."""
    separator, suffix, options = rng.choice(ROWS)
    lines = [["id", "when", "size", "label"]]
    lines += [[f"K{n}", f"{n % 28 + 1:02}.01.2026", f"{n % 90}.5", "ab"[n % 2]] for n in range(150)]
    content = "\n".join(separator.join(line) for line in lines)
    if suffix == "jsonl":
        content = "\n".join(json.dumps(dict(zip(lines[0], line, strict=True))) for line in lines[1:])
    (folder / f"a.{suffix}").write_bytes(mutate(rng, content.encode()))
    report = import_table(folder / f"a.{suffix}", folder / "data", "label", **options)
    workload = with_features(find_workload(str(folder / "data" / "workload.yaml")))
    source = importlib.import_module(workload.source)
    (span,) = find_spans(folder / "data")
    source.check(span, workload)
    opened = source.open_source(workload, DataSettings())
    items = list(opened.rows(span))
    assert len(items) == report.rows == source.count(span)
    assert all(opened.example(span, item).digest for item in items if isinstance(item, Row))


KINDS = (manifest, folders, span, tfrecord, table)


@pytest.mark.timeout(120 + ROUNDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_whatever_the_bytes_the_end_is_an_import_or_a_refusal(kind, tmp_path):
    imports, count = 0, ROUNDS // 10
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            kind(random.Random(f"{kind.__name__} {SEED} {number}"), folder)
            imports += 1
        except EdgelineError as error:
            assert error.found and error.exit_code in (2, 4), error
        except Exception as error:
            raise AssertionError(f"{kind.__name__} {SEED} {number}") from error
        shutil.rmtree(folder)
    assert 0 < imports < count
