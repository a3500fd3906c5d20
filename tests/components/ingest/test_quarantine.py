import csv

from components.ingest.quarantine import select_listed, write_quarantine
from data.photos.source import PhotoSource
from data.settings import DataSettings
from edgeline.records.ingest import Ingest, Quarantined, Span

FORMULAS = [
    "=1+1",
    "+1+1",
    "-a",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "＋1",
    "－1",
    "＠1",
    "'=1",
    "''=1",
]
TEXTS = ["a.jpg", "a=b.jpg", "größe-1.jpg", "a'b", " =1", "1-2", "-1.5", "'tis", "''"]


def test_no_cell_is_a_formula_and_all_cells_differ(tmp_path):
    names = [*FORMULAS, *TEXTS]
    rows = [Quarantined("span-00001", name, "unsafe", name) for name in names]
    write_quarantine(tmp_path, rows, [], PhotoSource(("ok",), DataSettings()), Ingest())

    with (tmp_path / "quarantine.csv").open(newline="", encoding="utf-8") as file:
        for name, row in zip(names, csv.DictReader(file), strict=True):
            for cell in (row["photo"], row["detail"]):
                assert cell == "-1.5" or not cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
                assert cell.removeprefix("'") == name if name in FORMULAS else cell == name


def test_many_rows_of_one_reason_are_counted_and_the_first_of_them_listed(monkeypatch):
    monkeypatch.setattr("components.ingest.quarantine.MOST_LISTED", 3)
    many = [Quarantined("span-00001", f"{number:03d}", "corrupt", "") for number in range(100)]
    few = [Quarantined("span-00002", "a", "corrupt", ""), Quarantined("span-00001", "b", "oversized", "")]
    rows, counts = select_listed(reversed([*many, few[0]]), [few[1], few[1]])
    assert rows == [*many[:3], few[1], few[0]]
    assert counts == {
        ("span-00001", "corrupt"): 100,
        ("span-00001", "oversized"): 1,
        ("span-00002", "corrupt"): 1,
    }
    span = Span("span-00001", 1, rejected={"corrupt": 48_211, "oversized": 12})
    assert (span.quarantined, span.listed) == (48_223, 1_012)
