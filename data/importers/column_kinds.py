"""The kinds of a table's columns, at the first import and at later ones, and checks of these columns."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from data.importers.bands import ONE_LABEL, suggest_bands
from data.importers.columns import ColumnProfile
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import find_fault, show_label
from edgeline.records.columns import AGE, DAYS, NUMBERS, TIMES, Column
from edgeline.tables.files import find_near

_MOST_LABELS = 1_000
# Numbers with more distinct values than this are taken for measurements, and not for classes.
_MOST_NUMBERED_CLASSES = 20
LEAVE_OUT = "leave out"
# Returns the kind of a column, given its name, its first values and a guess: `number` or `category`.
Ask = Callable[[str, str, str], str]


@dataclass(frozen=True)
class TableProfile:
    """A table as the first pass over its rows saw it."""

    columns: dict[str, ColumnProfile]
    labels: Mapping[str, int]  # rows of each, without those that are damaged
    unlabelled: tuple[str, ...]  # the places of rows without a label
    refused: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Returns the number of rows that have a label and are not damaged."""
        return sum(self.labels.values())

    def find_forms(self, decimal: str, forms: Mapping[str, str]) -> dict[str, str]:
        """Returns the form in which the cells of each column are written.

        Args:
            decimal: The decimal sign that a person gave; if empty, that of the columns that show it.
            forms: The form that each column had in an earlier span.
        """
        signs = {profile.find_decimal() for profile in self.columns.values()} - {""}
        sign = decimal or (signs.pop() if len(signs) == 1 else "")
        return {name: profile.find_form(sign, forms.get(name, "")) for name, profile in self.columns.items()}


@dataclass(frozen=True)
class Kinds:
    """The columns of a table that a model reads, by kind, and those that it does not."""

    numbers: Mapping[str, Column]  # by feature
    categories: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()  # columns, each with why
    guessed: tuple[tuple[str, str], ...] = ()  # columns nobody was asked about, each with its kind


def check_names(shown: str, names: Collection[str], reserved: Collection[str]) -> None:
    """Refuses names of columns that examples have for other features. Raises UsageError."""
    if clashes := [name for name in names if name and name in reserved]:
        raise UsageError(
            f"The column {clashes[0]} of {shown} was chosen, and examples have another feature of this name.",
            "A run could not tell the two apart.",
            "Rename the column in the table, or leave it out.",
        )


def check_forms(
    shown: str, table: TableProfile, forms: Mapping[str, str], time: str, names: Collection[str]
) -> None:
    """Refuses a column among `names` in several forms, and a time column without readable times.

    Raises DataRefused for the one, and UsageError for the other.
    """
    for name, column in table.columns.items():
        if name in names and (several := column.find_mixed_forms(forms[name])):
            raise DataRefused(
                f"The column {name} of {shown} mixes formats: {several}.",
                "The format of each cell is ambiguous.",
                "Write all its cells in one format, dates preferably as 2026-01-05, or leave it out.",
            )
    if time and forms[time] not in TIMES:
        some = next((first for _, first in table.columns[time].by_forms.values()), "it is empty")
        raise UsageError(
            f"The column {time} of {shown} has no readable times: {some}.",
            "Times are ISO 8601, such as 2026-01-05T06:00:00Z, or dates with an unambiguous day and month.",
            "Name another column, or write its times in this format.",
        )


def find_kinds(
    shown: str,
    table: TableProfile,
    forms: Mapping[str, str],
    roles: Sequence[str],
    time: str,
    chosen: Mapping[str, str],
    ask: Ask | None,
    reserved: Collection[str],
) -> Kinds:
    """Finds the kind of each column that is not in `roles`.

    Args:
        shown: The table's name in messages.
        table: The profile of the table.
        forms: The form of each column's cells, see `TableProfile.find_forms`.
        roles: The columns of label, group and time.
        time: The column of times, from which ages are computed; empty if there is none.
        chosen: The kinds that a person gave: `number` (days since 1970 for a date), `category` or
            `LEAVE_OUT`.
        ask: Asks a person about whole numbers that may be codes; None accepts the guess.
        reserved: Names that examples have for other features.

    Raises UsageError if a column chosen as a number holds none, and DataRefused if no column is left.
    """
    numbers, categories = dict[str, Column](), list[str]()
    left_out, guessed = list[tuple[str, str]](), list[tuple[str, str]]()
    for name, column in table.columns.items():
        if name in roles:
            continue
        form = forms[name]
        kind = chosen.get(name) or column.find_kind(table.labels, form, reserved)
        if name not in chosen and kind == "number" and (guess := column.guess_kind(form)):
            kind = ask(name, ", ".join(list(column.values or column.sampled)[:4]), guess) if ask else guess
            if not ask:
                guessed.append((name, guess))
        if kind == "number":
            if not form:
                raise UsageError(
                    f"The column {name} of {shown} was chosen as a number, but cannot be read as one.",
                    f"It contains {column.find_unreadable()}.",
                    "Remove --number, or write its cells in one format.",
                )
            numbers[name] = Column(name, form, "" if form in NUMBERS else DAYS)
        elif kind == "time":
            parts = column.find_date_parts(form, time)
            for part in parts:
                until = (time, forms[time]) if part == AGE else ()
                numbers[_name_feature(name, part, table.columns)] = Column(name, form, part, *until)
            if not parts:
                why = "is a date whose parts do not repeat in these rows (to keep it as a number: --number)"
                left_out.append((name, why))
        elif kind == "category":
            categories.append(name)
        else:
            left_out.append((name, "was chosen to be left out" if kind == LEAVE_OUT else kind))
    if not numbers and not categories:
        raise DataRefused(
            f"{shown} has no column besides {', '.join(roles)} that a model could learn from.",
            f"Of its columns, {'; '.join(f'{name} {why}' for name, why in left_out)}."
            if left_out
            else "It has no other column.",
            "Pass a table with numbers or categories, or name a column of texts with --text.",
        )
    return Kinds(numbers, tuple(categories), tuple(left_out), tuple(guessed))


def _name_feature(name: str, part: str, others: Mapping[str, object]) -> str:
    """Returns a name for a part of a date that no other column has."""
    feature = f"{name}_{part}"
    while feature in others:
        feature += "_"
    return feature


def reuse_kinds(
    shown: str,
    table: TableProfile,
    forms: Mapping[str, str],
    kinds: Mapping[str, str],
    columns: Mapping[str, Column],
    roles: Sequence[str],
) -> Kinds:
    """Returns the kinds that the columns have in the folder's schema.

    `kinds` has `number` or `category` for each feature of the schema, and `columns` the source of each number
    that is not simply a number in the column of its name; the others are as in `find_kinds`. Raises
    UsageError if a column is missing, and DataRefused if a column of numbers holds none.
    """
    numbers = {name: columns.get(name) or Column(name) for name, kind in kinds.items() if kind == "number"}
    categories = tuple(name for name, kind in kinds.items() if kind == "category")
    used = {*categories, *(column.name for column in numbers.values())}
    if missing := sorted(used - {*table.columns}):
        near = find_near(missing[:1], sorted({*table.columns} - used))
        raise UsageError(
            f"{shown} has no column {', '.join(missing)}, which earlier spans have.",
            "A model reads the same columns each week.",
            (f"If {near[0]} is {missing[0]}, rename it. Else add" if near else "Add")
            + " it (its cells may be empty), or import another kind of table into a folder of its own.",
        )
    for column in numbers.values():
        profile, is_time = table.columns[column.name], column.form in TIMES
        form = forms[column.name]
        if profile.cells and (not form or is_time != (form in TIMES)):
            raise DataRefused(
                f"The column {column.name} of {shown} cannot be read as {'times' if is_time else 'numbers'},"
                f" as in earlier spans: {max(profile.by_forms.values())[1]}.",
                "All of its rows would be quarantined.",
                "Write it in the format of the earlier spans.",
            )
    left_out = [(n, "the schema does not have") for n in table.columns if n not in used and n not in roles]
    return Kinds(numbers, categories, tuple(left_out))


def check_label_column(
    shown: str,
    column: ColumnProfile,
    rows: int,
    is_first: bool,
    labels: Collection[str],
    are_codes: bool = False,
) -> None:
    """Refuses a column that is not a label; a folder's first import `is_first`, others know `labels`.

    `are_codes` tells that its numbers are codes of classes.

    Raises UsageError for one value, one for nearly each row, measurements, or a value that cannot be a label.
    """
    if is_first or not column.cells:
        why = "A model needs at least two classes."
        check_not_constant(shown, column, why, "Name another column, or import rows of other classes too.")
    label, values = column.name, column.values
    are_many = values is None or len(values.keys() - labels) > _MOST_NUMBERED_CLASSES
    if column.find_form() in NUMBERS and are_many and not are_codes:
        bands = suggest_bands(shown, column)
        raise UsageError(
            f"The column {label} of {shown} has {'over ' if values is None else ''}"
            f"{len(values or range(_MOST_LABELS)):,} different numbers in {column.cells:,} rows.",
            ONE_LABEL,
            f"If they are codes of classes, add --category {shlex.quote(label)}. {bands}",
        )
    if values is None or len(values) > _MOST_LABELS:
        raise UsageError(
            f"The column {label} of {shown} has over {_MOST_LABELS:,} different labels.",
            f"{ONE_LABEL} It needs many rows of each.",
            "Name a column with fewer values, or group its values into classes.",
        )
    if is_first and len(values) == column.cells:
        raise UsageError(
            f"The column {label} of {shown} has a different label in nearly each of its {rows:,} rows.",
            "A model needs many rows of each class.",
            "Name a column with few values, or group its values into classes.",
        )
    if faults := [f"{show_label(value)}: {fault}" for value in values if (fault := find_fault(value))]:
        raise UsageError(
            f"The column {label} of {shown} has labels that cannot be used: {'; '.join(faults[:3])}.",
            "Phones read labels as the lines of a file.",
            "Correct them in the table.",
        )


def check_not_constant(shown: str, column: ColumnProfile, why: str, do: str) -> None:
    """Refuses a column with the same value in every row. Raises UsageError."""
    if column.values is not None and len(column.values) < 2:
        raise UsageError(
            f"The column {column.name} of {shown} is {next(iter(column.values), 'empty')!r} in every row.",
            why,
            do,
        )
