"""`edgeline data suggest` on photos, rows and texts, by a workspace with a release of a real TFLite file."""

import csv
import json
import re
import shutil
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.importers.importing import import_photos
from data.importers.tables import import_table
from edgeline.cli.main import main
from edgeline.release import store
from tests.conftest import make_workspace
from tests.data.importers.workbooks import write_xlsx
from tests.data.sample_photos import jpeg
from tests.edgeline.cli.test_predict import ROW, SHAPES, TOKENS, image_contract, tflite
from tests.edgeline.release.candidates import make_candidate
from tests.shared import make_once
from trainer_module.networks import photo_features

WORDS = ("sun", "lamp", "night", "cellar", "moon", "candle")
ONE_ROW, SHAPE = {**ROW, "readings": 1}, {**SHAPES, "row": (1, 1, 2)}
CONTRACTS = {"image": image_contract(image_size=16), "row": ONE_ROW, "tokens": TOKENS, "windows": ROW}


def write_table(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def make_text(number):
    words = np.random.default_rng(number).choice(WORDS, 3)
    return f"{' '.join(words)} {number}"


def import_labelled(kind, folder):
    """Imports 24 labelled examples, half of each label."""
    labels = ["dark", "bright"] * 12
    if kind == "image":
        for number, label in enumerate(labels):
            path = folder / "photos" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(seed=number))
        import_photos(folder / "photos", folder / "data")
    elif kind == "tokens":
        rows = [(make_text(number), label, f"a{number % 7}") for number, label in enumerate(labels)]
        src = write_table(folder / "texts.csv", ("body", "mood", "author"), rows)
        import_table(src, folder / "data", "mood", group="author", text="body")
    else:
        rows = [(f"{number / 2}", label) for number, label in enumerate(labels)]
        import_table(write_table(folder / "rows.csv", ("celsius", "state"), rows), folder / "data", "state")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder for each kind, with labelled spans and a release."""

    def make(folder):
        for kind in CONTRACTS:
            import_labelled(kind, folder / kind)
            candidate = make_candidate(folder / kind / "candidate", labels=("dark", "bright"))
            candidate.preprocessing.clear()
            contract = {**CONTRACTS[kind], **({"column": "body"} if kind == "tokens" else {})}
            candidate.preprocessing.update(contract)
            shape = SHAPES["row"] if kind == "windows" else SHAPE[kind]
            file = tflite(
                shape, "int32" if kind == "tokens" else "float32", 100.0 if kind == "image" else 0.5
            )
            for path in candidate.edge_files.values():
                path.write_bytes(file)
            store.push(folder / kind / "push", "shelf", candidate)
        return folder

    return make_once(tmp_path_factory, "suggest", make)


def read_list(folder):
    """Returns the rows of the list in a folder; none without a list."""
    path = Path(folder, "suggestions.csv")
    return list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []


@pytest.fixture
def suggest(folders, make_run, tmp_path, capfd, monkeypatch):
    """Runs `data suggest` on a source, for a workspace whose last run is of that kind."""
    monkeypatch.chdir(tmp_path)

    def run(source, *options, kind="image", push=None, has_run=True):
        data, workspace = folders / kind / "data", tmp_path / f"workspace-{kind}"
        if has_run and not workspace.exists():
            values = {"data": str(data), "workload_source": str(data / "workload.yaml")}
            make_workspace(workspace, make_run, **values, push=str(push or folders / kind / "push"))
        code = main(["data", "suggest", str(source), "--workspace", str(workspace), "--out", "out", *options])
        output = capfd.readouterr()
        return SimpleNamespace(code=code, out=output.out, err=output.err, rows=read_list("out"))

    return run


@pytest.fixture
def photos(tmp_path):
    """A folder with 20 new photos."""
    folder = tmp_path / "new"
    for number in range(20):
        path = folder / f"lane-{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed=100 + number))
    return folder


@pytest.fixture
def use_plain_features(monkeypatch):
    """Replaces the network for features of photos by some of their pixels."""
    monkeypatch.setattr(
        photo_features, "embed_photos", lambda photos: np.array([[*photo[::499]] for photo in photos], float)
    )


def test_new_photos_are_suggested_and_labelled_copied_and_broken_ones_left_out(
    suggest, folders, photos, tmp_path
):
    shutil.copy(next((folders / "image" / "photos").rglob("*.jpg")), photos / "labelled.jpg")
    shutil.copy(photos / "lane-0" / "0.jpg", photos / "lane-1" / "copy.jpg")
    (photos / "broken.jpg").write_bytes(jpeg()[:200])
    (photos / "notes.txt").write_text("no photo")
    result = suggest(photos, "--n", "11")
    assert result.code == 0, result.err
    assert "11 of 20 photos to label next: out/suggestions.csv" in result.out
    assert "1 labelled already, 1 copies of others" in result.out and "broken.jpg: " in result.out
    assert [row["chosen"] for row in result.rows].count("useful") == 9
    page = Path("out/suggestions.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 11
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", page)
    margins = [float(row["margin"]) for row in result.rows if row["chosen"] == "useful"]
    assert margins == sorted(margins)
    assert {row["said"] for row in result.rows} <= {"dark", "bright"}
    # The list with labels is imported as it is.
    assert "Write the labels into its column label, then:" in result.out
    for number, row in enumerate(result.rows):
        row["label"] = ("dark", "bright")[number % 2]
    write_table(Path("out/suggestions.csv"), result.rows[0], [row.values() for row in result.rows])
    assert sum(import_photos(Path("out/suggestions.csv"), tmp_path / "data").added.values()) == 11


@pytest.mark.usefixtures("use_plain_features")
def test_the_same_photos_get_the_same_suggestions_and_programs_get_their_numbers_as_json(suggest, photos):
    (photos / "broken.jpg").write_bytes(jpeg()[:200])
    first = suggest(photos, "--n", "10").rows
    shutil.rmtree("out")
    (photos / "lane-0").rename(photos / "renamed")
    result = suggest(photos, "--n", "10", "--json")
    assert {row["photo"]: row["chosen"] for row in first} == {
        row["photo"]: row["chosen"] for row in result.rows
    }
    printed = json.loads(result.out)
    assert (printed["list"], printed["candidates"]) == ("out/suggestions.csv", 20)
    assert (printed["useful"], printed["random"], printed["labelled"]) == (9, 1, 24)
    assert printed["left_out"] == {"labelled": 0, "copies": 0} and printed["gain"] is None
    assert len(printed["problems"]) == 1 and "broken.jpg" in printed["problems"][0]


@pytest.mark.usefixtures("use_plain_features")
def test_each_lane_of_a_list_gets_its_share(suggest, photos):
    rows = [(path.relative_to(photos), path.parent.name) for path in sorted(photos.rglob("*.jpg"))]
    rows.append(("gone.jpg", "lane-0"))
    result = suggest(write_table(photos / "list.csv", ("photo", "lane_id"), rows), "--n", "10")
    assert result.code == 0, result.err
    assert "gone.jpg: No such file or directory" in result.out
    useful = [row["lane_id"] for row in result.rows if row["chosen"] == "useful"]
    assert {useful.count("lane-0"), useful.count("lane-1")} <= {4, 5} and ", by lane_id" in result.out


def test_rows_of_a_table_keep_their_columns_and_get_one_for_the_label(suggest, tmp_path):
    rows = [(number, f"{number / 2 + 0.25}", "") for number in range(40)]
    rows += [(90, "4.5", ""), (91, "warm", "")]
    result = suggest(
        write_table(tmp_path / "new.csv", ("id", "celsius", "state"), rows), "--n", "10", kind="row"
    )
    assert result.code == 0, result.err
    assert list(result.rows[0])[:3] == ["id", "celsius", "state"] and result.rows[0]["state"] == ""
    assert "1 labelled already" in result.out and "'warm'" in result.out
    assert "--label state --data" in result.out
    assert result.rows[0]["celsius"] == "19.75"  # the nearest to 30, where both labels are equally probable


def test_a_table_is_found_in_a_workbook_by_its_columns(suggest, tmp_path):
    rows = [["celsius", "name of room"], *([f"{n / 2 + 0.25}", f"the {n} room"] for n in range(20))]
    write_xlsx(tmp_path / "new.xlsx", {"notes": [["who", "what"], ["ann", "ok"]], "rows": rows})
    write_table(tmp_path / "new.csv", rows[0], rows[1:])
    for number, name in enumerate(("new.csv", "new.xlsx")):
        result = suggest(tmp_path / name, "--n", "20", "--out", f"{number}", kind="row")
        assert result.code == 0, result.err
        cells = sorted([row["celsius"], row["name of room"]] for row in read_list(f"{number}"))
        assert cells == sorted(rows[1:])


def test_texts_are_suggested_from_tables_and_text_files(suggest, tmp_path):
    rows = [(make_text(100 + number),) for number in range(20)] + [(make_text(3).upper(),)]
    write_table(tmp_path / "new" / "a.csv", ("body",), rows)
    (tmp_path / "new" / "b.txt").write_text("the lamp in the cellar")
    for form in ("NFC", "NFD"):  # a run reads both as the same text
        (tmp_path / "new" / f"{form}.txt").write_text(unicodedata.normalize(form, "das Café"))
    result = suggest(tmp_path / "new", "--n", "22", kind="tokens")
    assert result.code == 0, result.err
    assert "22 of 22 texts" in result.out and "1 labelled already, 1 copies of others" in result.out
    # None of them has an author, which is the group of the labelled texts.
    assert "suggestions.csv --text body --label label" in result.out
    assert "the lamp in the cellar" in {row["body"] for row in result.rows}


def test_the_list_keeps_all_columns_of_all_tables_beside_the_answers(suggest, tmp_path):
    rows = [(make_text(100 + number), "ann", f"{number}") for number in range(10)]
    write_table(tmp_path / "new" / "a.csv", ("body", "author", "chosen"), rows)
    lines = [
        {"body": make_text(200 + number), "shop": "north", "rating": 4.5, "verified": True, "tags": ["a"]}
        for number in range(10)
    ]
    (tmp_path / "new" / "b.jsonl").write_text("\n".join(map(json.dumps, lines)))
    result = suggest(tmp_path / "new", "--n", "20", kind="tokens")
    assert result.code == 0, result.err
    rows_a, rows_b = ([row for row in result.rows if name in row["place"]] for name in ("a.csv", "b.jsonl"))
    assert {row["author"] for row in rows_a} == {"ann"} and {row["chosen"] for row in rows_a} == {
        *map(str, range(10))
    }
    assert {(row["shop"], row["rating"], row["verified"], row["tags"]) for row in rows_b} == {
        ("north", "4.5", "True", '["a"]')
    }
    assert {row["model_chosen"] for row in result.rows} == {"useful", "random"}
    again = suggest(Path("out/suggestions.csv"), "--n", "20", "--out", "again", kind="tokens")
    rows = read_list("again")
    assert again.code == 0 and sorted(rows[0]) == sorted(result.rows[0])
    assert {row["chosen"] for row in rows if row["author"]} == {*map(str, range(10))}


@pytest.mark.usefixtures("use_plain_features")
def test_an_earlier_list_gets_new_answers(suggest, photos):
    assert "1,000 were asked for; these are all." in suggest(photos, "--n", "1000").out
    header = ("photo", "place", "said", "score", "margin", "version", "variant", "chosen")
    names = sorted(path.name for path in Path("out/photos").iterdir())
    rows_before = [(name, "x", "bright", "2", "2", "0", "old", "random") for name in names]
    earlier = write_table(Path("out/list.csv"), header, rows_before)
    result = suggest(earlier, "--n", "10", "--out", "again")
    assert result.code == 0, result.err
    rows = read_list("again")
    assert [row["chosen"] for row in rows].count("random") == 1
    assert {row["version"] for row in rows} == {"1"} and all(float(row["score"]) <= 1 for row in rows)


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        ("nowhere", (), 2, "nowhere does not exist."),
        ("new", ("--n", "0"), 2, "--n is 0."),
        ("empty", (), 2, "empty has no "),
        (".", (), 2, ". holds the workspace "),
        ("broken", (), 4, "None of the photos of broken can be read: "),
        ("known", (), 4, "All photos of known that can be read are labelled already (12)."),
        ("table.csv", (), 2, "table.csv has no column photo."),
        ("new/lane-0/0.jpg", ("--out", "new"), 2, "new exists already."),
    ],
)
def test_a_source_without_suggestions_is_refused_and_nothing_is_written(
    suggest, folders, photos, tmp_path, source, options, code, message
):
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"")
    shutil.copytree(folders / "image" / "photos" / "dark", tmp_path / "known")
    write_table(tmp_path / "table.csv", ("celsius",), [("4",)])
    result = suggest(source, *options)
    assert result.code == code and message in result.err, result.err
    assert not Path("out").exists()


def test_without_a_run_or_a_release_there_is_nothing_to_suggest_by(suggest, photos, tmp_path):
    assert "has no run" in suggest(photos, has_run=False).err
    assert "has no models" in suggest(photos, push=tmp_path / "empty").err


def test_single_rows_of_windows_are_not_suggested(suggest, tmp_path):
    rows = write_table(tmp_path / "new.csv", ("celsius",), [("4",), ("5",)])
    assert "reads windows of 2 rows" in suggest(rows, kind="windows").err
