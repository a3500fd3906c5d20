import json
import math
import os

import pytest

from data.importers.detection import find_source
from data.importers.importing import import_photos
from data.importers.manifest import inspect_manifest
from data.importers.source import RefusedPhoto
from data.importers.table_file import read_table_file
from data.photos.labels_file import read_labels
from edgeline.errors import DataRefused, UsageError
from tests.data.importers.test_importing import write
from tests.data.sample_photos import jpeg


def write_source(tmp_path, name, text):
    return write(tmp_path / "src", {name: text, "a.jpg": jpeg(), "b.jpg": jpeg(seed=1)})


def lines(**cells):
    """Writes a manifest whose second line has these cells."""
    return '{"photo": "a.jpg", "label": "ok"}\n' + json.dumps({"photo": "b.jpg", "label": "ok"} | cells)


def list_labels(src):
    return [photo.label for photo in find_source(src).offers]


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        # The first line is for Excel and no header.
        ("m.csv", "sep=;\nphoto;label\na.jpg;ok\nb.jpg;broken\n", ["ok", "broken"]),
        # Columns that are not read may hold anything, and be there twice.
        ("m.jsonl", '{"photo": "a.jpg", "label": "ok", "box": [1, NaN], "more": {"label": {}}}\n', ["ok"]),
        ("m.csv", "photo,label,note,note,,\na.jpg,ok,x,y,,\n", ["ok"]),
        # Each line may spell its columns differently.
        ("m.jsonl", '{"photo": "a.jpg", "label": 7}\n{"Photo": "b.jpg", " Label": "bad"}', ["7", "bad"]),
        ("m.jsonl", f'{{"photo": "a.jpg", "label": {"7" * 200}}}', ["7" * 200]),
    ],
)
def test_labels_are_read_of_each_form(tmp_path, name, text, labels):
    assert list_labels(write_source(tmp_path, name, text)) == labels


@pytest.mark.parametrize(
    ("column", "value", "error", "message"),
    [
        ("label", "a\u2028b", UsageError, r"'a\\u2028b': it contains the control character"),
        ("label", "a\ud800b", UsageError, r"'a\\ud800b': it contains the control character"),
        ("session", "a\nb", UsageError, r"'a\\nb': it contains the control character"),
        ("label", -math.inf, DataRefused, r"-inf\."),
        ("photo", [], DataRefused, r"a list\."),
        ("session_id", {"name": "ok"}, DataRefused, r"an object\."),
    ],
)
def test_a_cell_that_cannot_be_used_is_refused_by_line_and_column(
    tmp_path, data_dir, column, value, error, message
):
    src = write_source(tmp_path, "m.jsonl", lines(**{column: value}))
    with pytest.raises(error, match=rf"m\.jsonl line 2: the {column} is {message}"):
        import_photos(src, data_dir)
    assert not data_dir.exists()


def test_numbers_and_truth_values_are_labels_as_they_are_written(tmp_path, data_dir):
    text = '{"path": "a.jpg", "label": 1.50, "lane": 7}\n\n{"path": "b.jpg", "label": true, "session": null}'
    report = import_photos(write_source(tmp_path, "m.jsonl", text), data_dir)
    assert report.added == {"1.50": 1, "True": 1}
    assert [row.lane_id for row in read_labels(report.span)] == ["7", "unknown"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "photo,label, Label \na.jpg,ok,bad\n", "has the column label twice"),
        ("m.jsonl", '{"photo": "a.jpg", "label": "ok", "label": "bad"}\n', "has the column label twice"),
        ("m.jsonl", f'{{"photo": "a.jpg", "label": {"[" * 200_000}{"]" * 200_000}}}', "line 1 is not a JSON"),
        ("m.jsonl", f'{{"photo": "a.jpg", "label": {"[" * 990}{"]" * 990}}}', "line 1"),
    ],
    ids=["column twice", "key twice", "nested too deep", "nested as deep as can be"],
)
def test_a_line_that_is_ambiguous_or_nested_is_refused(tmp_path, data_dir, name, text, message):
    with pytest.raises(DataRefused, match=message):
        import_photos(write_source(tmp_path, name, text), data_dir)


@pytest.mark.parametrize("path", ["\ud800.jpg", "a\0.jpg", "x/" * 5000], ids=len)
def test_a_path_that_no_file_can_have_is_refused(tmp_path, path):
    kept, refused = find_source(write_source(tmp_path, "m.jsonl", lines(photo=path))).offers
    assert kept.label == "ok" and isinstance(refused, RefusedPhoto)


@pytest.mark.timeout(60)
def test_a_manifest_that_is_a_pipe_or_enormous_is_refused(tmp_path, data_dir):
    file = tmp_path / "src" / "m.jsonl"
    file.parent.mkdir()
    os.mkfifo(file)
    with pytest.raises(DataRefused, match="it is not a file"):
        import_photos(tmp_path / "src", data_dir)
    file.unlink()
    file.touch()
    os.truncate(file, 2**40)
    with pytest.raises(DataRefused, match="line 1 has more than 67,108,864 bytes"):
        import_photos(tmp_path / "src", data_dir)


@pytest.mark.parametrize("missing", ["nan", "<NA>"])
def test_a_missing_label_or_session_as_programs_write_it_is_none(tmp_path, missing):
    text = f"photo,label,session,lane\na.jpg,ok,{missing},{missing}\nb.jpg,{missing},1,2\n"
    kept, refused = find_source(write_source(tmp_path, "m.csv", text)).offers
    # A lane may well be called NA.
    assert (kept.label, kept.session_id, kept.lane_id) == ("ok", "", missing)
    assert refused == RefusedPhoto("m.csv line 3: b.jpg", "unlabelled")


@pytest.mark.parametrize("path", ["week 1/a.jpg", "week 1\\a.jpg"])
def test_photos_may_lie_below_photos_as_in_a_span(tmp_path, path):
    src = write(tmp_path / "src", {"m.csv": f"photo,label\n{path},ok\n", "photos/week 1/a.jpg": jpeg()})
    assert list_labels(src) == ["ok"]


def test_a_later_manifest_has_its_labels_where_earlier_ones_had_them(tmp_path, data_dir):
    import_photos(write_source(tmp_path, "m.csv", "photo,class\na.jpg,ok\nb.jpg,bad\n"), data_dir)
    src = write(tmp_path / "more", {"c.jpg": jpeg(seed=2), "m.csv": "photo,label,class\nc.jpg,1,bad\n"})
    assert import_photos(src, data_dir).added == {"bad": 1}


def test_what_the_columns_of_a_manifest_are_is_written_and_read_by_later_weeks(tmp_path, data_dir):
    write_source(tmp_path, "m.csv", "image,class,session,box\na.jpg,ok,s1,9\nb.jpg,bad,s2,9\n")
    report = import_photos(tmp_path / "src", data_dir)
    assert data_dir / "table.yaml" in report.written
    roles = {name: entry.role for name, entry in read_table_file(data_dir).columns.items()}
    assert roles == {"image": "photo", "class": "label", "session": "group", "box": "leave out"}

    # A later week has a column of our name that no model reads, and one that was renamed in the file.
    text = (data_dir / "table.yaml").read_text()
    renamed = "  class:\n    until: span-00001\n    now: kind\n"
    (data_dir / "table.yaml").write_text(text.replace("  class:\n", renamed))
    photos = {"c.jpg": jpeg(seed=2), "d.jpg": jpeg(seed=3)}
    src = write(tmp_path / "two", {**photos, "m.csv": "image,class,kind\nc.jpg,x,ok\nd.jpg,y,bad\n"})
    assert import_photos(src, data_dir).added == {"ok": 1, "bad": 1}


def test_a_person_names_the_columns_of_a_manifest_in_its_file(tmp_path, data_dir):
    src = write_source(tmp_path, "m.csv", "shot,label,species\na.jpg,x,owl\nb.jpg,x,jay\n")
    lines = list(inspect_manifest(src / "m.csv", data_dir))
    assert "shot: photo, as it was named, or names photos." in lines
    assert "label: label, as it is called so." in lines
    text = (data_dir / "table.yaml").read_text()
    roles = {"label": ("label", "leave out"), "species": ("leave out", "label")}
    for name, (old, new) in roles.items():
        text = text.replace(f"  {name}:\n    role: {old}\n", f"  {name}:\n    role: {new}\n")
    (data_dir / "table.yaml").write_text(text)
    assert "is not changed" in next(iter(inspect_manifest(src / "m.csv", data_dir)))
    assert import_photos(src, data_dir).added == {"owl": 1, "jay": 1}
