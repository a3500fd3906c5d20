"""The rules that decide what a column of anyone's table is, in a table: the first one that fits counts."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from data.importers.codes import counts_rows, guess_kind, has_row_names, identifies_rows, is_called_identifier
from data.importers.column_forms import MOST_SIZES, describe_others, find_mixed_forms
from data.importers.column_profile import MOST_CATEGORIES, MOSTLY, ColumnProfile
from data.importers.leaks import describe_one_label, gives_label_away, separates_labels, tells_groups_apart
from data.importers.table_file import Role
from edgeline.records.columns import AGE, DAY_S, DECIMALS, FRACTION, HOUR, MONTH, NUMBERS, TIMES, WEEKDAY

ASK = "ask"  # the verdict on whole numbers that may be codes; the others are roles
TEXT = "is text of many words"  # why such a column is left out
_LONGEST_NAME = 40
# The index of a pandas frame, which has no name in a CSV.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)*")
# Dates in forms that are not read, such as 1 Jan 2026, Mon, January 5th, 2026, 5.1.26, 01/05/2026 6:00 PM,
# months, quarters and weeks such as 2026-02, 2026Q1 and 2026-W05, and 20260105, which reads as a number.
_DAY, _MONTH = r"\d{1,2}(?:st|nd|rd|th)?", "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_UNREAD_DATE = re.compile(
    rf"(?:[a-z]{{3,9}}\.?,? )?(?:{_DAY}[-./ ]+{_MONTH}|{_MONTH}[-./ ]+{_DAY}|\d{{1,2}}([-./])\d{{1,2}}(?=\1))"
    r"[-.,/ ]+(?:(?<!\d-)\d\d|\d{4})(?:[T, ]+\d.*)?|(?:19|20)\d\d(?:-(?:0[1-9]|1[0-2])|[- ]?[QW]\d\d?)",
    re.IGNORECASE | re.ASCII,
)
_COMPACT_DATE = re.compile(r"(?:18|19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)
# Days and months without a year, or months with one, which fractions would be too.
_PART_OF_DATE = re.compile(
    r"(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01]|(?:19|20)\d\d)|(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|1[0-2])",
    re.ASCII,
)
# Numbers in forms that are not read, each with what to write instead.
_UNREAD_NUMBERS = (
    (
        "times or durations",
        r"(\d+ days?,? )?\d+:[0-5]\d(:[0-5]\d)?([.,]\d+)?( ?[ap]\.?m\.?)?|(\d+ ?(h|min|m|s) ?){2,3}|PT\d\S*",
        "write seconds or hours as a number",
    ),
    (
        "ranges",
        r"(0|[1-9]\d*)([.,]\d+)?( ?[-\u2013] ?| to )(0|[1-9]\d*)([.,]\d+)?",
        "write their ends into two columns",
    ),
    (
        "pairs of numbers",
        r"[\[(]?[+-]?\d+(\.\d+)?(, ?(?!\d{3}\b)| ?; ?| ?[x\u00d7] ?)[+-]?\d+(\.\d+)?[\])]?",
        "write them into two columns",
    ),
    (
        "degrees, minutes and seconds",
        r"\d{1,3}° ?\d{1,2}['\u2032].*|\d{1,3}\.\d+ ?°? ?[NSEW]",
        "write decimal degrees, in the south and west below 0",
    ),
    (
        "feet and inches",
        r"\d{1,2} ?['\u2019\u2032] ?(\d{1,2}(\.\d+)?)? ?(\"|\u2033|\u201d|'')?",
        "write inches as one number",
    ),
    ("signs of fractions", r"\d*[\u00bc-\u00be\u2150-\u215e]", "write 3.5 for 3\u00bd"),
    (
        "estimates and margins",
        r"(~|\u2248|c\.|ca\.?|approx\.?) ?\d[\d.,]*|\d[\d.,]* ?(\u00b1|\+/-) ?\d[\d.,]*",
        "write the number, and the margin into a column of its own",
    ),
    ("powers of ten", r"[+-]?\d[\d.,]* ?[x\u00d7*] ?10 ?\^? ?[-\u2212]?\d+", "write 6.63e3"),
    ("thousands in pairs", r"\d{1,2}(,\d\d)+,\d{3}(\.\d+)?", "write them without commas"),
    (
        "digits of another script",
        r"-?([\u0660-\u066c\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\uff0e\uff10-\uff19][.,]?)+",
        "write 0 to 9",
    ),
    ("hexadecimal", r"0x[0-9a-f]+", "write decimal numbers"),
    ("limits of detection", r"[<>]=? ?\d[\d.,]*", "write the number, and the mark into a column of its own"),
    (
        "several units",
        r"[+-]?\d[\d.,]*( [^\W\d_]\S{0,8}| ?[%‰°$€£¥]\S{0,4}|[kmb])|[$€£¥] ?\d[\d.,]*[kmb]?",
        "write the numbers in one unit",
    ),
)
_ANY_NUMBER = re.compile(r"[+-]?\d[\d.,]*", re.ASCII)
# Parts of sentences, in which `c` is the case.
_PASS_SIGN = "(pass --decimal . or --decimal ,)"
_UNREAD = (
    "has dates in a form that is not read, such as {c.column.unreadable}: write them as 2026-01-05"
    " (--category keeps them as names)"
)


@dataclass(frozen=True)
class Case:
    """A column about which the rules are asked."""

    column: ColumnProfile
    rows: Mapping[str, int]  # of the table, by label
    form: str  # of the column's cells; empty if it has no one
    time: str = ""  # the table's column of times, from which ages are computed
    reserved: Collection[str] = ()  # names that examples have for other features
    chosen: str = ""  # the verdict that a person gave

    @property
    def is_code(self) -> bool:
        """Tells whether its numbers begin with zeros: a measurement that does has a point behind it."""
        return self.column.leading_zeros > (1 - MOSTLY) * self.column.cells

    @property
    def is_readable(self) -> bool:
        """Tells whether its cells are numbers or dates in one form."""
        return bool(self.form) and not self.is_code

    @property
    def has_many_values(self) -> bool:
        """Tells whether it has few rows of each value."""
        return self.column.has_over(sum(self.rows.values()) / 2)

    @property
    def is_mark(self) -> bool:
        """Tells whether it has one value or nothing, and enough rows of both."""
        share = self.column.cells / sum(self.rows.values())
        return not self.column.has_over(1) and 1 - MOSTLY <= share <= MOSTLY

    @property
    def one_label(self) -> str:
        """The one label for which it is empty or filled, as the end of a sentence; else nothing."""
        return describe_one_label(self.column, self.rows)

    @property
    def date_parts(self) -> Sequence[str]:
        """The parts of its dates that vary and repeat in these rows, or that the column of times gives."""
        column = self.column
        low, high = column.find_bounds(self.form)
        days = (high - low) / DAY_S
        # Years and months are written as their first days, whose weekday says nothing.
        is_day = any(day > 1 for _, day in column.days)
        fits = {
            WEEKDAY: days >= 14 and len(column.weekdays) > 1 and is_day,
            HOUR: days >= 2 and column.with_clock > (1 - MOSTLY) * column.cells,
            MONTH: days >= 730 and len({month for month, _ in column.days}) > 1,
            AGE: bool(self.time),
        }
        return tuple(part for part, fit in fits.items() if fit)

    @property
    def if_group(self) -> str:
        """The advice to name the column as the group, before more advice; empty where there is a group."""
        return "" if self.column.is_grouped else "--group COLUMN if each is a machine, person or customer, "


@dataclass(frozen=True)
class Rule:
    """A row of the table of rules: what a column is for which the test holds, and why."""

    name: str
    test: Callable[[Case], object]
    sentence: str  # why, after the name of the column, with fields of the case and what the test `found`
    verdict: str = Role.LEAVE_OUT

    def explain(self, case: Case) -> str:
        """Returns why the column of a case is what it is."""
        return self.sentence.format(c=case, found=self.test(case))

    def explain_with_cells(self, case: Case) -> str:
        """Returns why the column of a case is what it is, with a cell of it."""
        sentence = self.explain(case)
        column = case.column
        if "{c.column." in self.sentence or "{found}" in self.sentence or not column.cells:  # it names cells
            return sentence
        return f"{sentence}: {column.cells:,} cells, such as {column.first_cell}"


def _are_unread_numbers(case: Case, form: re.Pattern[str], may_be_unique: bool) -> bool:
    """Tells whether nearly all cells of many values have a form or are numbers, and enough have the form."""
    if not may_be_unique and case.column.has_unique_cells():
        return False
    cells = case.column.values or case.column.sampled
    odd = sum(count for cell, count in cells.items() if form.fullmatch(cell))
    plain = sum(count for cell, count in cells.items() if _ANY_NUMBER.fullmatch(cell))
    total = sum(cells.values())
    is_frequent = odd > (1 - MOSTLY) * total and odd + plain >= MOSTLY * total
    return is_frequent and case.column.has_over(MOST_SIZES)


RULES: Sequence[Rule] = (
    # The choice of a person.
    Rule("chosen to be left out", lambda c: c.chosen == Role.LEAVE_OUT, "was chosen to be left out"),
    Rule("chosen as a number", lambda c: c.chosen == Role.NUMBER, "was chosen as a number", Role.NUMBER),
    Rule(
        "chosen as a category", lambda c: c.chosen == Role.CATEGORY, "was chosen as a category", Role.CATEGORY
    ),
    # Columns from which nothing can be learned.
    Rule("type of no cell", lambda c: c.column.source_type, "has {c.column.source_type} in its cells"),
    Rule("empty", lambda c: c.column.cells == 0, "is empty in all rows"),
    Rule("one value", lambda c: not (c.column.has_over(1) or c.is_mark), "has one value"),
    Rule("no name", lambda c: _PANDAS_INDEX.fullmatch(c.column.name) or not c.column.name, "has no name"),
    Rule(
        "name of two columns",
        lambda c: c.column.is_repeated,
        "is the name of two columns (rename one to learn from them)",
    ),
    Rule(
        "reserved name",
        lambda c: c.column.name in c.reserved,
        "is called like another feature of examples (rename it to learn from it)",
    ),
    # Columns that give the label away; a spelling of the label has a value for each.
    Rule(
        "another spelling of the label",
        lambda c: gives_label_away(c.column) and not c.column.has_over(len(c.column.labels)),
        "gives the label away",
    ),
    Rule(
        "names with one label each",
        lambda c: gives_label_away(c.column),
        "gives the label away ({c.if_group}--number or --category keeps it)",
    ),
    Rule("empty or filled for one label", lambda c: c.one_label, "gives the label away: it is {c.one_label}"),
    Rule(
        "another value in each group",
        lambda c: tells_groups_apart(c.column),
        "has one value in each group, and another in nearly each, so a model would learn the groups by it"
        " (--number or --category keeps it)",
    ),
    # Numbers and dates.
    Rule("row numbers", lambda c: c.is_readable and counts_rows(c.column, c.form), "numbers the rows"),
    Rule(
        "called like names of rows",
        lambda c: c.is_readable and has_row_names(c.column),
        "is called like the names of rows (--number if it measures something)",
    ),
    Rule(
        "identifiers of rows",
        lambda c: c.is_readable and identifies_rows(c.column, c.form),
        "is different in nearly every row, like an identifier",
    ),
    Rule(
        "named like an identifier",
        lambda c: c.is_readable and c.column.values is None and is_called_identifier(c.column),
        f"is called like an identifier, with over {MOST_CATEGORIES:,} values ({{c.if_group}}--number if they"
        " measure something, --category keeps the most frequent)",
    ),
    Rule(
        "named like an identifier of groups",
        lambda c: c.is_readable and c.has_many_values and is_called_identifier(c.column, by_ending=False),
        "is called like an identifier, with few rows of each value ({c.if_group}--number if they measure"
        " something)",
    ),
    Rule(
        "a range for each label",
        lambda c: c.is_readable and separates_labels(c.column, c.form),
        "gives the label away: each label has a range of its own",
    ),
    Rule(
        "dates without marks",
        lambda c: c.is_readable and c.form in NUMBERS and c.column.have_all(_COMPACT_DATE),
        _UNREAD,
    ),
    Rule(
        "dates without a year or a day",
        lambda c: c.form == FRACTION and c.column.has_over(MOST_SIZES) and c.column.have_all(_PART_OF_DATE),
        _UNREAD,
    ),
    Rule(
        "dates that do not recur",
        lambda c: c.is_readable and c.form in TIMES and not c.date_parts,
        "is a date of which no part varies and repeats in these rows (to keep it as a number: --number)",
    ),
    Rule("dates", lambda c: c.is_readable and c.form in TIMES, "has dates", Role.DATE),
    Rule(
        "codes of many digits",
        lambda c: c.is_readable and c.column.has_long_numbers() and c.column.values is not None,
        "has whole numbers of 16 digits or more, which no model tells apart as numbers",
        Role.CATEGORY,
    ),
    Rule(
        "many codes of many digits",
        lambda c: c.is_readable and c.column.has_long_numbers(),
        f"has over {MOST_CATEGORIES:,} whole numbers of 16 digits or more, which no model tells apart"
        " ({c.if_group}--category keeps the most frequent)",
    ),
    Rule(
        "codes", lambda c: c.is_readable and guess_kind(c.column), "has whole numbers that may be codes", ASK
    ),
    Rule("numbers", lambda c: c.is_readable, "has numbers", Role.NUMBER),
    # Numbers and dates that cannot be read.
    Rule("day or month", lambda c: c.column.has_mostly(TIMES), "has dates with an ambiguous day and month"),
    Rule(
        "point or thousands",
        lambda c: not c.is_code and c.column.has_mostly(DECIMALS) and c.column.by_point[0],
        f"has numbers with an ambiguous decimal point, such as {{c.column.by_point[1]}} {_PASS_SIGN}",
    ),
    Rule(
        "comma or thousands",
        lambda c: not c.is_code and c.column.has_mostly(DECIMALS),
        f"has numbers with an ambiguous decimal comma {_PASS_SIGN}",
    ),
    Rule(
        "numbers in several forms",
        lambda c: not c.is_code and c.column.has_over(MOST_SIZES) and find_mixed_forms(c.column, NUMBERS),
        "has numbers in several forms, {found}: write all in one",
    ),
    Rule("unread dates", lambda c: c.column.have_all(_UNREAD_DATE), _UNREAD),
    *(
        Rule(
            f"unread numbers: {name}",
            # Two numbers with a dash between them name a row where each row has others.
            partial(
                _are_unread_numbers,
                form=re.compile(form, re.ASCII | re.IGNORECASE),
                may_be_unique=name != "ranges",
            ),
            f"has numbers in a form that is not read, {name}, such as {{c.column.unreadable}}: {do}"
            " (--category keeps them as names)",
        )
        for name, form, do in _UNREAD_NUMBERS
    ),
    # Names.
    Rule(
        "a few cells that are no numbers",
        lambda c: c.has_many_values and not c.is_code and describe_others(c.column),
        "{found}",
    ),
    Rule(
        "photos",
        lambda c: c.has_many_values and c.column.names_photos(),
        "names photos, which are read without --label",
    ),
    Rule(
        "too many names",
        lambda c: c.column.values is None and not c.column.has_unique_cells(),
        f"has over {MOST_CATEGORIES:,} values ({{c.if_group}}--category keeps the most frequent)",
    ),
    Rule("text", lambda c: c.has_many_values and c.column.longest > _LONGEST_NAME, TEXT),
    Rule(
        "a name for each row",
        lambda c: c.has_many_values and c.column.has_unique_cells(),
        "is different in nearly every row",
    ),
    Rule(
        "rare names",
        lambda c: c.has_many_values,
        "has few rows of each value ({c.if_group}--category keeps the most frequent)",
    ),
    Rule("names", lambda c: True, "has few names", Role.CATEGORY),
)


def judge_column(case: Case) -> Rule:
    """Returns the first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.test(case))
