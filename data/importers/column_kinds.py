"""What the columns of a table are taken for, the first time and from then on, and which cannot be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.importers.columns import TIMES, Column
from errors import DataRefused, UsageError
from labels import fault_of

_MOST_LABELS = 1_000


@dataclass(frozen=True)
class Seen:
    """What the first look at a table found."""

    columns: dict[str, Column]
    rows: int
    refused: tuple[str, ...]


def check_forms(shown: str, seen: Seen, time: str) -> None:
    """Refuses a column in several forms, and one of times that are none.

    Raises:
        UsageError, DataRefused: With what was seen.
    """
    for name, column in seen.columns.items():
        if found := column.mixed():
            raise DataRefused(
                f"The column {name} of {shown} is in several forms: {found}.",
                "Which form a cell of it has cannot be told.",
                "Write all of it in one form, dates best as 2026-01-05, or leave it out.",
            )
    if time and seen.columns[time].form() not in TIMES:
        some = next((first for _, first in seen.columns[time].read.values()), "it is empty")
        raise UsageError(
            f"The column {time} of {shown} holds no times that can be read: {some}.",
            "Times are ISO 8601, as 2026-01-05T06:00:00Z, or dates of which day and month can be told.",
            "Name another column, or write it so.",
        )


def find_kinds(shown: str, seen: Seen, given: Sequence[str]) -> dict[str, str]:
    """What each column is that is not `given`: `number`, `time`, `category`, or why it is left out.

    Raises:
        DataRefused: No column is left to learn from.
    """
    kinds = {name: column.kind(seen.rows) for name, column in seen.columns.items() if name not in given}
    if not {"number", "time", "category"} & set(kinds.values()):
        raise DataRefused(
            f"{shown} has no column beside {', '.join(given)} that a model could learn from.",
            "; ".join(f"{name} {kind}" for name, kind in kinds.items()) or "It has no other column.",
            "Give a table with numbers or categories, or name a column of texts with --text.",
        )
    return kinds


def kinds_again(shown: str, seen: Seen, known: Mapping[str, str], given: Sequence[str]) -> dict[str, str]:
    """What each column was when the folder got its schema, of which `known` are the columns.

    Raises:
        UsageError: One of them is not there.
        DataRefused: One of numbers holds none.
    """
    if missing := [name for name in known if name not in seen.columns]:
        raise UsageError(
            f"{shown} has no column {', '.join(missing)}, which the spans before it have.",
            "A model reads the same columns each week.",
            "Add it, cells may be empty; a table of another kind goes into a folder of its own.",
        )
    for name, column in seen.columns.items():
        if known.get(name) == "number" and column.there and not column.form():
            raise DataRefused(
                f"The column {name} of {shown} cannot be read as numbers, which it has in the spans"
                f" before: {max(column.read.values())[1]}.",
                "All of its rows would be quarantined.",
                "Write it as before.",
            )
    return {name: known.get(name, "the schema does not have") for name in seen.columns if name not in given}


def check_label_column(shown: str, column: Column, rows: int, first: bool) -> None:
    """Refuses a column that is no label, `first` says of the folder's first rows.

    Raises:
        UsageError: It has one value, or a value for nearly each row, or one that cannot be a label.
    """
    if first:
        check_several(shown, column, "There is nothing to tell apart.", "classes")
    label, values = column.name, column.values
    if values is None or len(values) > _MOST_LABELS or (first and len(values) == column.there):
        raise UsageError(
            f"The column {label} of {shown} has a label for nearly each of its {rows} rows.",
            "A class needs many rows to be learned from.",
            "Name a column with few values, or put its values into classes.",
        )
    if faults := [f"{value!a}: {fault}" for value in values if (fault := fault_of(value))]:
        raise UsageError(
            f"The column {label} of {shown} has labels that cannot be used: {'; '.join(faults[:3])}.",
            "Phones read labels as the lines of a file.",
            "Correct them in the table.",
        )


def check_several(shown: str, column: Column, why: str, others: str) -> None:
    """Refuses a column with the same in every row.

    Raises:
        UsageError: It is so.
    """
    if column.values is not None and len(column.values) < 2:
        raise UsageError(
            f"The column {column.name} of {shown} is {next(iter(column.values), 'empty')!r} in every row.",
            why,
            f"Name another column, or import rows of other {others} too.",
        )
