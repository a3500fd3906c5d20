import random
from collections import Counter

import pyarrow as pa
import pytest

from data.importers.column_forms import find_form
from data.importers.column_profile import ColumnProfile
from data.importers.column_rules import RULES, Case, judge_column
from data.importers.labelled_rows import Rows
from edgeline.records.columns import NUMBERS, TIMES

RANDOM = random.Random(7)
LABELS = [RANDOM.choice(("yes", "no")) for _ in range(400)]
SIZES = [f"{RANDOM.gauss(5, 1):.2f}" for _ in range(400)]
NAMES = ["".join(RANDOM.choices("abcdefgh", k=6)) for _ in range(400)]
CODES = [RANDOM.choice(("1000", "1071", "1203", "1999")) for _ in range(400)]
LONG_CODES = [f"3401234500000{code}" for code in CODES]
OF_YES = [size if label == "yes" else "" for size, label in zip(SIZES, LABELS, strict=True)]
DAYS = [f"2026-0{n % 4 + 1}-{n * 7 % 28 + 1:02}" for n in range(400)]


def judge(
    cells, labels=LABELS, name="x", form=None, repeated=False, source_type="", third=False, groups=0, **more
):
    """Returns the name of the rule that decides a column of these cells; an empty one is missing."""
    column = ColumnProfile(name, (*NUMBERS, *TIMES), is_repeated=repeated, source_type=source_type)
    if groups:
        column.by_group = {}
    if third:  # some of the rows have another label, and no cells
        labels = ["perhaps" if label == "no" and n % 2 else label for n, label in enumerate(labels)]
    pairs = zip(cells, labels[: len(cells)], strict=True)
    rows = [
        (cell, label, f"row {n}", f"g-{n % groups}" if groups else "")
        for n, (cell, label) in enumerate(pairs)
        if cell
    ]
    if rows:
        filled, *of_rows = zip(*rows, strict=True)
        column.add(pa.array(filled), Rows(*of_rows))
    case = Case(column, Counter(labels[: len(cells)]), find_form(column) if form is None else form, **more)
    return judge_column(case)


def profile(cells):
    column = ColumnProfile("x", (*NUMBERS, *TIMES))
    column.add(pa.array(cells), Rows(LABELS[: len(cells)], [f"row {n}" for n in range(400)], [""] * 400))
    return column


def repeat(*cells):
    return [RANDOM.choice(cells) for _ in range(400)]


def swap(cells, *others):
    """Returns the cells with others in the first places."""
    return [*others, *cells[len(others) :]]


# The name of each rule with a column that it decides, and one that it nearly decides, with other options.
CASES = {
    "chosen to be left out": ((SIZES, {"chosen": "leave out"}), (SIZES, {"chosen": "number"})),
    "chosen as a number": ((CODES, {"chosen": "number"}), (CODES, {})),
    "chosen as a category": ((SIZES, {"chosen": "category"}), (SIZES, {})),
    "empty": (([""] * 400, {}), (swap([""] * 400, *"ab" * 5), {})),
    "one value": ((["a"] * 400, {}), (swap(["a"] * 400, *[""] * 9), {})),
    "no name": ((SIZES, {"name": "Unnamed: 0"}), (SIZES, {"name": "Unnamed: 1"})),
    "reserved name": ((SIZES, {"reserved": {"x"}}), (SIZES, {"reserved": {"y"}})),
    "names with one label each": (
        ([f"shop {label} {n % 4}" for n, label in enumerate(LABELS)], {}),
        ([f"shop {n % 4}" for n in range(400)], {}),
    ),
    "another spelling of the label": (
        ([label.upper() for label in LABELS], {}),
        (swap([label.upper() for label in LABELS], "YES", "NO", "YES", "NO"), {}),
    ),
    "row numbers": (([str(n) for n in range(400)], {}), ([str(n * 37 % 401 // 2) for n in range(400)], {})),
    "called like names of rows": (
        ([str(n % 200) for n in range(400)], {"name": "row.names"}),
        ([str(n % 20) for n in range(400)], {"name": "row.names"}),
    ),
    "named like an identifier of groups": (
        ([str(n % 250) for n in range(400)], {"name": "patient_id"}),
        ([str(n % 150) for n in range(400)], {"name": "patient_id"}),
    ),
    "identifiers of rows": (
        ([str(RANDOM.randrange(10**7, 10**8)) for _ in range(400)], {}),
        ([str(RANDOM.randrange(10**4)) for _ in range(399)] + ["123456"], {}),
    ),
    "a range for each label": (
        ([str(n / 1000 + 10 * (label == "yes")) for n, label in enumerate(LABELS)], {}),
        (swap([str(n / 1000 + 10 * (label == "yes")) for n, label in enumerate(LABELS)], "10.5", "9.5"), {}),
    ),
    "dates without marks": (
        ([day.replace("-", "") for day in DAYS], {}),
        ([day.replace("-", "").replace("2026", "3026") for day in DAYS], {}),
    ),
    "dates that do not recur": (([f"2026-01-0{n % 9 + 1}" for n in range(400)], {}), (DAYS, {})),
    "dates": ((DAYS, {}), ([f"{n % 12 + 1}/{n % 11 + 1}/2026" for n in range(400)], {})),
    "codes": ((CODES, {}), (repeat("1000", "1005", "1010", "1020"), {})),
    "numbers": (([f"{size} kg" for size in SIZES], {}), (repeat("1 kg", "2 kg", "5 kg"), {})),
    "day or month": (([f"{n % 12 + 1}/{n % 11 + 1}/2026" for n in range(400)], {}), (DAYS, {})),
    "point or thousands": (([f"{n % 90 + 1}.125" for n in range(400)], {"form": ""}), (SIZES, {})),
    "comma or thousands": (([f"{n % 90 + 1},125" for n in range(400)], {}), (swap(SIZES, "1,125"), {})),
    "name of two columns": ((SIZES, {"repeated": True}), (SIZES, {})),
    "type of no cell": (([""] * 400, {"source_type": "lists"}), ([""] * 400, {})),
    "empty or filled for one label": ((OF_YES, {"third": True}), (swap(OF_YES, *[""] * 90), {"third": True})),
    "another value in each group": (
        ([f"{n % 27 * 1.37:.2f}" for n in range(400)], {"groups": 27}),
        ([f"{n % 27 // 2 * 1.37:.2f}" for n in range(400)], {"groups": 27}),
    ),
    "codes of many digits": ((LONG_CODES, {}), ([code[:14] + code[-1:] for code in LONG_CODES], {})),
    "numbers in several forms": (
        ([f"{n % 50}:{n % 60:02}.5" if n % 2 else f"{n % 50}/9" for n in range(400)], {}),
        ([f"{n % 50}/9" if n % 2 else f"{n % 50}.5" for n in range(400)], {}),
    ),
    "dates without a year or a day": (
        ([f"{n % 12 + 1}/{n % 28 + 1}" for n in range(400)], {}),
        ([f"{n % 12 + 1}/{n % 35 + 1}" for n in range(400)], {}),
    ),
    "unread numbers: times or durations": (
        ([f"{n % 50}:{n % 60:02} pm" for n in range(400)], {}),
        ([f"{n % 50}:{n % 60:02}.5" for n in range(400)], {}),
    ),
    "unread numbers: ranges": (
        ([f"{n % 50}-{n % 50 + 9}" for n in range(400)], {}),
        ([f"{n % 50 + 877}-0{n % 50}" for n in range(400)], {}),
    ),
    "unread numbers: degrees, minutes and seconds": (
        ([f"{n % 50}°{n % 60}'3\"N" for n in range(400)], {}),
        ([f"{n % 50}d{n % 60}'3\"N" for n in range(400)], {}),
    ),
    "unread numbers: pairs of numbers": (
        ([f"{n % 50}.5, {n % 60}.25" if n % 2 else f"{n % 50}x{n % 60}" for n in range(400)], {}),
        ([f"{n % 50}y{n % 60}" for n in range(400)], {}),
    ),
    "unread numbers: signs of fractions": (
        ([f"{n % 50}{'½' * (n % 2)}" for n in range(400)], {}),
        ([f"{n % 50}{'²' * (n % 2)}" for n in range(400)], {}),
    ),
    "unread numbers: estimates and margins": (
        ([f"~{n % 50}" if n % 2 else f"{n % 50} ± 0.2" for n in range(400)], {}),
        ([f"?{n % 50}" if n % 2 else f"{n % 50} 0.2" for n in range(400)], {}),
    ),
    "unread numbers: powers of ten": (
        ([f"{n % 50}.5\u00d710^{n % 3}" for n in range(400)], {}),
        ([f"{n % 50}.5\u00d720^{n % 3}" for n in range(400)], {}),
    ),
    "unread numbers: thousands in pairs": (
        ([f"{n % 50 + 1},{n % 90 + 10},000" for n in range(400)], {}),
        ([f"{n % 50 + 1},{n % 90 + 100},000" for n in range(400)], {}),
    ),
    "unread numbers: digits of another script": (
        ([f"{n % 50}".translate({48 + d: 0x660 + d for d in range(10)}) for n in range(400)], {}),
        ([f"{n % 50}".translate({48 + d: 0x2460 + d for d in range(10)}) for n in range(400)], {}),
    ),
    "unread numbers: hexadecimal": (
        ([hex(n % 50) for n in range(400)], {}),
        ([hex(n % 50)[2:] for n in range(400)], {}),
    ),
    "unread numbers: feet and inches": (
        ([f"{n % 3 + 4}'{n % 11}\"" if n % 2 else str(n % 80) for n in range(400)], {}),
        ([f'{n % 3 + 4}x{n % 11}"' if n % 2 else str(n % 80) for n in range(400)], {}),
    ),
    "unread numbers: several units": (
        ([f"{n % 50}.5 {'kg' if n % 2 else 'g'}" if n % 3 else f"{n % 50}.5M" for n in range(400)], {}),
        ([f"{n % 50}{'AB'[n % 2]}" for n in range(400)], {}),
    ),
    "unread numbers: limits of detection": (
        ([f"{'<' * (n % 2)}{n % 50}.5" for n in range(400)], {}),
        ([f"{'~' * (n % 2)}{n % 50}.5" for n in range(400)], {}),
    ),
    "unread dates": (
        ([f"{n % 28 + 1} Jan 2026" for n in range(400)], {}),
        (repeat("1 Jam 2026", "2 Jab 2026"), {}),
    ),
    "a few cells that are no numbers": ((swap(SIZES, *["broken"] * 20), {}), (swap(SIZES, "broken"), {})),
    "photos": (([f"{name}.jpg" for name in NAMES], {}), ([f"{name}.doc" for name in NAMES], {})),
    "text": (([f"{name} " * 8 for name in NAMES], {}), (NAMES, {})),
    "a name for each row": ((NAMES, {}), (swap(NAMES, *NAMES[300:350]), {})),
    "rare names": ((NAMES[:220] + NAMES[:180], {}), (NAMES[:180] + NAMES[:180], {})),
    "names": ((repeat("red", "green", "blue"), {}), (NAMES, {})),
}
MANY = [*LABELS * 10]
LONG = {
    "many codes of many digits": (
        ([f"3401234500000{n * 7919 % 1301:05}" for n in range(4000)], {}),
        ([f"34012345{n * 7919 % 1301:05}" for n in range(4000)], {}),
    ),
    "named like an identifier": (
        ([str(n * 7919 % 1301) for n in range(4000)], {"name": "shop_id"}),
        ([str(n * 7919 % 1301) for n in range(4000)], {"name": "shop"}),
    ),
    "too many names": (
        ([f"shop {n * 7919 % 1301}" for n in range(4000)], {}),
        ([f"shop {n * 7919 % 901}" for n in range(4000)], {}),
    ),
}


@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_each_rule_decides_its_cells_and_not_those_that_are_nearly_so(name):
    labels = MANY if name in LONG else LABELS
    for (cells, options), is_decided in zip((CASES | LONG)[name], (True, False), strict=True):
        assert (judge(cells, labels, **options).name == name) == is_decided


@pytest.mark.parametrize(
    ("days", "parts"),
    [
        ([f"{1970 + n % 12}-01-01" for n in range(400)], ()),
        ([f"{1970 + n % 12}-{n % 7 + 1:02}-01" for n in range(400)], ("month",)),
        ([f"{1970 + n % 12}-01-{n % 28 + 1:02}" for n in range(400)], ("weekday",)),
    ],
    ids=["years", "months", "days of January"],
)
def test_parts_of_dates_that_are_one_or_that_nobody_wrote_are_not_read(days, parts):
    assert Case(profile(days), Counter(LABELS), "year-month-day").date_parts == parts
