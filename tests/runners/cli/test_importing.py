"""`edgeline run SRC` imports what is new in a source into the workspace, and runs on it."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from runners.cli.sources import find_target
from runners.local import run as local
from runners.local.lock import hold
from tests.data.importers.test_phone import export


@pytest.fixture
def runs(monkeypatch):
    """Returns the options of the runs that commands start, in place of the runs."""
    started = []
    monkeypatch.setattr(local, "run", lambda options, listeners: started.append(options) or 0)
    return started


def write_table(folder, rows=60, name="my wine.csv"):
    lines = [f"{n % 7}.5,{n % 5}.25,{'ab'[n % 2]}" for n in range(rows)]
    (folder / name).write_text("\n".join(["acid,ash,kind", *lines]) + "\n")
    return name


def test_a_source_is_imported_under_its_name_and_run_unless_nothing_changed(tmp_path, command, runs):
    result = command("run", write_table(tmp_path), "--label", "kind", "--set", "seed=3", "--wait")
    assert result.code == 0 and "holds 60 rows of my wine.csv" in result.out
    (options,) = runs
    data = Path("workspace/data/my-wine")
    assert (options.data, options.named.workload) == (data, str(data / "workload.yaml"))
    assert options.if_changed and options.wait and options.named.overrides == ("seed=3",)


@pytest.mark.parametrize("mistake", ["push.key=gone.pem", "trainer.epochs=none"])
def test_a_setting_that_cannot_hold_is_told_before_anything_is_imported(tmp_path, command, runs, mistake):
    result = command("run", write_table(tmp_path), "--label", "kind", "--set", mistake)
    assert result.code == 2 and mistake.partition("=")[2] in result.err
    assert not runs and not (tmp_path / "workspace").exists()


def test_the_same_line_takes_what_is_new_as_the_next_span_or_says_that_nothing_is(tmp_path, command, runs):
    line = "run", write_table(tmp_path), "--label", "kind", "--category", "acid", "--leave-out", "ash"
    command(*line)
    second = command(*line)
    assert second.code == 0 and "Nothing is new, and nothing was added." in second.out
    with open(tmp_path / "my wine.csv", "a") as file:
        file.write("1.5,9.25,a\n3.5,9.75,b\n")
    third = command(*line)
    assert third.code == 0 and "span-00002 holds 2 rows of my wine.csv" in third.out
    assert len(runs) == 3 and all(options.if_changed for options in runs)
    other = command(*line[:4], "--number", "acid")
    assert other.code == 2 and "table.yaml fixes the kind of acid" in other.err


def test_the_columns_of_texts_are_named_once(tmp_path, command, runs):
    lines = [f"{'a good' if n % 2 else 'a very bad'} film, number {n};{n % 2}" for n in range(60)]
    (tmp_path / "films.csv").write_text("\n".join(["body;stars", *lines]))
    assert command("run", "films.csv", "--text", "body", "--label", "stars").code == 0
    for options in ((), ("--text", "body")):
        with open(tmp_path / "films.csv", "a") as file:
            file.write(f"\na film of {len(options)} weeks later;1")
        later = command("run", "films.csv", *options)
        assert later.code == 0 and "holds 1 text" in later.out


def test_sources_of_several_kinds_lie_side_by_side(tmp_path, command, runs):
    table = write_table(tmp_path, name="wine.csv")
    lines = [f"{'a good' if n % 2 else 'a very bad'} film, number {n},{n % 2}" for n in range(60)]
    (tmp_path / "films.csv").write_text("\n".join(["body,,stars", *(f'"{x[:-2]}",,{x[-1]}' for x in lines)]))
    with sqlite3.connect(tmp_path / "plant.db") as database:
        database.execute("CREATE TABLE t (vib REAL, state TEXT)")
        rows = ((n % 7 + n / 100, "ab"[n % 2]) for n in range(60))
        database.executemany("INSERT INTO t VALUES (?, ?)", rows)
    query = "--query", "SELECT * FROM t", "--label", "state"
    for source in ([table, "--label", "kind"], ["films.csv", "--text", "body", "--label", "stars"]):
        assert command("run", *source).code == 0
    assert command("run", f"sqlite:///{tmp_path}/plant.db", *query).code == 0
    workloads = [Path(options.named.workload).read_text() for options in runs]
    names = [next(line for line in text.splitlines() if line.startswith("name:")) for text in workloads]
    assert names == ['name: "wine"', 'name: "films"', 'name: "plant"']


def test_a_source_whose_name_is_none_of_a_model_is_imported_into_a_folder_that_is_named(
    tmp_path, command, runs
):
    assert command("run", write_table(tmp_path, name="日本.csv"), "--label", "kind", "--data", "x").code == 0
    assert runs[0].data == Path("x") and runs[0].named.workload == "x/workload.yaml"


def test_with_json_the_report_of_the_import_is_beside_the_result(tmp_path, command, runs):
    result = command("run", write_table(tmp_path), "--label", "kind", "--json")
    assert result.out == "" and "holds 60 rows" in result.err


def test_without_a_terminal_the_error_has_the_whole_command(tmp_path, command, runs):
    result = command("run", write_table(tmp_path), "--workspace", "my ws", "--set", "seed=3")
    assert result.code == 2 and not runs
    assert "edgeline run 'my wine.csv' --workspace 'my ws' --set seed=3 --label kind" in result.err


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a.csv.gz", "a"),
        ("Äpfel 2026.xlsx", "apfel-2026"),
        ("v1.2/", "v1-2"),
        ("shelf.csv", "my-shelf"),  # a model of a sample has that name
        ("sqlite:///plant.db", "plant"),
        ("postgresql://user@host/sales", "sales"),
        ("..", "outer"),
    ],
)
def test_a_model_is_named_like_its_source(tmp_path, monkeypatch, source, name):
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    if source.endswith("/"):
        Path(source).mkdir()
    elif "://" not in source and source != "..":
        Path(source).write_text("a")
    assert find_target(source, Path("ws")) == Path("ws/data", name)


@pytest.mark.parametrize(
    ("arguments", "found", "do"),
    [
        (["my wine"], "'my wine' does not exist", "Did you mean my wine.csv?"),
        (["shelf"], "'shelf' does not exist", "edgeline run --workload shelf"),
        (["known"], "'known' does not exist", "edgeline run --workload known"),
        (["seed=3"], "'seed=3' does not exist", "edgeline run --set seed=3"),
        (["nowhere/x"], "'nowhere/x' does not exist", "Check its path"),
        (["."], "is a folder of spans", "edgeline run --data ."),
        (["a.yaml"], "a.yaml is a workload or a profile.", "Pass it with --workload or --profile."),
        (["日本.csv"], "No model can be named like", "--data DIR"),
        (["--label", "kind"], "--label is given without a source.", "edgeline run SRC`."),
        (["my wine.csv", "--workload", "shelf"], "--workload is given with the source", "Leave out one"),
        (["my wine.csv", "--sample"], "--sample is given with the source", "Leave out one"),
        (["my wine.csv", "--data", "s3://b/x"], "--data is s3://b/x.", "Pass a folder"),
        (["my wine.csv", "--set", "trainer.epoch=2"], "trainer.epoch: there is no such", "trainer.epochs?"),
        (["my wine.csv", "--workspace", "w[1]"], "The path of", "Pass another folder with --workspace DIR."),
    ],
)
def test_what_is_no_source_is_refused_with_what_may_be_meant(tmp_path, command, runs, arguments, found, do):
    write_table(tmp_path)
    write_table(tmp_path, name="日本.csv")
    (tmp_path / "a.yaml").write_text("seed: 3")
    (tmp_path / "span-00001").mkdir()
    (tmp_path / "workspace/data/known").mkdir(parents=True)
    (tmp_path / "workspace/data/known/workload.yaml").write_text("name: known")
    result = command("run", *arguments)
    assert result.code == 2 and not runs
    assert found in result.err and do in result.err
    assert not list(tmp_path.glob("workspace/data/*/span-*"))


def test_nothing_is_imported_while_another_run_uses_the_workspace(tmp_path, command, runs):
    line = "run", write_table(tmp_path), "--label", "kind"
    with hold(tmp_path / "workspace"):
        result = command(*line)
    assert result.code == 5 and "Another run holds the workspace" in result.err and not runs
    assert not (tmp_path / "workspace" / "data").exists()


def test_what_a_phone_exports_goes_to_the_data_of_its_model(tmp_path, command, runs):
    (tmp_path / "films.csv").write_text("body,label\n" + "It works,positive\nIt broke,negative\n" * 5)
    assert command("run", "films.csv", "--text", "body", "--label", "label").code == 0
    checked = "text,label,source,group\nIt broke,negative,phone,d\n"
    export(tmp_path / "from phone.zip", "films", texts_csv=checked)
    result = command("run", "from phone.zip")
    assert result.code == 0 and "workspace/data/films/span-00002 holds 1 row" in result.out
    assert runs[-1].data == Path("workspace/data/films")
    export(tmp_path / "b.zip", "other", texts_csv=checked)
    other = command("run", "b.zip")
    assert other.code == 2 and "was exported from other, and workspace/data/other has no spans" in other.err


def test_an_archive_of_photos_is_a_source_by_its_name(tmp_path, command, runs):
    for label in ("ok", "bad"):
        for number in range(3):
            image = Image.effect_noise((32, 32), 10 + 20 * number + (label == "ok"))
            (tmp_path / "src" / label).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "src" / label / f"{number}.png")
    shutil.make_archive(tmp_path / "My Photos", "gztar", tmp_path / "src")
    result = command("run", "My Photos.tar.gz")
    assert result.code == 0 and "My Photos.tar.gz is one folder per class" in result.out, result
    assert runs[-1].data == Path("workspace/data/my-photos")
    inspected = command("data", "inspect", "src", "--data", "photos")
    assert inspected.code == 2 and "src has photos." in inspected.err


def test_photos_are_not_imported_into_a_table_nor_a_table_into_photos(tmp_path, command, runs):
    write_table(tmp_path, name="a.csv")
    assert command("run", "a.csv", "--label", "kind").code == 0
    (tmp_path / "a" / "ok").mkdir(parents=True)
    (tmp_path / "a" / "ok" / "1.jpg").write_bytes(b"never read")
    result = command("run", "a")
    assert result.code == 4 and "workspace/data/a has data of kind table" in result.err
    (tmp_path / "workspace/data/a/workload.yaml").write_text("name: a\nschema: schema.pbtxt\n")
    again = command("run", "a.csv", "--label", "kind")
    assert again.code == 4 and "workspace/data/a has data of kind photos" in again.err


def test_a_table_is_inspected_into_the_folder_of_its_run_which_then_reads_it_so(tmp_path, command, runs):
    name = write_table(tmp_path)
    explained = command("data", "inspect", name, "--label", "kind", "--explain", "ash")
    assert explained.code == 0 and "? yes: number" in explained.out and not Path("workspace").exists()
    inspected = command("data", "inspect", name, "--label", "kind", "--workspace", "workspace")
    assert inspected.code == 0 and "workspace/data/my-wine/table.yaml says how" in inspected.out
    path = Path("workspace/data/my-wine/table.yaml")
    path.write_text(
        path.read_text().replace("  ash:\n    role: number", "  ash:\n    role: leave out  # bad")
    )
    result = command("run", name)
    assert result.code == 0 and "Numbers: acid." in result.out and "# bad" in path.read_text()
    again = command("data", "inspect", name, "--data", "workspace/data/my-wine")
    assert again.code == 0 and "is there, and is not changed" in again.out


def test_an_encoding_that_cannot_be_found_is_named(tmp_path, command, runs):
    lines = [f"{n % 7}.5,{('насос', 'клапан')[n % 2]}" for n in range(60)]
    (tmp_path / "a.csv").write_bytes("\n".join(["acid,kind", *lines]).encode("cp1251"))
    assert "--encoding" in command("run", "a.csv", "--label", "kind").err
    inspected = command("data", "inspect", "a.csv", "--label", "kind", "--encoding", "cp1251", "--data", "x")
    assert inspected.code == 0 and "data import a.csv --encoding cp1251 --data x" in inspected.out
    result = command("run", "a.csv", "--label", "kind", "--encoding", "cp1251")
    assert result.code == 0 and "клапан, насос" in result.out
    result = command("data", "import", "a.csv", "--encoding", "cp1251", "--data", "x")
    assert result.code == 0 and "клапан, насос" in result.out
