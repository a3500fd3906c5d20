"""`edgeline predict` on releases of real TFLite files, on a disk and in a bucket."""

import csv
import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas
import pillow_heif
import pytest
from PIL import Image

import edgeline
from edgeline.edge.pyfunc import Model
from edgeline.errors import UsageError
from edgeline.mlflow.model import save_model
from edgeline.mlflow.registry import Registry
from edgeline.records.words import RULES
from edgeline.release import store
from runners.cli.main import main
from tests.edgeline.edge.contracts.test_image import contract as image_contract
from tests.edgeline.release.candidates import make_candidate
from tests.runners.cli.process import ROOT
from tests.runners.kubeflow.commands_run import Ended

LABELS = ("dark", "bright")
WIDE = {"low": -1e6, "high": 1e6}
ROW = {
    "version": 3,
    "kind": "row",
    "missing": [""],
    "readings": 2,
    "channels": 2,
    "clip": 10.0,
    "numbers": [{"name": "celsius", "column": {"name": "celsius"}, "mean": 20.0, "deviation": 10.0, **WIDE}],
    "categories": [],
    "vocabulary_size": 0,
    "input_dtype": "float32",
}
TOKENS = {
    "version": 3,
    "kind": "tokens",
    "normalization": "NFC",
    "input": "text",
    "length": 4,
    "padding": 0,
    "unknown": 1,
    "first": 2,
    "vocabulary": ["sun", "lamp"],
    "tokenizer": RULES,
}
SHAPES = {"image": (1, 16, 16, 1), "row": (1, 2, 2), "tokens": (1, 8)}


pillow_heif.register_heif_opener()


@cache
def tflite(shape, dtype, middle):
    """Makes a file that gives the probability that the mean of its input is above `middle`."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(shape, dtype)])
    def bright(values):
        over = tf.reduce_mean(tf.cast(values, tf.float32)) - middle
        return tf.nn.softmax(tf.stack([-over, over])[tf.newaxis])

    function = bright.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([function], bright).convert()


@pytest.fixture(scope="module")
def files():
    """Makes a file for each kind of input, and for photos another one with another middle."""
    return {
        "image": tflite(SHAPES["image"], "float32", 100.0),
        "other": tflite(SHAPES["image"], "float32", 200.0),
        "row": tflite(SHAPES["row"], "float32", 0.0),
        "tokens": tflite(SHAPES["tokens"], "int32", 0.5),
    }


@pytest.fixture
def push(files, tmp_path):
    """Pushes a release with a kind of input."""

    def make(kind, root):
        candidate = make_candidate(tmp_path / "candidate", labels=LABELS)
        candidate.preprocessing.clear()
        candidate.preprocessing.update(
            {"image": image_contract(image_size=16), "row": ROW, "tokens": TOKENS}[kind]
        )
        candidate.edge_files["model_fp16.tflite"].write_bytes(files[kind])
        candidate.edge_files["model_int8.tflite"].write_bytes(files["other" if kind == "image" else kind])
        return store.push(root, "shelf", candidate)

    return make


@pytest.fixture
def predict(tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments, root=tmp_path / "push"):
        code = main(["predict", *map(str, arguments), "--store", str(root)])
        return Ended(code, *capsys.readouterr())

    return call


def photo(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 30), level, np.uint8)).save(path)
    return path


def test_a_photo_gets_its_label_and_the_next_probable_one(push, predict, tmp_path):
    push("image", tmp_path / "push")
    bright = photo(tmp_path / "lamp.png", 101)
    result = predict(bright)
    # softmax of -1 and 1
    assert (result.code, result.out) == (0, f"{bright}: bright 0.88  (dark 0.12)\n")
    (answer,) = predict(bright, "--json").json["answers"]
    assert answer["probabilities"] == pytest.approx({"bright": 0.880797, "dark": 0.119203}, abs=1e-5)


def test_a_photo_unlike_those_of_training_is_marked(push, predict, tmp_path, files, monkeypatch):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(SHAPES["image"], tf.float32)])
    def doubt(values):
        level = tf.reduce_mean(values, axis=(1, 2, 3))[:, tf.newaxis]
        over = level - 100.0
        return {
            "probabilities": tf.nn.softmax(tf.concat([-over, over], axis=1)),
            "unlike": tf.sigmoid(level / 50.0 - 3.0),
        }

    converter = tf.lite.TFLiteConverter.from_concrete_functions([doubt.get_concrete_function()], doubt)
    monkeypatch.setitem(files, "image", converter.convert())
    push("image", tmp_path / "push")
    week, model = tmp_path / "week", tmp_path / "model"
    known, other = photo(week / "known.png", 101), photo(week / "other.png", 250)
    assert predict(known).out == f"{known}: bright 0.88  (dark 0.12)\n"
    out = predict(other).out
    assert out == f"{other}: bright 1.00  (dark 0.00)  unlike what it was trained on (0.88)\n"
    (answer,) = predict(other, "--json").json["answers"]
    assert answer["unlike"] == pytest.approx(0.8808, abs=1e-4)
    (week / "broken.png").write_bytes(b"x")
    header, *rows = csv.reader(io.StringIO(predict(week).out))
    assert header == ["input", "label", "probability", *LABELS, "unlike", "problem"]
    assert [row[5] for row in rows] == ["", "0.272892", "0.880797"]
    model.mkdir()
    (model / "model.tflite").write_bytes(files["image"])
    (model / "labels.txt").write_text("dark\nbright\n")
    (model / "preprocessing.json").write_text(json.dumps(image_contract(image_size=16)))
    table = Model(model).predict(pandas.DataFrame({"photo": [str(known), str(other)]}))
    assert list(table["unlike"] > 0.5) == [False, True]


def test_rows_beyond_the_range_of_training_are_clipped_and_counted(push, predict, tmp_path, monkeypatch):
    (number,) = ROW["numbers"]
    number = number | {"column": {"name": "celsius"}, "low": 0.0, "high": 30.0}
    for key, value in {"version": 3, "missing": [""], "numbers": [number]}.items():
        monkeypatch.setitem(ROW, key, value)
    push("row", tmp_path / "push")
    table = tmp_path / "week.csv"
    table.write_text("celsius\n20\n30\n99\n-5\n20\n")
    result = predict(table)
    assert result.err.endswith(
        "celsius is beyond 0 to 30, its range in training, in 2 rows; it was clipped.\n"
    )
    answers = predict(table, "--json").json["answers"]
    assert [answer.get("clipped") for answer in answers] == [None, ["celsius"], ["celsius"], None]
    assert [answer["unlike"] > 0.5 for answer in answers] == [False, True, True, False]
    assert result.out.count("unlike what it was trained on (0.87)") == 2
    # Both z-scores are 1, as 99 is read as 30; with two marks of missing values, both 0, the mean is 0.5.
    assert answers[1]["probabilities"]["bright"] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)


def test_a_photo_of_a_new_phone_is_answered_and_a_broken_one_is_named(push, predict, tmp_path):
    push("image", tmp_path / "push")
    bright = photo(tmp_path / "week" / "lamp.heic", 101)
    broken = bright.with_name("broken.heic")
    broken.write_bytes(bright.read_bytes()[:-20])
    assert predict(bright).out == f"{bright}: bright 0.88  (dark 0.12)\n"
    answers = predict(bright.parent, "--json").json["answers"]
    assert "cannot be read: Invalid input: Unexpected end of file" in answers[0]["problem"]
    assert predict(bright, "--explain").code == 0


def test_another_file_of_the_release_can_be_chosen(push, predict, tmp_path):
    push("image", tmp_path / "push")
    document = predict(photo(tmp_path / "lamp.png", 101), "--variant", "int8", "--json").json
    assert (document["version"], document["variant"]) == (1, "int8")
    assert document["answers"][0]["label"] == "dark"
    result = predict(tmp_path / "lamp.png", "--variant", "int4")
    assert result.code == 2 and "fp16, int8." in result.err


def test_an_explanation_has_all_files_side_by_side_and_a_picture_also_for_photos_of_one_name(
    push, predict, tmp_path
):
    push("image", tmp_path / "push")
    result = predict(photo(tmp_path / "lamp.png", 101), "--explain")
    assert "read as uint8 [1, 16, 16, 1], 101 to 101" in result.out
    lines = [line.split() for line in result.out.splitlines()]
    assert ["fp16", "int8"] in lines and ["bright", "0.8808", "0.0000"] in lines
    assert Image.open("lamp.explained.png").size == (960, 320)
    for folder in ("a", "b"):
        photo(tmp_path / "week" / folder / "1.png", 101)
    assert predict(tmp_path / "week", "--explain").code == 0
    assert sorted(path.name for path in Path().glob("1*")) == ["1-2.explained.png", "1.explained.png"]


def test_a_folder_gives_a_table_with_the_files_that_cannot_be_read(push, predict, tmp_path):
    push("image", tmp_path / "push")
    folder = photo(tmp_path / "week" / "a.png", 99).parent
    photo(folder / "b.png", 101)
    (folder / "c.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("nor this")
    for name in ("__MACOSX", "@eaDir/b.png"):
        (folder / name).mkdir(parents=True)
    # A Mac packs such files, and a Synology server adds them.
    for name in ("._a.png", "__MACOSX/._b.png", "@eaDir/b.png/SYNOPHOTO_THUMB_M.png"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    result = predict(folder)
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert result.code == 1
    assert [(Path(row["input"]).name, row["label"]) for row in rows] == [
        ("a.png", "dark"),
        ("b.png", "bright"),
        ("c.jpg", ""),
    ]
    assert "cannot be read: unknown format" in rows[2]["problem"]


def test_a_folder_without_a_file_for_the_model_is_refused_and_a_missing_file_hides_no_other(
    push, predict, tmp_path
):
    push("image", tmp_path / "push")
    (tmp_path / "empty").mkdir()
    result = predict(tmp_path / "empty")
    assert result.code == 2 and "The model reads only such files." in result.err
    result = predict(tmp_path / "gone.png", photo(tmp_path / "lamp.png", 101))
    assert result.code == 1 and "gone.png: No such file" in result.err
    assert result.out.startswith(f"{tmp_path / 'lamp.png'}: bright")


def test_rows_are_answered_from_the_first_one_with_enough_readings(push, predict, tmp_path):
    push("row", tmp_path / "push")
    table = tmp_path / "boiler.csv"
    table.write_text("celsius,note\n10,a\n20,b\n40,c\nwarm,d\n")
    result = predict(table)
    assert result.code == 1
    # Means of two z-scores and their two marks of missing values: -0.25 and 0.5.
    assert result.out.splitlines() == [
        "boiler.csv:3: dark 0.62  (bright 0.38)",
        "boiler.csv:4: bright 0.73  (dark 0.27)",
    ]
    assert "boiler.csv:5: celsius: 'warm' is not a number" in result.err
    table.write_text("celsius,note\n10,a\n")
    few = predict(table)
    assert few.code == 1 and "boiler.csv: It has too few rows: an answer is of 2." in few.err
    for index in ("", ","):  # as pandas writes its own
        table.write_text(f"{index}kelvin\n{index}10\n")
        result = predict(table)
        assert result.code == 2 and f"has no column 'celsius'; found: {index and ', '}kelvin." in result.err


def test_equal_problems_of_rows_are_printed_once_with_their_count_and_first_places(push, predict, tmp_path):
    push("row", tmp_path / "push")
    table = tmp_path / "boiler.csv"
    table.write_text("celsius\n" + "10\n" * 4 + "".join(f"warm {n}\n" for n in range(1500)) + "1;2\n")
    result = predict(table)
    assert (result.code, len(result.out.splitlines())) == (1, 3)
    problems = result.err.splitlines()[1:]
    assert problems[:2] == [
        "boiler.csv:6: celsius: 'warm 0' is not a number.",
        "  1500 more with this problem: boiler.csv:7, boiler.csv:8, ...",
    ]
    assert len(problems) == 2


def test_the_folder_of_a_span_is_answered_without_its_served_answers(push, predict, tmp_path):
    push("row", tmp_path / "push")
    (span := tmp_path / "span-00007").mkdir()
    (span / "table.csv").write_text("celsius\n10\n20\n")
    (span / "served.csv").write_text("example,version\ntable.csv:2,1\n")
    (span / "corrections.jsonl").write_text("{}\n")
    answers = predict(span, "--json").json["answers"]
    assert [answer["input"] for answer in answers] == ["table.csv:3"]


def test_a_table_is_read_as_an_import_reads_it(push, predict, tmp_path, monkeypatch):
    column = {"name": "Wärme", "form": "number with decimal comma"}
    number = {"name": "Wärme", "column": column, "mean": 1000.0, "deviation": 1000.0, **WIDE}
    german = {**ROW, "missing": ["", "na"], "numbers": [number]}
    monkeypatch.setitem(globals(), "ROW", german)
    push("row", tmp_path / "push")
    table = tmp_path / "kessel.csv"
    table.write_bytes("Ort;Wärme;Notiz\nKöln;1.000,0;a\nUlm;2.000,0;b\nUlm;NA;c\n".encode("cp1252"))
    answers = predict(table, "--json").json["answers"]
    assert [answer["input"] for answer in answers] == ["kessel.csv:3", "kessel.csv:4"]
    # Means of 0 and 1, and of 1 and 0 with a mark of a missing value.
    bright = [answer["probabilities"]["bright"] for answer in answers]
    assert bright == pytest.approx([1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-1.0))], abs=1e-5)


def test_texts_are_read_from_a_file_or_from_the_column_that_the_model_was_trained_on(push, predict, tmp_path):
    push("tokens", tmp_path / "push")
    (tmp_path / "one.txt").write_text("Lamp, sun")
    (tmp_path / "many.csv").write_text("id,text\n1,\n2,Lamp lamp lamp lamp\n")
    # Ids 3 and 2 of four words and four pairs; 3 of each word.
    labels = [answer["label"] for answer in predict(tmp_path / "one.txt", "--json").json["answers"]]
    assert labels == ["bright"]
    many = predict(tmp_path / "many.csv", "--json").json["answers"]
    assert [(answer["input"], answer.get("label"), answer["problem"]) for answer in many] == [
        ("many.csv:2", None, "The text is empty."),
        ("many.csv:3", "bright", None),
    ]


def feed(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_text_is_answered_as_it_is_typed_or_comes_in_a_pipe_but_no_misspelt_path(
    push, predict, tmp_path, monkeypatch
):
    push("tokens", tmp_path / "push")
    (tmp_path / "one.txt").write_text("Lamp, sun")
    (expected,) = predict(tmp_path / "one.txt", "--json").json["answers"]

    feed(monkeypatch, b"Lamp, sun")
    typed, piped = predict("Lamp, sun", "-", "--json").json["answers"]
    assert typed == {**expected, "input": "Lamp, sun"}
    assert piped == {**expected, "input": "stdin"}
    feed(monkeypatch, b"\x00\xff\xd8JPEG\x01")
    assert "stdin: It contains the control character" in predict("-").err
    for misspelt in ("reviws.csv", "texts/one.txt", "texts/week", ""):
        result = predict(misspelt)
        assert result.code in (1, 2) and result.out == ""


def test_rows_and_a_photo_come_in_a_pipe(push, predict, tmp_path, monkeypatch):
    push("row", tmp_path / "push")
    feed(monkeypatch, b"celsius,note\n10,a\n20,b\n40,c\n")
    assert predict("-").out.splitlines() == [
        "stdin:3: dark 0.62  (bright 0.38)",
        "stdin:4: bright 0.73  (dark 0.27)",
    ]
    push("image", tmp_path / "photos")
    feed(monkeypatch, photo(tmp_path / "lamp.png", 101).read_bytes())
    assert predict("-", root=tmp_path / "photos").out == "stdin: bright 0.88  (dark 0.12)\n"


def test_a_text_is_the_same_in_each_encoding(push, predict, tmp_path):
    release = push("tokens", tmp_path / "push")
    # The unknown word counts: read in another encoding it would be lost.
    expected = edgeline.open(tmp_path / "push").model(release.version).predict("sun \xe9 lamp")
    (tmp_path / "week").mkdir()
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        for end, content in (("txt", "sun \xe9 lamp"), ("csv", "text\nsun \xe9 lamp\n")):
            (tmp_path / "week" / f"{encoding}.{end}").write_bytes(content.encode(encoding))
    answers = predict(tmp_path / "week", "--json").json["answers"]
    assert [answer["probabilities"] for answer in answers] == [expected["probabilities"]] * 6


@pytest.mark.parametrize(("end", "head"), [("txt", ""), ("csv", "text\n")])
def test_a_file_in_a_named_encoding_is_read_with_its_name(push, predict, tmp_path, end, head):
    release = push("tokens", tmp_path / "push")
    model = edgeline.open(tmp_path / "push").model(release.version)
    expected = model.predict("sun насос lamp")["probabilities"]
    file = tmp_path / f"a.{end}"
    file.write_bytes(f"{head}sun насос lamp\n".encode("cp1251"))
    answers = predict(file, "--encoding", "cp1251", "--json").json["answers"]
    (in_python,) = model.predict_file(file, encoding="cp1251")
    assert [answer["probabilities"] for answer in answers] == [expected] == [in_python["probabilities"]]
    result = predict(file, "--encoding", "klingon")
    assert result.code == 2 and "--encoding is 'klingon', which is not known" in result.err


def test_a_text_that_a_run_rejects_and_a_file_that_is_no_text_are_not_answered(push, predict, tmp_path):
    push("tokens", tmp_path / "push")
    contents = (b"", b" \n\xe2\x80\x8b", b"sun\0lamp", b"\x00\xff\xd8JPEG\x01", b"caf\xe9\n\xc3\xa9")
    contents += ("Gerät läuft größtenteils Rü".encode()[:-1],)  # cut
    (tmp_path / "week").mkdir()
    for number, content in enumerate(contents):
        (tmp_path / "week" / f"{number}.txt").write_bytes(content)
    result = predict(tmp_path / "week", "--json")
    assert result.code == 1
    assert [answer["problem"][:35] for answer in result.json["answers"]] == [
        *["The text is empty."] * 2,
        *["It contains the control character U"] * 2,
        *["Its text cannot be decoded: 'utf-8'"] * 2,
    ]
    model = edgeline.open(tmp_path / "push").model()
    for text in ("", "\u200b", "sun\x07", b"\n"):
        with pytest.raises(UsageError, match=r"is empty|control character"):
            model.predict(text)


@pytest.mark.parametrize("name", ["model_fp16.tflite", "labels.txt"])
def test_a_damaged_file_is_named_before_anything_reads_it(push, predict, tmp_path, name):
    file = push("image", tmp_path / "push").edge / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    result = predict(photo(tmp_path / "lamp.png", 101))
    found, why, do = result.err.splitlines()
    assert result.code == 1 and result.out == ""
    assert f"edge/shelf/1/{name}: found sha256" in found and why and "edgeline verify" in do


def test_predict_imports_no_tensorflow_and_prints_no_noise_of_an_interpreter(push, tmp_path):
    push("image", tmp_path / "push")
    lamp = photo(tmp_path / "lamp.png", 101)
    script = (
        "import sys\nfrom runners.cli.main import main\ncode = main(sys.argv[1:])\n"
        "sys.exit(99 if {'tensorflow', 'pandas', 'pydantic', 'rich'} & set(sys.modules) else code)"
    )
    command = [sys.executable, "-c", script, "predict", lamp, "--store", tmp_path / "push"]
    process = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0 and re.fullmatch(r"shelf 1: Valid until \S+Z\.\n", process.stderr)


def test_a_model_that_mlflow_loads_answers_as_predict_does(push, predict, tmp_path):
    """It needs neither this project nor TensorFlow."""
    release = push("image", tmp_path / "push")
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlflow", "shelf")
    registry.register_releases(str(tmp_path / "push"))
    lamps = [str(photo(tmp_path / name, level)) for name, level in (("dark.png", 99), ("bright.heic", 101))]
    (requirements,) = (tmp_path / "mlflow").rglob("requirements.txt")
    assert "pillow-heif==" in requirements.read_text()
    script = (
        "import sys, mlflow, pandas\n"
        "sys.path = [path for path in sys.path if path != sys.argv[2]]\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/shelf@production')\n"
        "paths = pandas.DataFrame({'photo': sys.argv[3:]}, index=[7, 7])\n"
        "data = pandas.DataFrame({'photo': [open(path, 'rb').read() for path in sys.argv[3:]]}, [7, 7])\n"
        "print(model.predict(paths).to_csv(), model.predict(data).to_csv(), sep='')\n"
        "print('tensorflow' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path / 'mlflow.db'}", str(ROOT), *lamps]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    *tables, tensorflow = process.stdout.splitlines()
    answers = list(csv.DictReader(io.StringIO("\n".join(tables[:3]))))
    assert (tables[:3], tensorflow) == (tables[3:6], "False"), process.stderr
    assert [(row[""], row["label"]) for row in answers] == [("7", "dark"), ("7", "bright")]
    (answer,) = predict(lamps[1], "--json").json["answers"]
    assert {name: float(answers[1][name]) for name in LABELS} == pytest.approx(
        answer["probabilities"], abs=1e-6
    )
    assert not list((tmp_path / "mlflow").rglob("saved_model.pb")) and release.version == 1


@pytest.mark.parametrize(
    ("kind", "examples", "expected"),
    [
        ("row", {"celsius": [10.0, 20.0, 40.0], "note": ["a", "b", "c"]}, {1: "dark", 2: "bright"}),
        ("tokens", {"id": [1, 2], "text": ["", "Lamp lamp lamp lamp"]}, {0: "dark", 1: "bright"}),
    ],
)
def test_rows_and_texts_are_columns_to_mlflow(push, tmp_path, kind, examples, expected):
    import mlflow

    release = push(kind, tmp_path / "push")
    names = (release.default_file.name, "preprocessing.json", "labels.txt")
    save_model({name: release.read(name) for name in names}, tmp_path / "model")
    model = mlflow.pyfunc.load_model(tmp_path / "model")
    signature = model.metadata.signature
    assert set(signature.inputs.input_names()) <= set(examples)
    unlike = ["unlike"] if kind == "row" else []
    assert signature.outputs.input_names() == ["label", "probability", *LABELS, *unlike]
    table = model.predict(pandas.DataFrame(examples))
    assert table["label"].to_dict() == expected
    assert table["probability"].tolist() == pytest.approx(table[list(LABELS)].max(axis=1).tolist())
