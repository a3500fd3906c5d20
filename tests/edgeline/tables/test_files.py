"""Tables in each kind of file that is read, and the errors for other files."""

import csv
import gzip
import sqlite3
import zipfile
from datetime import date, datetime
from itertools import product

import pandas as pd
import pytest

from data.spans.source import Rejected
from edgeline.errors import DataRefused, UsageError
from edgeline.tables.files import open_table
from tests.data.importers.workbooks import Merged, write_ods, write_xlsx
from tests.disks import mount_disk

HEADER = ["name", "age", "paid"]
ROWS = [["Jürgen", "34", "yes"], ["Zoë, the 2nd", "29", "no"], ["O'Hara", "", "yes"]] * 4


def text(separator=",", line_end="\n"):
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in row] for row in [HEADER, *ROWS]]
    return line_end.join(separator.join(row) for row in quoted) + line_end


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read(path, scratch, columns=("paid",), **options):
    table = open_table(str(path), scratch, columns, **options)
    rows = list(table.rows(table.header))
    assert not any(isinstance(row, Rejected) for row in rows)
    return table, [[cells[name] for name in table.header] for _, cells in rows]


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def compress(content: bytes) -> bytes:
    """Compresses without the time, so that all workers of pytest have the same ids."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "separator", "columns"),
    [
        *product(["utf-8"], ",;\t|", [()]),
        ("utf-8", ";", ("paid",)),
        *product(["utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"], ";", [()]),
    ],
)
def test_text_of_any_separator_and_encoding_is_read(tmp_path, scratch, encoding, separator, columns):
    content = ("\ufeff" if encoding[-2:] in ("le", "be") else "") + text(separator, "\r\n")
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    table, rows = read(tmp_path / "a.csv", scratch, columns)
    assert (list(table.header), rows, table.separator, table.types) == (HEADER, ROWS, separator, {})
    name = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(encoding)
    assert table.notes == ((f"{tmp_path / 'a.csv'} was read as {name}.",) if name else ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_lines_that_end_as_on_an_old_mac_are_read_and_an_error_names_the_file(tmp_path, scratch, encoding):
    content = text(";", "\r").replace("O'Hara", '"O\rHara"')
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    table, rows = read(tmp_path / "a.csv", scratch)
    assert (list(table.header), len(rows), rows[2][0]) == (HEADER, len(ROWS), "O\nHara")
    (tmp_path / "b.csv").write_bytes(f'x,y\r1,"2 Zoë\r3,4 Zoë\r5,"{" " * 9000}x"6\r'.encode(encoding))
    with pytest.raises(DataRefused) as caught:
        open_table(str(tmp_path / "b.csv"), scratch)
    assert caught.value.found.startswith(f"{tmp_path / 'b.csv'} line 2 is not CSV")


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"'])
def test_a_first_line_that_tells_excel_the_separator_is_no_header(tmp_path, scratch, first):
    (tmp_path / "a.csv").write_text(f"\ufeff{first}\r\n" + text(";", "\r\n"))
    table, rows = read(tmp_path / "a.csv", scratch)
    assert (list(table.header), rows, next(table.rows(HEADER))[0]) == (HEADER, ROWS, "a.csv:3")


@pytest.mark.parametrize(
    ("lines", "header", "place", "comments"),
    [
        (["# logger 7", "#", "# from, to", "time,temp", "1,2", "3,4"], ["time", "temp"], "a.csv:5", 3),
        (["# logger 7, firmware 2", "time,temp", "1,2", "3,4"], ["time", "temp"], "a.csv:3", 1),
        (["# a kiln", "# time,temp", "1,2", "3,4"], ["time", "temp"], "a.csv:3", 1),
        (["#time;temp", "1,5;2", "3;4"], ["time", "temp"], "a.csv:2", 0),
    ],
)
def test_comments_above_the_names_are_not_read(tmp_path, scratch, lines, header, place, comments):
    (tmp_path / "a.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    table, rows = read(tmp_path / "a.csv", scratch, ())
    assert (list(table.header), len(rows), next(table.rows(header))[0]) == (header, 2, place)
    counted = "1 comment" if comments == 1 else f"{comments} comments"
    note = f"{tmp_path / 'a.csv'} begins with {counted}, which are not read."
    assert list(table.notes) == ([note] if comments else [])


@pytest.mark.parametrize(
    "lines", [["#,x", "1,2", "2,3"], ["#tag,x", "#a,u", "b,v"], ["# text,x", "a,b", "c,d"]]
)
def test_a_mark_that_belongs_to_a_name_or_a_row_stays(tmp_path, scratch, lines):
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    table, rows = read(tmp_path / "a.csv", scratch, ())
    assert [list(table.header), *rows] == [line.split(",") for line in lines]


def test_words_separated_by_blanks_are_a_table(tmp_path, scratch):
    (tmp_path / "a.txt").write_text("x  y z\n1   2 yes\n3  4  no\n")
    assert read(tmp_path / "a.txt", scratch)[1] == [["1", "2", "yes"], ["3", "4", "no"]]


def test_a_name_of_a_column_may_have_several_lines(tmp_path, scratch):
    (tmp_path / "a.csv").write_text('"degrees\nCelsius\nin the mean\nof a day",y\n1,a\n2,b\n')
    table, rows = read(tmp_path / "a.csv", scratch)
    assert [list(table.header), *rows] == [
        ["degrees\nCelsius\nin the mean\nof a day", "y"],
        ["1", "a"],
        ["2", "b"],
    ]


def test_a_row_that_is_no_csv_costs_itself_alone(tmp_path, scratch):
    (tmp_path / "a.csv").write_bytes(b"x;y\n1;a\rb\n2;c\n")
    table = open_table(str(tmp_path / "a.csv"), scratch)
    rows = list(table.rows(table.header))
    assert [isinstance(row, Rejected) for row in rows] == [True, False] and table.separator == ";"


def test_a_quote_behind_a_backslash_is_named_as_what_costs_its_row(tmp_path, scratch):
    (tmp_path / "a.csv").write_text('x,y\n"H. \\"Barney\\" Ewell",1\n"Lloyd LaBeach",2\n')
    table = open_table(str(tmp_path / "a.csv"), scratch)
    refused, row = table.rows(table.header)
    assert refused.detail.endswith(r"It has \" in place of two quotes.") and row[1]["y"] == "2"


@pytest.mark.parametrize(
    ("header", "begins", "between", "ends"),
    [
        ("label\ttext", 'ham\t"Hello there', ["ham\tno", "spam\ta prize"], 'spam\tI said yes"'),
        ("name;age;paid", '"Ann;34;yes', ["Ben;29;no", "Cy;30;no"], 'Mr Carl";30;yes'),
        ("id, label, text", '1, ham, "Hello', ["2, ham, no", "3, spam, a prize"], '4, spam, I said yes"'),
        # A row among those that are lost may be damaged.
        ("label\ttext", 'ham\t"Hello there', ["ham\tno"] * 20 + ["ham"], 'spam\tI said yes"'),
    ],
)
def test_a_quote_that_is_not_closed_loses_no_rows(tmp_path, scratch, header, begins, between, ends):
    lines = [header, *(between * 300)[:300], begins, *between, ends]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    last = 302 + len(between) + 1
    with pytest.raises(DataRefused, match=rf"a\.csv line 302 has a quote that ends only in line {last}"):
        read(tmp_path / "a.csv", scratch, ("label", "text"))


@pytest.mark.parametrize(
    ("separator", "text"),
    [
        (",", "I came, I saw\nand left, at once\nthen, later\nwent home, too"),
        (",", "My numbers:\nx,y\n1,2\n3,4"),
        ("\t", "if ready:\n\tstart()\n\tstop()"),
        (",", "Milch 0,99\nBrot 1,99\nKase 2,99\nSumme drei Artikel"),
        (";", "first;\nsecond;\nthird;\nlast."),
    ],
)
@pytest.mark.parametrize("is_last", [True, False])
def test_texts_of_several_lines_may_have_separators(tmp_path, scratch, separator, text, is_last):
    rows = [["label", "text"], *[["good", "fine"]] * 9, ["bad", text], ["good", "fine"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows if is_last else [row[::-1] for row in rows])
    cells = read(tmp_path / "a.csv", scratch, ("label", "text"))[1]
    assert len(cells) == 11 and cells[9][is_last] == text


def test_a_packed_table_is_read_and_errors_name_the_packed_file(tmp_path, scratch):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text().encode("utf-16")))
    members = {"../a.csv": text(), "__MACOSX/._a.csv": b"\0\1", "about.txt": "free to use"}
    write_zip(tmp_path / "a.zip", members)
    write_zip(tmp_path / "both.zip", {"a.csv.gz": gzip.compress(text().encode())})
    for name in ("a.csv.gz", "a.zip", "both.zip"):
        table, rows = read(tmp_path / name, scratch)
        assert rows == ROWS and table.shown == str(tmp_path / name)
        assert next(iter(table.rows(HEADER)))[0] == "a.csv:2"

    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((text() + "name,age,paid\n").encode()))
    with pytest.raises(DataRefused) as caught:
        read(tmp_path / "b.csv.gz", scratch)
    assert caught.value.found.startswith(f"{tmp_path / 'b.csv.gz'} line 14 repeats the header")


def test_a_workbook_keeps_the_types_of_its_cells(tmp_path, scratch, monkeypatch):
    rows = [
        ["n", "day", "ok", "code", "mixed", "paid"],
        [1, date(2026, 1, 5), True, "01067", 1, "yes"],
        [2.5, datetime(2026, 1, 6, 7, 30), False, "80331", "many", "no"],
        [None, None, None, None, None, None],
        [None, None, True, None, 2, "no"],
    ]
    table, cells = read(write_xlsx(tmp_path / "a.xlsx", {"Data": rows}), scratch)
    assert table.types == {"n": "number", "day": "time", "ok": "boolean"}
    assert cells == [
        ["1", "2026-01-05", "True", "01067", "1", "yes"],
        ["2.5", "2026-01-06T07:30:00", "False", "80331", "many", "no"],
        ["", "", "True", "", "2", "no"],
    ]
    write_ods(tmp_path / "a.ods", [["n", "paid"], [1.5, "no"]])
    monkeypatch.chdir(tmp_path)  # the process that reads it has another folder
    assert read("a.ods", scratch)[1] == [["1.5", "no"]]


def test_the_sheet_with_the_columns_is_read_or_one_has_to_be_named(tmp_path, scratch):
    sheets = {"About": [["what"], ["a survey"]], "North": [["x", "paid"], [1, "no"]], "Empty": []}
    book = write_xlsx(tmp_path / "a.xlsx", sheets)
    assert read(book, scratch)[1] == [["1", "no"]]
    assert read(book, scratch, sheet="About")[1] == [["a survey"]]
    south = {**sheets, "South": [["x", "paid"], [2, "yes"]]}
    book = write_xlsx(tmp_path / "b.xlsx", south)
    with pytest.raises(UsageError, match=r"has the sheets About, North, South.*an import: --sheet About"):
        read(book, scratch)
    with pytest.raises(UsageError, match=r"has the sheets About, North, Empty, South.*sheet West"):
        read(book, scratch, sheet="West")
    with pytest.raises(DataRefused, match="has no row"):
        read(write_xlsx(tmp_path / "c.xlsx", {"Sheet1": [["x", "paid"]]}), scratch)


def test_a_workbook_that_is_damaged_or_takes_all_memory_is_refused_without_a_traceback(
    tmp_path, scratch, capfd
):
    book = write_xlsx(tmp_path / "a.xlsx", {"Data": [["x", "paid"], [1, "no"]]})
    last = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    with zipfile.ZipFile(book) as archive, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name).replace(b"</sheetData>", last))
    (tmp_path / "c.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\xff" * 2000)
    for name in ("b.xlsx", "c.xls"):
        with pytest.raises(DataRefused, match=f"{name} cannot be read: .*damaged, too large"):
            read(tmp_path / name, scratch)
    assert capfd.readouterr().err == ""


def test_the_types_of_parquet_and_of_a_database_are_kept(tmp_path, scratch):
    frame = {"zip": ["01067", "80331"], "n": [1.0, None], "at": pd.to_datetime(["2026-01-05", None])}
    pd.DataFrame({**frame, "ok": [True, False]}).to_parquet(tmp_path / "a.parquet")
    types = {"zip": "text", "n": "number", "at": "time", "ok": "boolean"}
    table, cells = read(tmp_path / "a.parquet", scratch)
    assert table.types == types and cells[0] == ["01067", "1", "2026-01-05T00:00:00", "True"]

    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t (zip TEXT, n REAL, mixed)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [("01067", 1.5, 1), ("1", None, "x")])
    connection.close()
    table, cells = read(f"sqlite:///{tmp_path / 'a.db'}", scratch, query="SELECT * FROM t")
    assert table.types == {"zip": "text", "n": "number"} and cells[0] == ["01067", "1.5", "1"]


@pytest.mark.parametrize(
    ("name", "content", "found", "do"),
    [
        ("a.db", b"SQLite format 3\0" + bytes(100), "is an SQLite database", "sqlite:///"),
        ("a.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "is a PDF", "CSV"),
        ("a.rda", compress(b"RDX3\nX\n\0\0\0\3"), "is an R data file", "write.csv"),
        ("a.json", b'[\n {"a": 1}]', "is a JSON array", "to_parquet"),
        ("b.json", b'{"a": 1}\n{"a": 2}', "is JSON", "rename it to .jsonl"),
        ("a.xls", b"<html><table><tr>", "is an HTML or XML page", "spreadsheet"),
        ("a.csv", b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1", "is a photo", "folder"),
        ("a.txt", b"__label__pos I like it\n", "is a fastText file", "sed"),
        ("a.arff", b"% notes\n%\n\n@RELATION iris\n", "is an ARFF file of Weka", "loadarff"),
        ("a.npy", b"\x93NUMPY\1\0" + bytes(100), "is a NumPy array", "columns=[...]"),
        ("a.sas7bdat", bytes(12) + b"\xc2\xea\x81\x60" + bytes(100), "is a SAS data file", "read_sas"),
        ("a.bin", bytes(300), "is a binary file of an unknown kind", "CSV"),
        ("a.tar.gz", compress(bytes(257) + b"ustar" + bytes(700)), "is a tar archive", "Unpack"),
        ("a.csv.xz", b"\xfd7zXZ\0\0\4\xe6\xd6\xb4\x46\2\0", "is compressed with xz", "Unpack"),
    ],
)
def test_another_kind_of_file_is_named_with_the_one_thing_to_do(tmp_path, scratch, name, content, found, do):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read(tmp_path / name, scratch)
    assert caught.value.found == f"{tmp_path / name} {found}." and caught.value.why
    assert do in caught.value.do and "{" not in caught.value.do


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.csv.gz", compress(text().encode())[:-9], r"a\.csv\.gz cannot be read"),
        ("a.csv.gz", compress(b"a,b\n" + b"0,0\n" * 2**24), "unpacks to more than 67,108,864 bytes"),
        ("a.gz", compress(compress(compress(b"a,b\n"))), "compressed 3 times or more"),
        ("a.zip", b"PK\3\4 and no more", r"a\.zip cannot be read"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), r"a\.xlsx cannot be read"),
        ("a.parquet", b"PAR1 and no more", r"a\.parquet cannot be read"),
        ("a.csv", "a,b\nä,1\n".encode() + b"\xe4,2\n", "line 3 is not UTF-8"),
        ("a.csv", b"a,b\nn\xe4,1\n\xe4\xe4,1\n\x81\xe4,2\n", "neither UTF-8 nor Windows-1252"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, scratch, name, content, found):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataRefused, match=found) as caught:
        read(tmp_path / name, scratch)
    assert caught.value.why and caught.value.do and str(scratch) not in str(caught.value)


def test_a_zip_with_several_tables_or_none_is_refused_by_what_it_holds(tmp_path, scratch):
    with pytest.raises(DataRefused, match=r"holds 2 tables: a\.csv, b\.csv"):
        read(write_zip(tmp_path / "a.zip", {"a.csv": text(), "b.csv": text()}), scratch)
    with pytest.raises(DataRefused, match=r"holds no table: a\.txt, b\.txt"):
        read(write_zip(tmp_path / "b.zip", {"a.txt": "", "b.txt": ""}), scratch)


def test_a_folder_and_a_missing_file_are_refused(tmp_path, scratch):
    for path, found in ((tmp_path, "is not a file"), (tmp_path / "no.csv", "does not exist")):
        with pytest.raises(UsageError, match=found):
            read(path, scratch)


@pytest.mark.parametrize(
    "lines",
    [
        ["5.1,3.5,1.4,setosa", "4.9,3.0,1.4,setosa"],  # numbers in no order
        ["K1,34,yes", "K2,29,no", "K3,18,yes"],  # a number, and a word that comes again
        ["good film,pos", "bad film,neg", "fine,pos"],  # half of the words come again
    ],
)
def test_a_first_line_that_is_data_is_refused(tmp_path, scratch, lines):
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataRefused, match=r"The first line of .*a\.csv is data: '") as caught:
        read(tmp_path / "a.csv", scratch, ())
    assert f"each of the {lines[0].count(',') + 1} columns" in caught.value.do


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_each_of_merged_cells_has_the_value_of_all(tmp_path, scratch, kind):
    rows = [
        ["x", "site", "y"],
        [1, Merged("A", 3), 1],
        [2, None, 2],
        [3, None, 3],
        [4, Merged("B", 1, 2), None],
    ]
    rows.append([5, "C", Merged(7, 9, 4)])  # into cells that nobody filled
    path = tmp_path / f"a.{kind}"
    book = write_xlsx(path, {"Data": rows}) if kind == "xlsx" else write_ods(path, rows)
    _, cells = read(book, scratch, ())
    assert cells == [["1", "A", "1"], ["2", "A", "2"], ["3", "A", "3"], ["4", "B", "B"], ["5", "C", "7"]]


def test_merged_cells_beyond_those_that_are_filled_change_nothing(tmp_path, scratch):
    rows = [["x", "y"], [1, 2], [3, 4], [], [None, None, None, Merged(None, 4)], [Merged(None, 3)]]
    book = write_xlsx(tmp_path / "a.xlsx", {"Data": rows})
    assert read(book, scratch, ())[1] == [["1", "2"], ["3", "4"]]


def test_a_first_line_of_separators_alone_is_not_called_an_empty_file(tmp_path, scratch):
    (tmp_path / "a.csv").write_text(",,\nBenefits by state,,\nstate,code,paid\nOhio,39,yes\n")
    with pytest.raises(DataRefused, match=r"first line of .*a\.csv has only empty cells, above 3 columns"):
        read(tmp_path / "a.csv", scratch, ())


def test_a_title_above_the_names_is_refused(tmp_path, scratch):
    rows = [["Sales"], [], ["Printed 2026-01-05"], [], ["x", "y", "paid"], [1, 2, "no"]]
    book = write_xlsx(tmp_path / "b.xlsx", {"Data": rows})
    with pytest.raises(DataRefused, match=r"Line 5 of .*b\.xlsx has the names of its columns: x, y, paid"):
        read(book, scratch, ("paid",))
    book = write_xlsx(tmp_path / "a.xlsx", {"Data": [["Sales"], ["x", "y", "paid"], [1, 2, "no"]]})
    with pytest.raises(DataRefused, match=r"The first line of .* has only 'Sales', above 3 columns"):
        read(book, scratch, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Report 7\n\nx,y,paid\n1,2,no\n3,1,yes\n", r"Line 3 of .*a\.csv has the names .*: x, y, paid"),
        ("At 12:00, by B\nx;y;paid\n1,5;2;no\n", r"Line 2 of .* has the names of its columns: x, y, paid"),
        # write.table of R writes the first; the second has a separator at the end of each row.
        ('"x" "y" "paid"\n"1" 1 2 "no"\n"2" 3 1 "yes"\n', r"has 3 names, and the lines .* have 4 cells each"),
        ("x,y,paid\n1,2,no,\n3,1,yes,\n", r"has 3 names, and the lines .* have 4 cells each"),
    ],
)
def test_lines_above_the_names_and_a_missing_name_are_refused(tmp_path, scratch, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataRefused, match=message):
        read(tmp_path / "a.csv", scratch, ("paid",))


@pytest.mark.parametrize(
    "header", ["id,2019,2020,2021", "2021,2020,2019,x", "0,1,2,3", "name,2019,x,y", "good,bad,x,y"]
)
def test_a_header_with_years_or_numbers_in_order_is_one(tmp_path, scratch, header):
    (tmp_path / "a.csv").write_text(f"{header}\n1,0,1,a\n0,1,1,b\n")
    assert list(read(tmp_path / "a.csv", scratch, ())[0].header) == header.split(",")


@pytest.fixture
def small(tmp_path):
    yield from mount_disk(tmp_path / "small", 16)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_a_full_disk_is_not_taken_for_a_damaged_file(tmp_path, small, name):
    pd.DataFrame({"x": range(10_000), "paid": "yes"}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text().encode() * 1000))
    with pytest.raises(OSError, match="No space left on device") as caught:
        read(tmp_path / name, small)
    assert caught.value.filename.startswith(str(small))
