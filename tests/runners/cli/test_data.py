import json

import pytest

from data.photos.labels_file import LabelRow, write_span
from edgeline.cli.main import main


@pytest.fixture
def data(tmp_path):
    for week in range(2):
        rows = [LabelRow(f"{number}.jpg", "ok", "", "", "") for number in range(week + 1)]
        write_span(tmp_path / "my data", [(row, b"not decoded here") for row in rows])
    return tmp_path / "my data"


def test_an_excluded_span_is_listed_with_who_and_why(data, capsys):
    assert main(["data", "exclude", "span-00002", "--reason", "dirty lens", "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "No later run reads span-00002" in said and "dirty lens" in said
    assert "--undo" in said

    assert main(["data", "list", "--data", str(data)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["span-00001", "1", "photos"]
    assert "2 photos  excluded by" in second and second.endswith(": dirty lens")


def test_an_exclusion_can_be_undone(data, capsys):
    main(["data", "exclude", "span-00002", "--reason", "dirty lens", "--data", str(data)])
    assert (
        main(["data", "exclude", "span-00002", "--undo", "--reason", "it was not", "--data", str(data)]) == 0
    )
    assert "again" in capsys.readouterr().out

    main(["data", "list", "--data", str(data), "--json"])
    assert [entry["excluded"] for entry in json.loads(capsys.readouterr().out)] == [None, None]


def test_a_span_whose_labels_cannot_be_read_is_listed_with_that(data, capsys):
    (data / "span-00002" / "labels.csv").unlink()

    main(["data", "list", "--data", str(data)])

    assert "labels.csv is missing" in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["span-0002", "--reason", "r"], "Did you mean span-00002?"),
        (["span-00002", "--reason", ""], "The reason is empty."),
        (["span-00002"], "--reason"),
        (["span-00002", "--reason", "r", "--undo"], "has no excluded span"),
    ],
)
def test_bad_usage_ends_with_2_and_changes_nothing(data, capsys, arguments, hint):
    assert main(["data", "exclude", *arguments, "--data", str(data)]) == 2
    assert hint in capsys.readouterr().err
    assert not (data / "excluded.jsonl").exists()


def test_a_folder_without_spans_has_nothing_to_exclude(tmp_path, capsys):
    assert main(["data", "exclude", "span-00001", "--reason", "r", "--data", str(tmp_path)]) == 2
    assert "has no span-NNNNN folder" in capsys.readouterr().err
    assert main(["data", "list", "--data", str(tmp_path)]) == 0
    assert "has no span-NNNNN folder" in capsys.readouterr().out


def test_texts_are_imported_and_listed(tmp_path, capsys):
    lines = [f"{n};text {n};{'good' if n % 2 else 'bad'}" for n in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["id;body;stars", *lines]))
    data = str(tmp_path / "data")
    given = ["--text", "body", "--label", "stars", "--data", data]
    assert main(["data", "import", str(tmp_path / "a.csv"), *given]) == 0
    assert "holds 40 texts" in capsys.readouterr().out
    assert main(["data", "list", "--data", data]) == 0
    assert capsys.readouterr().out.split() == ["span-00001", "40", "texts"]


def test_a_category_with_more_values_than_a_model_tells_apart_is_named(tmp_path, capsys):
    rows = [f"p{n % 40},{n % 7},{'ab'[n * n % 7 % 2]}" for n in range(400)]
    (tmp_path / "a.csv").write_text("product,plan,paid\n" + "\n".join(rows) + "\n")
    arguments = ["data", "import", str(tmp_path / "a.csv"), "--label", "paid", "--category", "plan"]
    sentence = "product has 40 values, and a model tells the 32 most frequent ones apart; model.vocabulary in"
    assert main([*arguments, "--data", str(tmp_path / "data")]) == 0
    printed = capsys.readouterr().out
    assert sentence in printed and "plan has" not in printed

    own = tmp_path / "data" / "workload.yaml"
    own.write_text(own.read_text().replace("settings:", "settings:\n  model: {vocabulary: 40}"))
    (tmp_path / "a.csv").write_text("product,plan,paid\n" + "\n".join(rows[1:]) + "\n")
    assert main([*arguments[:5], "--data", str(tmp_path / "data")]) == 0
    assert "most frequent ones" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "given", [[], ["--label", "a"], ["--query", "SELECT 1"], ["--label", "a", "--query", "SELECT 1"]]
)
def test_a_password_in_a_url_is_never_printed(tmp_path, capsys, given):
    url = "postgresql+psycopg://me:geheim@127.0.0.1:1/db"
    assert main(["data", "import", url, "--data", str(tmp_path / "data"), *given]) in (1, 2)
    captured = capsys.readouterr()
    assert captured.err and "geheim" not in captured.out + captured.err
    assert len(captured.err.splitlines()) <= 4 and not (tmp_path / "data").exists()
