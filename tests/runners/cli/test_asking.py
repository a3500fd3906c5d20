"""An import without --label: it asks on a terminal, and else prints the whole command."""

import os
import pty
import shlex
import subprocess
import sys
import tarfile
import zipfile

import pytest

from data.importers.changed_columns import Change, ColumnsChanged
from edgeline.errors import UsageError
from runners.cli import asking
from runners.cli.importing import ImportOptions
from runners.shared.progress import show_progress
from tests.runners.cli.process import ROOT

LINES = [f"{n};{'a good' if n % 2 else 'a very bad'} film, number {n} of all;{n % 2}" for n in range(60)]


@pytest.fixture
def reviews(tmp_path):
    (tmp_path / "my reviews.csv").write_text("\n".join(["id;body;stars", *LINES]) + "\n")
    return tmp_path / "my reviews.csv"


@pytest.mark.parametrize("more", [[], ["--group", "id"], ["--text", "body"], ["--text", "body", "--"]])
def test_the_printed_command_works_as_it_is_typed(reviews, tmp_path, command, more):
    result = command("data", "import", reviews, "--data", "data", *more)
    assert result.code == 2 and "--label is missing." in result.err and not (tmp_path / "data").exists()
    printed = shlex.split(result.err.partition("Run: ")[2].strip())
    assert printed[0].endswith("edgeline") and printed[printed.index("--text") + 1] == "body"
    again = command(*printed[1:])
    assert again.code == 0 and "60 texts" in again.out


def test_the_printed_command_about_columns_that_changed_works_as_it_is_typed(tmp_path, command):
    for name, header in (("one", "size,mass,paid"), ("two", "size_cm,paid")):
        rows = [f"{n * 7 % 13}.5,{n}.25,{n % 2}" for n in range(len(name), 60)]
        rows = [row if name == "one" else row.replace(row.split(",")[1] + ",", "") for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]))
    assert command("data", "import", "one.csv", "--label", "paid", "--data", "data").code == 0
    result = command("data", "import", "two.csv", "--data", "data")
    assert result.code == 2
    assert "two.csv has no column mass, size, which earlier spans have." in result.err
    printed = shlex.split(result.err.partition("If this fits, run: ")[2].strip())
    assert printed[-4:] == ["--rename", "size=size_cm", "--drop", "mass"]
    again = command(*printed[1:])
    assert again.code == 0 and "size is called size_cm in tables after span-00001" in again.out


@pytest.mark.parametrize("pair", ["size", "size=", "=size_cm"])
def test_a_new_name_is_given_with_the_old_one(pair):
    with pytest.raises(UsageError, match="--rename OLD=NEW"):
        ImportOptions(rename=(pair,)).to_named()


def test_all_columns_are_named_if_none_looks_like_a_label(tmp_path, command):
    (tmp_path / "a.csv").write_text("\n".join(["x,z", *(f"{n}.5,{n}.25" for n in range(60))]))
    result = command("data", "import", "a.csv", "--data", "data")
    assert result.code == 2
    assert "No column looks like it. Columns: x, z." in result.err and "--label COLUMN" in result.err


def test_a_question_on_a_terminal_has_the_guess_as_its_default(reviews, tmp_path):
    ours, theirs = pty.openpty()
    script = "import sys; from runners.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "data", "import", str(reviews), "--data", str(tmp_path / "data")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True
    ) as process:
        os.write(ours, b"\n\n")  # the guess, twice
        out, _ = process.communicate(timeout=100)
    questions = os.read(ours, 2**16).decode()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0 and "60 texts" in out
    assert "Which column should the model learn [stars]:" in questions
    assert "learned from the texts in body alone [Y/n]:" in questions


@pytest.mark.parametrize(("cell", "guess"), [("", "size_cm"), ("'high' in a.csv:2", "stop")])
def test_a_question_about_a_column_has_its_guess_as_the_default(monkeypatch, cell, guess):
    asked = []

    def prompt(question, default, type, err):
        asked.append((question, default, type.choices))
        return default

    monkeypatch.setattr(asking.click, "prompt", prompt)
    candidates = [] if cell else ["size_cm", "town"]
    change = Change("size", cell, "numbers", candidates, "" if cell else "size_cm")
    changed = ColumnsChanged("a.csv", [change])
    with show_progress("importing") as progress:
        if cell:
            with pytest.raises(ColumnsChanged):
                asking.ask_changes(changed, progress)
        else:
            assert asking.ask_changes(changed, progress) == (["size=size_cm"], [])
    assert [(default, [*choices]) for _, default, choices in asked] == [
        (guess, [*candidates, "missing", "stop"])
    ]


@pytest.mark.parametrize(("column", "nearest"), [("Stars", "stars"), ("bodi", "body")])
def test_a_misspelt_column_gets_the_nearest(reviews, command, column, nearest):
    result = command("data", "import", reviews, "--label", column, "--data", "data")
    assert result.code == 2
    assert f"has no column {column}." in result.err and f"Did you mean {nearest}?" in result.err


def test_a_zip_of_photos_is_no_table_and_the_error_has_the_command_that_unpacks_it(tmp_path, command):
    with zipfile.ZipFile(tmp_path / "my photos.zip", "w") as archive:
        for n in range(3):
            archive.writestr(f"ok/{n}.jpg", b"\xff\xd8\xff")
    result = command("data", "import", "my photos.zip", "--label", "kind", "--data", "data")
    assert result.code == 2
    assert "holds 3 photos." in result.err and "unzip 'my photos.zip' -d photos" in result.err


@pytest.mark.parametrize("name", ["photos.tar.gz", "tfrecords.tar.gz"])
def test_a_packed_folder_is_no_table_and_is_to_be_unpacked(tmp_path, command, name):
    with tarfile.open(tmp_path / name, "w:gz") as archive:
        archive.add(__file__, "photos/ok/1.jpg")
    error = command("data", "import", name, "--label", "kind", "--data", "data").err
    assert "is a tar archive." in error and "Unpack it, and pass the table or the folder of photos" in error
