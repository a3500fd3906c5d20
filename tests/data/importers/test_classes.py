"""The import of tables, texts and photos names what a run would refuse."""

import pytest

from data.importers.importing import import_photos
from edgeline.errors import DataRefused
from tests.data.importers.named import import_table
from tests.data.sample_photos import encode, jpeg, pixels


def table(tmp_path, counts, name="a.csv"):
    labels = [label for label, count in counts.items() for _ in range(count)]
    lines = [f"{n % 7}.5,a text of five words {n},{label}" for n, label in enumerate(labels)]
    (tmp_path / name).write_text("\n".join(["size,body,paid", *lines]) + "\n")
    return tmp_path / name


def write_photos(tmp_path, counts, name="photos"):
    for label, count in counts.items():
        (tmp_path / name / label).mkdir(parents=True)
        for n in range(count):
            (tmp_path / name / label / f"{n}.jpg").write_bytes(jpeg(seed=1000 * len(label) + n))
    return tmp_path / name


def load(kind, tmp_path, counts, **names):
    if kind == "photos":
        return import_photos(write_photos(tmp_path, counts, **names), tmp_path / "data", least=20)
    text = "body" if kind == "texts" else ""
    return import_table(table(tmp_path, counts, **names), tmp_path / "data", "paid", text=text, least=20)


@pytest.mark.parametrize(
    ("kind", "counts", "message"),
    [
        ("texts", {"no": 1, "yes": 4}, "has too few texts: 1 of 'no', 4 of 'yes'"),
        ("photos", {"no": 1, "yes": 4}, "has too few photos: 1 of 'no', 4 of 'yes'"),
        ("photos", {"ok": 3}, "has one class: 3 of 'ok'."),
    ],
)
def test_data_from_which_nothing_can_be_learned_is_refused_and_not_written(tmp_path, kind, counts, message):
    with pytest.raises(DataRefused, match=message):
        load(kind, tmp_path, counts)
    assert not list((tmp_path / "data").glob("*"))


def test_photos_of_one_class_may_be_added_to_those_of_others(tmp_path):
    load("photos", tmp_path, {"ok": 2, "bad": 2})
    assert load("photos", tmp_path, {"late": 2}, name="later").added == {"late": 2}


def test_photos_that_a_run_rejects_are_named_and_do_not_count(tmp_path):
    src = write_photos(tmp_path, {"ok": 4, "bad": 4})
    (src / "ok" / "small.png").write_bytes(encode(pixels(8, 9), "PNG"))
    (src / "ok" / "heat.tif").write_bytes(encode(pixels().convert("F"), "TIFF"))
    (src / "bad" / "0.jpg").write_bytes(b"no photo")
    (src / "bad" / "copy.jpg").write_bytes((src / "ok" / "0.jpg").read_bytes())  # with two labels
    report = import_photos(src, tmp_path / "data", least=4)
    assert sorted(report.warnings) == [
        "A run requires 4 photos of each class, and will refuse these: 'bad' has 3, 'ok' has 3. Import more"
        " of them, or set a lower gate.min_examples_per_class in workload.yaml.",
        "A run will quarantine 1 photo as not-a-photo; the first is ok/heat.tif: Its pixels are"
        " floating-point numbers: write 16-bit levels.",
        "A run will quarantine 1 photo as too-small; the first is ok/small.png: 8 x 9 has a side below 16"
        " pixels.",
        "A run will quarantine 1 photo as unreadable; the first is bad/0.jpg: It cannot be opened.",
    ]


@pytest.mark.parametrize(("kind", "noun"), [("table", "row"), ("photos", "photo")])
def test_fewer_of_a_class_than_the_gate_wants_is_imported_and_warned_of(tmp_path, kind, noun):
    report = load(kind, tmp_path, {"no": 3, "yes": 20})
    (warning,) = report.warnings
    assert warning.startswith(f"A run requires 20 {noun}s of each class, and will refuse these: 'no' has 3.")
    assert "gate.min_examples_per_class" in warning and report.sentences()[-1] == f"Warning: {warning}"
    assert (tmp_path / "data" / "span-00001").is_dir()


def test_another_week_of_a_table_is_warned_of_for_its_new_classes_alone(tmp_path):
    load("table", tmp_path, {"no": 20, "yes": 20})
    (warning,) = load("table", tmp_path, {"no": 2, "yes": 3, "late": 4}, name="b.csv").warnings
    assert "will refuse these: 'late' has 4." in warning
