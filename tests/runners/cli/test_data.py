import pytest

from data.photos.labels_file import LabelRow, write_span
from runners.shared.inputs import ROOT
from tests.data.importers.test_folders import as_ordinary_user


@pytest.fixture
def data(tmp_path):
    for week in range(2):
        rows = [LabelRow(f"{number}.jpg", "ok", "", "", "") for number in range(week + 1)]
        write_span(tmp_path / "my data", [(row, b"not decoded here") for row in rows])
    return tmp_path / "my data"


def test_an_exclusion_is_listed_with_who_and_why_and_can_be_undone(data, command):
    result = command("data", "exclude", "span-00002", "--reason", "dirty \x1blens", "--data", data)
    assert result.code == 0 and "--undo" in result.out
    assert "No later run reads span-00002" in result.out and r"dirty \x1blens" in result.out
    listing = command("data", "list", "--data", data)
    first, second = listing.out.splitlines()
    assert listing.code == 0 and first.split() == ["span-00001", "1", "photos"]
    assert "2 photos  excluded by" in second and second.endswith(r": dirty \x1blens")

    result = command("data", "exclude", "span-00002", "--undo", "--reason", "it was not", "--data", data)
    assert result.code == 0 and "again" in result.out
    listing = command("data", "list", "--data", data, "--json").json
    assert [each["excluded"] for each in listing] == [None, None]


def test_a_span_whose_labels_cannot_be_read_is_listed_with_the_reason(data, command):
    (data / "span-00001" / "labels.csv").unlink()
    listing = command("data", "list", "--data", data)
    first, second = listing.out.splitlines()
    assert listing.code == 4
    assert "labels.csv is missing" in first and second.split() == ["span-00002", "2", "photos"]

    command("data", "exclude", "span-00001", "--reason", "lost", "--data", data)
    assert command("data", "list", "--data", data).code == 0


def test_a_span_that_a_run_refuses_is_listed_with_the_reason(tmp_path, command):
    for week in range(3):
        rows = "".join(f"{n * n % 7 + week / 10},{'on' if n % 2 else 'off'}\n" for n in range(20))
        (tmp_path / "a.csv").write_text(f"celsius,state\n{rows}")
        assert command("data", "import", "a.csv", "--label", "state", "--data", "data").code == 0
    table = tmp_path / "data" / "span-00001" / "table.csv"
    table.write_text(table.read_text().replace("celsius", "kelvin"))
    (tmp_path / "data" / "span-00002" / "corrections.jsonl").write_text("{}\n")
    listing = command("data", "list", "--data", "data")
    first, second, third = listing.out.splitlines()
    assert listing.code == 4 and third.split() == ["span-00003", "20", "rows"]
    assert "lacks 'celsius'" in first and "line 1 is not a correction of a label" in second


def test_a_span_whose_folder_cannot_be_read_is_listed_with_the_reason(data):
    code = "import sys, runners.cli.main as cli; print(cli.main(['data', 'list', '--data', sys.argv[1]]))"
    (data / "span-00001").chmod(0)
    try:
        first, second, exit_code = as_ordinary_user(code, data)
    finally:
        (data / "span-00001").chmod(0o755)
    assert first.endswith("span-00001 cannot be read (Permission denied).")
    assert (second.split()[0], exit_code) == ("span-00002", "4")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["span-0002", "--reason", "r"], "Did you mean span-00002?"),
        (["span-00002", "--reason", ""], "The reason is empty."),
        (["span-00002"], "--reason"),
        (["span-00002", "--reason", "r", "--undo"], "has no excluded span"),
    ],
)
def test_bad_usage_ends_with_2_and_changes_nothing(data, command, arguments, hint):
    result = command("data", "exclude", *arguments, "--data", data)
    assert result.code == 2 and hint in result.err
    assert not (data / "excluded.jsonl").exists()


def test_a_folder_without_spans_has_nothing_to_exclude(tmp_path, command):
    result = command("data", "exclude", "span-00001", "--reason", "r", "--data", tmp_path)
    assert result.code == 2 and "has no span-NNNNN folder" in result.err
    result = command("data", "list", "--data", tmp_path)
    assert result.code == 0 and "has no span-NNNNN folder" in result.out


def test_a_category_with_more_values_than_a_model_tells_apart_is_named(tmp_path, command):
    rows = [f"p{n % 40},{n % 7},{'ab'[n * n % 7 % 2]}" for n in range(400)]
    (tmp_path / "a.csv").write_text("product,plan,paid\n" + "\n".join(rows) + "\n")
    command_line = "data", "import", "a.csv", "--label", "paid", "--data", "data"
    sentence = "product has 40 values, and a model tells the 32 most frequent ones apart; model.vocabulary in"
    result = command(*command_line, "--category", "plan")
    assert result.code == 0 and sentence in result.out and "plan has" not in result.out

    own = tmp_path / "data" / "workload.yaml"
    own.write_text(own.read_text().replace("settings:", "settings:\n  model: {vocabulary: 40}"))
    (tmp_path / "a.csv").write_text("product,plan,paid\n" + "\n".join(rows[1:]) + "\n")
    result = command(*command_line)
    assert result.code == 0 and "most frequent ones" not in result.out


def test_a_table_is_inspected_and_then_imported_as_the_file_of_the_inspection_says(tmp_path, command):
    rows = [f"{'да' if n % 2 else 'нет'};{n % 7}.5;{n % 5}.25" for n in range(60)]
    (tmp_path / "a.csv").write_bytes("\n".join(["Ответ;acid;ash", *rows]).encode("cp1251"))
    options = "--label", "Ответ", "--encoding", "cp1251"
    explained = command("data", "inspect", "a.csv", *options, "--explain", "ash")
    assert explained.code == 0 and "ash" in explained.out and not (tmp_path / "data").exists()

    written = command("data", "inspect", "a.csv", *options, "--data", "data")
    assert written.code == 0 and (tmp_path / "data" / "table.yaml").is_file()
    imported = command("data", "import", "a.csv", "--encoding", "cp1251", "--data", "data")
    assert imported.code == 0 and "holds 60 rows" in imported.out and "да, нет" in imported.out


@pytest.mark.parametrize("place, message", [("", "--data is empty."), ("a.csv", "--data is the file a.csv.")])
def test_spans_are_written_to_no_file_and_to_no_folder_without_a_name(
    tmp_path, monkeypatch, command, place, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("plan,paid\n" + "1,yes\n2,no\n" * 20)
    result = command("data", "import", "a.csv", "--label", "paid", "--data", place)
    assert result.code == 2 and message in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(("first", "second"), [("category", "leave-out"), ("label", "number")])
def test_a_column_has_one_use(tmp_path, command, first, second):
    (tmp_path / "a.csv").write_text("plan,paid\n" + "1,yes\n2,no\n" * 20)
    label = [] if first == "label" else ["--label", "paid"]
    options = *label, f"--{first}", "plan", f"--{second}", "plan", f"--{second}", "plan"
    result = command("data", "import", "a.csv", *options, "--data", "data")
    assert (result.code, (tmp_path / "data").exists()) == (2, False)
    assert {f"--{first}", f"--{second}"} <= {*result.err.replace("\n", " ").split()}


@pytest.mark.parametrize("options", [[], ["--label", "a", "--query", "SELECT 1"]])
def test_a_password_in_a_url_is_never_printed(tmp_path, command, options):
    url = "postgresql+psycopg://me:geheim@127.0.0.1:1/db"
    result = command("data", "import", url, "--data", "data", *options)
    assert result.code in (1, 2) and result.err and "geheim" not in result.out + result.err
    assert len(result.err.splitlines()) <= 4 and not (tmp_path / "data").exists()


def test_the_seed_decides_which_sample_is_made(tmp_path, command):
    texts = []
    for name, seed in (("one", "1"), ("same", "1"), ("other", "2")):
        options = "--weeks", "1", "--per-week", "20", "--seed", seed
        assert command("data", "generate", "--workload", "text", "--data", name, *options).code == 0
        texts.append((tmp_path / name / "span-00001" / "reviews.csv").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_a_sample_is_not_put_among_spans_of_a_workload_of_ones_own(data, command):
    (data / "workload.yaml").write_text("name: groceries\nschema: schema.pbtxt\n")
    result = command("data", "generate", "--data", data, "--per-week", "1")
    assert result.code == 2 and "describes spans of your own" in result.err
    assert sorted(path.name for path in data.iterdir()) == ["span-00001", "span-00002", "workload.yaml"]


def test_a_workload_without_a_sample_makes_none(tmp_path, command):
    (tmp_path / "schema.pbtxt").write_bytes((ROOT / "schema" / "shelf.pbtxt").read_bytes())
    (tmp_path / "workload.yaml").write_text("name: groceries\nkind: photos\nschema: schema.pbtxt\n")
    ended = command("data", "generate", "--workload", "workload.yaml", "--data", "data")
    assert ended.code == 2 and "The workload groceries has no sample" in ended.err
    assert not (tmp_path / "data").exists()
