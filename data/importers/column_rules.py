"""The rules that decide what a column of anyone's table is, in a table: the first one that fits counts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from data.importers.columns import MOST_CATEGORIES, MOSTLY, ColumnProfile
from edgeline.records.columns import NUMBERS, TIMES

# Verdicts on a column; ASK is for whole numbers that may be codes.
AS_NUMBER, AS_DATE, AS_CATEGORY, LEAVE_OUT, ASK = "number", "date", "category", "leave out", "ask"
_IF_GROUP = "--group COLUMN if each is a machine, person or customer"
_KEEPS_IT = "--number or --category keeps it"
_PASS_SIGN = "(pass --decimal . or --decimal ,)"
_UNREAD_DATES = (
    "has dates in a form that is not read, such as {case.unreadable}: write them as 2026-01-05"
    " (--category keeps them as names)"
)
_MOST_SIZES = 20  # with a unit, which make a good category
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Case:
    """A column about which the rules are asked."""

    column: ColumnProfile
    rows: Mapping[str, int]  # of the table, by label
    form: str  # of the column's cells; empty if it has no one
    time: str = ""  # the table's column of times, from which ages are computed
    reserved: Collection[str] = ()  # names that examples have for other features
    chosen: str = ""  # the verdict that a person gave

    @cached_property
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
        return self.column.values is None or len(self.column.values) > sum(self.rows.values()) / 2

    @property
    def is_mark(self) -> bool:
        """Tells whether it has one value or nothing, and enough rows of both."""
        share = self.column.cells / sum(self.rows.values())
        return self.column.has_one_value() and 1 - MOSTLY <= share <= MOSTLY

    @cached_property
    def empty_label(self) -> str:
        """The one of two labels whose rows, and no others, are all empty; else nothing."""
        return self.column.find_empty_label(self.rows)

    @property
    def date_parts(self) -> Sequence[str]:
        """The parts of its dates that a model reads."""
        return self.column.find_date_parts(self.form, self.time)

    @property
    def unreadable(self) -> str:
        """The first cell that is neither a number nor a date."""
        return self.column.find_unreadable()

    @cached_property
    def others(self) -> str:
        """The few cells that are no numbers or dates among those that are, in words."""
        return self.column.describe_others()

    @property
    def if_group(self) -> str:
        """The advice to name the column as the group, before more advice; empty where there is a group."""
        return "" if self.column.is_grouped else f"{_IF_GROUP}, "

    @property
    def advice(self) -> str:
        """The advice on a column of names that gives the label away."""
        return _KEEPS_IT if self.column.is_grouped else _IF_GROUP


@dataclass(frozen=True)
class Rule:
    """A row of the table of rules: what a column is for which the test holds, and why it is left out."""

    name: str
    test: Callable[[Case], object]
    verdict: str
    sentence: str = ""  # why, after the name of the column, with fields of the case

    def explain(self, case: Case) -> str:
        """Returns why the column of a case is left out."""
        return self.sentence.format(case=case)


RULES: Sequence[Rule] = (
    # The choice of a person.
    Rule(
        "chosen to be left out", lambda case: case.chosen == LEAVE_OUT, LEAVE_OUT, "was chosen to be left out"
    ),
    Rule("chosen as a number", lambda case: case.chosen == AS_NUMBER, AS_NUMBER),
    Rule("chosen as a category", lambda case: case.chosen == AS_CATEGORY, AS_CATEGORY),
    # Columns from which nothing can be learned.
    Rule("empty", lambda case: case.column.cells == 0, LEAVE_OUT, "is empty in all rows"),
    Rule(
        "one value", lambda case: case.column.has_one_value() and not case.is_mark, LEAVE_OUT, "has one value"
    ),
    Rule("no name", lambda case: case.column.has_no_name(), LEAVE_OUT, "has no name"),
    Rule(
        "reserved name",
        lambda case: case.column.name in case.reserved,
        LEAVE_OUT,
        "is called like another feature of examples (rename it to learn from it)",
    ),
    # Columns that give the label away.
    Rule(
        "names with one label each",
        lambda case: case.column.gives_label_away() and case.column.has_more_values_than_labels(),
        LEAVE_OUT,
        "gives the label away ({case.advice})",
    ),
    Rule(
        "another spelling of the label",
        lambda case: case.column.gives_label_away(),
        LEAVE_OUT,
        "gives the label away",
    ),
    Rule(
        "empty for one label",
        lambda case: case.empty_label,
        LEAVE_OUT,
        "gives the label away: it is empty in all rows labelled {case.empty_label}, and in no others",
    ),
    # Numbers and dates.
    Rule(
        "row numbers",
        lambda case: case.is_readable and case.column.counts_rows(case.form),
        LEAVE_OUT,
        "numbers the rows",
    ),
    Rule(
        "identifiers of rows",
        lambda case: case.is_readable and case.column.identifies_rows(case.form),
        LEAVE_OUT,
        "is different in nearly every row, like an identifier",
    ),
    Rule(
        "named like an identifier",
        lambda case: case.is_readable and case.column.is_called_identifier(),
        LEAVE_OUT,
        f"is called like an identifier, with over {MOST_CATEGORIES:,} values ({{case.if_group}}--number if"
        " they measure something, --category keeps the most frequent)",
    ),
    Rule(
        "a range for each label",
        lambda case: case.is_readable and case.column.separates_labels(case.form),
        LEAVE_OUT,
        "gives the label away: each label has a range of its own",
    ),
    Rule(
        "dates without marks",
        lambda case: case.is_readable and case.form in NUMBERS and case.column.has_compact_dates(),
        LEAVE_OUT,
        _UNREAD_DATES,
    ),
    Rule(
        "dates that do not recur",
        lambda case: case.is_readable and case.form in TIMES and not case.date_parts,
        LEAVE_OUT,
        "is a date whose parts do not repeat in these rows (to keep it as a number: --number)",
    ),
    Rule("dates", lambda case: case.is_readable and case.form in TIMES, AS_DATE),
    Rule("codes", lambda case: case.is_readable and case.column.guess_kind(case.form), ASK),
    Rule("numbers", lambda case: case.is_readable, AS_NUMBER),
    # Numbers and dates that cannot be read.
    Rule(
        "day or month",
        lambda case: case.column.has_mostly(TIMES),
        LEAVE_OUT,
        "has dates with an ambiguous day and month",
    ),
    Rule(
        "point or thousands",
        lambda case: not case.is_code and case.column.has_mostly(NUMBERS) and case.column.by_point[0],
        LEAVE_OUT,
        f"has numbers with an ambiguous decimal point, such as {{case.column.by_point[1]}} {_PASS_SIGN}",
    ),
    Rule(
        "comma or thousands",
        lambda case: not case.is_code and case.column.has_mostly(NUMBERS),
        LEAVE_OUT,
        f"has numbers with an ambiguous decimal comma {_PASS_SIGN}",
    ),
    Rule("unread dates", lambda case: case.column.has_unread_dates(), LEAVE_OUT, _UNREAD_DATES),
    Rule(
        "numbers with a unit",
        lambda case: case.column.has_over(_MOST_SIZES) and case.column.has_unit(),
        LEAVE_OUT,
        "has numbers with a unit, or with blanks or ' at thousands, such as {case.unreadable}: write the"
        " numbers alone (--category keeps them as names)",
    ),
    # Names.
    Rule(
        "a few cells that are no numbers",
        lambda case: case.has_many_values and not case.is_code and case.others,
        LEAVE_OUT,
        "{case.others}",
    ),
    Rule(
        "photos",
        lambda case: case.has_many_values and case.column.names_photos(),
        LEAVE_OUT,
        "names photos, which are read without --label",
    ),
    Rule(
        "too many names",
        lambda case: case.column.values is None and not case.column.has_unique_cells(),
        LEAVE_OUT,
        f"has over {MOST_CATEGORIES:,} values ({{case.if_group}}--category keeps the most frequent)",
    ),
    Rule(
        "text",
        lambda case: case.has_many_values and case.column.longest > _LONGEST_NAME,
        LEAVE_OUT,
        "is text of many words",
    ),
    Rule(
        "a name for each row",
        lambda case: case.has_many_values and case.column.has_unique_cells(),
        LEAVE_OUT,
        "is different in nearly every row",
    ),
    Rule(
        "names of groups",
        lambda case: case.has_many_values and not case.column.is_grouped,
        LEAVE_OUT,
        f"has few rows of each value ({_IF_GROUP})",
    ),
    Rule("rare names", lambda case: case.has_many_values, LEAVE_OUT, "has few rows of each value"),
    Rule("names", lambda case: True, AS_CATEGORY),
)


def judge_column(case: Case) -> Rule:
    """Returns the first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.test(case))
