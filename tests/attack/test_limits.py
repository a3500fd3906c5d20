"""Files that cost their writer little, and would cost a reader hours, its memory or its disk.

A file over a limit ends with the limit's message; a child that needs more CPU time or memory than that is
killed. What a killed command made for a while is removed.
"""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.importers.phone import is_export
from data.spans.layout import Span, find_spans
from data.tables.source import check
from edgeline.errors import DataRefused, UsageError
from edgeline.prediction.inputs import read_inputs
from edgeline.tables import rows, unpacking
from edgeline.tables.files import open_table
from edgeline.tables.typed_rows import write_query
from pipeline.workloads import find_workload, with_features
from runners.cli.main import main
from tests.data.importers.named import import_table
from tests.data.importers.test_phone import SERVED
from tests.data.importers.workbooks import write_xlsx
from tests.docstrings import ROOT

COLUMNS = 100_000
NAMES = ["label", *(f"c{n}" for n in range(COLUMNS - 1))]
# Several times what a refusal costs.
CPU_S, MEMORY = 20, 4 * 2**30
COMMAND = "import sys; from runners.cli.main import main; sys.exit(main())"


def write_csv(path: Path) -> None:
    path.write_text("".join(f"{','.join(row)}\n" for row in (NAMES, ["a"] * COLUMNS, ["b"] * COLUMNS)))


def write_one_object(path: Path) -> None:
    path.write_text(f"{json.dumps(dict.fromkeys(NAMES, 'a'))}\n")


def write_new_keys(path: Path) -> None:
    with path.open("w") as file:
        for number in range(1_000):
            keys = {f"k{number}-{key}": 1 for key in range(COLUMNS // 1_000)}
            file.write(f"{json.dumps({'label': 'a', 'text': 'It broke', **keys})}\n")


def write_many_files(path: Path, files: int = 80_000) -> None:
    """Writes an export of a phone with photos that nobody took."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("release.json", '{"model": "shelf", "device": "d"}')
        archive.writestr("served.csv", SERVED)
        archive.writestr("labels.csv", "photo,label,lane_id,session_id,captured_at,split\na.jpg,ok,,s,,\n")
        for number in range(files):
            archive.writestr(f"photos/{number}.jpg", b"")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts `edgeline` in a process with limits, whose temporary folders are in `folder`/tmp."""
    temporary = folder / "tmp"
    temporary.mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


@pytest.mark.parametrize(
    ("name", "write", "options", "message"),
    [
        ("a.csv", write_csv, ["--label", "label"], f"has {COLUMNS:,} columns"),
        ("a.jsonl", write_one_object, ["--text", "c1", "--label", "label"], f"has {COLUMNS:,} columns"),
        ("a.jsonl", write_new_keys, ["--text", "text", "--label", "label"], "has 2,002 columns"),
        ("a.csv", write_csv, [], f"has {COLUMNS:,} columns"),
        ("a.zip", write_many_files, [], "its list of files has more than 4,000,000 bytes"),
    ],
    ids=["csv", "one object", "new keys", "guessed", "export"],
)
def test_a_file_over_a_limit_is_refused_before_the_work_that_the_limit_bounds(
    tmp_path, name, write: Callable[[Path], None], options, message
):
    write(tmp_path / name)
    arguments = ["data", "import", str(tmp_path / name), "--data", str(tmp_path / "data"), *options]
    with start(tmp_path, *arguments) as process:
        _, errors = process.communicate()
    assert process.returncode == (4 if name == "a.zip" else 2) and message in errors
    first, *lines = errors.splitlines()
    assert first.startswith("importing ") and len(lines) == 3 and max(map(len, lines)) < 300
    assert not (tmp_path / "data").exists() and not list((tmp_path / "tmp").iterdir())


def test_a_wide_sheet_is_refused_after_two_of_its_rows(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"Sheet1": [["label", *range(2_000)], *[["a"] + [1] * 2_000] * 5]})
    with pytest.raises(UsageError, match="has 2,001 columns"):
        open_table(str(tmp_path / "a.xlsx"), tmp_path)


def test_a_parquet_file_of_too_many_columns_is_refused_by_its_footer(tmp_path, monkeypatch):
    pq.write_table(pa.table({name: ["a", "b"] for name in NAMES[:2_001]}), tmp_path / "a.parquet")
    monkeypatch.delattr(pq.ParquetFile, "iter_batches")
    with pytest.raises(UsageError, match="has 2,001 columns"):
        open_table(str(tmp_path / "a.parquet"), tmp_path)


def test_a_query_of_too_many_columns_is_refused_before_a_row_is_read(tmp_path, monkeypatch):
    sqlite3.connect(tmp_path / "a.db").close()
    monkeypatch.setattr(rows, "MOST_COLUMNS", 1)  # SQLite has a limit of its own
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i AS j FROM n"
    with pytest.raises(UsageError, match="has 2 columns"):
        write_query(f"sqlite:///{tmp_path / 'a.db'}", endless, tmp_path / "rows.csv")


def test_a_table_to_predict_has_the_same_limit(tmp_path):
    write_csv(tmp_path / "a.csv")
    contract = {"kind": "tokens", "input": "text"}
    with pytest.raises(UsageError, match=f"has {COLUMNS:,} columns"):
        next(read_inputs(tmp_path / "a.csv", contract))


def test_a_file_of_a_span_has_the_same_limit_and_the_span_is_blamed(tmp_path):
    span = Span(7, tmp_path / "span-00007")
    span.path.mkdir()
    write_csv(span.path / "table.csv")
    with pytest.raises(DataRefused, match=f"has {COLUMNS:,} columns") as caught:
        check(span, with_features(find_workload("sensor")))
    assert caught.value.spans == ("span-00007",)


def test_a_manifest_of_photos_has_the_same_limit(tmp_path, capsys):
    write_new_keys(tmp_path / "a.jsonl")
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.jsonl").rename(tmp_path / "photos" / "a.jsonl")
    assert main(["data", "import", str(tmp_path / "photos"), "--data", str(tmp_path / "data")]) == 2
    assert "a.jsonl has 2,002 columns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("begin", "repeated", "message"),
    [
        ("", "a", r"begins in line 1 of .*a\.csv has more than 500,000 characters"),
        ("", "a,", r"begins in line 1 of .*a\.csv has more than 500,000 characters"),
        ('"a\n', '","a\n', r"begins in line 1 of .*a\.csv has more than 500,000 characters"),
        ("x,label\n1,a\n2,b\n", "11", r"line 4 has more than 1,000,000 bytes"),
        ('x,label\n1,a\n2,b\n"', "a,b\n", r"line 4 of .*a\.csv has more than 1,000,000 characters"),
        ('x,label\n1,a\n2,b\n"a\n', '","a\n', r"line 4 of .*a\.csv has more than 1,000,000 characters"),
    ],
    ids=["name", "names", "names of two lines", "cell", "open quote", "cells of two lines"],
)
def test_a_row_without_an_end_is_read_up_to_the_limit(tmp_path, monkeypatch, begin, repeated, message):
    monkeypatch.setattr(rows, "_MOST_HEADER", 500_000)
    monkeypatch.setattr(rows, "_MOST_LINE_BYTES", 1_000_000)
    count = 900_000 if len(begin) < 10 else 3_000_000
    (tmp_path / "a.csv").write_text(begin + repeated * (count // len(repeated)))
    with pytest.raises(DataRefused, match=message):
        import_table(tmp_path / "a.csv", tmp_path / "data", "label")


def test_the_lines_that_show_a_separator_are_as_long_together_as_one_may_be(tmp_path, monkeypatch):
    """200 lines of 64 MB were kept in memory, and split five times."""
    (tmp_path / "a.csv").write_text("x,label\n" + "1,a\n2,b\n" * 10 + f"{'1' * 2**22},a\n" * 10)
    read, list_lines = list[int](), rows.read_lines

    def count_lines(*arguments) -> Iterator[str]:
        for line in list_lines(*arguments):
            read.append(len(line))
            yield line

    monkeypatch.setattr("edgeline.tables.files.read_lines", count_lines)
    table = open_table(str(tmp_path / "a.csv"), tmp_path)
    assert (table.separator, len(read)) == (",", 22)


@pytest.mark.parametrize("cell", ["1" * 5_000, "1" * 100_000 + "x", "1," * 50_000, " " * 100_000 + "y"])
def test_a_cell_of_any_length_is_a_text(tmp_path, cell):
    (tmp_path / "a.csv").write_text("x,label\n" + "1,a\n2,b\n1,b\n2,a\n" * 30 + f'"{cell}",a\n')
    assert import_table(tmp_path / "a.csv", tmp_path / "data", "label").numbers == ("x",)


def test_a_name_of_many_digits_is_looked_at_once(tmp_path):
    """Each of its digits was tried as the end of a number, for hours."""
    (tmp_path / "a.csv").write_text(f"{'1' * 1_000_000}x,y,label\n" + "1,2,a\n2,1,b\n1,1,b\n2,2,a\n" * 30)
    assert import_table(tmp_path / "a.csv", tmp_path / "data", "label").span


def test_a_list_of_files_is_not_read_if_it_is_too_long_wherever_the_zip_is_read(tmp_path, monkeypatch):
    write_many_files(tmp_path / "a.zip", files=100)
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
        archive.write(tmp_path / "a.zip", "a.zip")
    assert is_export(tmp_path / "a.zip")
    monkeypatch.setattr(unpacking, "_MOST_LIST_BYTES", 4_096)
    assert not is_export(tmp_path / "a.zip")
    for name in ("a.zip", "nested.zip"):
        with pytest.raises(DataRefused, match="its list of files has more than 4,096 bytes"):
            open_table(str(tmp_path / name), tmp_path)


@pytest.mark.parametrize("name", ["release.json", "served.csv", "labels.csv"])
def test_a_table_of_an_export_that_would_fill_the_memory_is_not_unpacked(tmp_path, capsys, name):
    contents = {"release.json": '{"model": "shelf"}', "served.csv": SERVED, "labels.csv": "photo,label\n"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for own, content in contents.items():
            archive.writestr(own, content if own != name else b"\n" * (2**25 + 1))
    assert main(["data", "import", str(tmp_path / "a.zip"), "--data", str(tmp_path / "data")]) == 4
    assert f"its {name} has more than 33,554,432 bytes" in capsys.readouterr().err


def test_an_export_with_a_cell_for_each_of_many_columns_is_refused(tmp_path, capsys):
    """Each of its short rows got a cell for each name of its header."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("release.json", '{"model": "shelf"}')
        archive.writestr("served.csv", f"{','.join(NAMES)}\n" + "x\n" * 200_000)
        archive.writestr("texts.csv", "text,label,source,group\nIt broke,negative,phone,d\n")
    assert main(["data", "import", str(tmp_path / "a.zip"), "--data", str(tmp_path / "data")]) == 4
    assert f"served.csv has {COLUMNS:,} columns" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=str)
def test_a_command_that_is_ended_removes_its_temporary_folder(tmp_path, number):
    """A pipe keeps the command waiting while its folder exists."""
    os.mkfifo(tmp_path / "a.csv")
    script = (
        "import sys\nfrom edgeline.tables import files\n"
        f"def wait(src, scratch): open({str(tmp_path / 'a.csv')!r}).read()\n"
        "files.unpack_table = wait\n"
        "from runners.cli.main import main\nsys.exit(main())"
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    arguments = ["data", "import", str(tmp_path / "a.csv"), "--label", "x", "--data", str(tmp_path / "data")]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    with (tmp_path / "a.csv").open("w"):  # opens once the command reads
        assert len(list(temporary.iterdir())) == 1
        process.send_signal(number)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (130, f"importing {tmp_path / 'a.csv'}\nInterrupted.\n")
    assert not list(temporary.iterdir()) and not find_spans(tmp_path / "data")


def test_a_second_hangup_does_not_end_the_removal(tmp_path):
    script = (
        "import signal, sys, tempfile\nfrom edgeline.end_signals import handle_end_signals\n"
        "class Folder(tempfile.TemporaryDirectory):\n"
        "    def cleanup(self):\n"
        "        signal.raise_signal(signal.SIGHUP)\n"
        "        super().cleanup()\n"
        "with handle_end_signals(), Folder(dir=sys.argv[1]):\n"
        "    signal.raise_signal(signal.SIGHUP)\n"
    )
    code = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, stderr=subprocess.DEVNULL)
    assert code.returncode == -signal.SIGINT and not list(tmp_path.iterdir())
