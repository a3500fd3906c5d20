"""The kinds of a table's columns, at the first import and at later ones, and checks of these columns."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.importers.bands import ONE_LABEL, suggest_bands
from data.importers.column_rules import AS_CATEGORY, AS_DATE, AS_NUMBER, ASK, LEAVE_OUT, Case, judge_column
from data.importers.columns import ColumnProfile
from data.importers.import_report import check_classes
from data.importers.table_profile import TableProfile
from data.importers.table_roles import Earlier, Roles
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import find_fault, show_label
from edgeline.records.columns import AGE, DAYS, ISO, NUMBERS, TIMES, Column
from edgeline.tables.files import find_near

_MOST_LABELS = 1_000
# Numbers with more distinct values than this are taken for measurements, and not for classes.
_MOST_NUMBERED_CLASSES = 20
# Returns the kind of a column, given its name, its first values and a guess: one of the verdicts on columns.
Ask = Callable[[str, str, str], str]


@dataclass(frozen=True)
class Kinds:
    """The columns of a table that a model reads, by kind, and those that it does not."""

    numbers: Mapping[str, Column]  # by feature
    categories: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()  # columns, each with why
    guessed: tuple[tuple[str, str], ...] = ()  # columns nobody was asked about, each with its kind
    times: Mapping[str, Column] = field(default_factory=dict)  # the column of times by name, if there is one

    def list_columns(self) -> Sequence[Column]:
        """Returns the columns of numbers and of times."""
        return [*self.numbers.values(), *self.times.values()]


def check_names(shown: str, names: Collection[str], reserved: Collection[str]) -> None:
    """Refuses names of columns that examples have for other features. Raises UsageError."""
    if clashes := [name for name in names if name and name in reserved]:
        raise UsageError(
            f"The column {clashes[0]} of {shown} was chosen, and examples have another feature of this name.",
            "A run could not tell the two apart.",
            "Rename the column in the table, or leave it out.",
        )


def check_forms(table: TableProfile, time: str, names: Collection[str]) -> None:
    """Refuses a column among `names` in several forms, and a time column without readable times.

    Raises DataRefused for the one, and UsageError for the other.
    """
    for name, column in table.columns.items():
        if name in names and (several := column.find_mixed_forms(table.forms[name])):
            raise DataRefused(
                f"The column {name} of {table.shown} mixes formats: {several}.",
                "The format of each cell is ambiguous.",
                "Write all its cells in one format, dates preferably as 2026-01-05, or leave it out.",
            )
    if time and table.forms[time] not in TIMES:
        some = next((first for _, first in table.columns[time].by_forms.values()), "it is empty")
        raise UsageError(
            f"The column {time} of {table.shown} has no readable times: {some}.",
            "Times are ISO 8601, such as 2026-01-05T06:00:00Z, or dates with an unambiguous day and month.",
            "Name another column, or write its times in this format.",
        )


def settle_kinds(
    data_dir: Path,
    table: TableProfile,
    roles: Roles,
    earlier: Earlier,
    reserved: Collection[str],
    chosen: Mapping[str, str],
    ask: Ask | None,
) -> Kinds:
    """Returns the kinds of columns: those of earlier spans, or else as `find_kinds` does; none for texts.

    Raises UsageError if a column was chosen to be of another kind, and as `check_forms`, `find_kinds` and
    `reuse_kinds` do.
    """
    if roles.text:
        return Kinds({}, ())
    form = ISO
    if earlier.kinds is None:
        names = {name for name in table.columns if chosen.get(name, AS_NUMBER) == AS_NUMBER}
        check_forms(table, roles.time, names)
        kinds = find_kinds(table, roles, reserved, chosen, ask)
        form = table.forms.get(roles.time, ISO)
    else:
        check_forms(table, roles.time, earlier.list_forms(roles.time).keys())
        kinds = reuse_kinds(table, roles, earlier.kinds, earlier.columns)
        _check_chosen(data_dir, kinds, chosen)
    if not roles.time:
        return kinds
    return replace(kinds, times={roles.time: earlier.columns.get(roles.time) or Column(roles.time, form)})


def _check_chosen(data_dir: Path, kinds: Kinds, chosen: Mapping[str, str]) -> None:
    """Refuses a chosen kind that is not the one in earlier spans. Raises UsageError."""
    earlier = dict.fromkeys((column.name for column in kinds.numbers.values()), AS_NUMBER)
    earlier |= dict.fromkeys(kinds.categories, AS_CATEGORY)
    others = sorted(name for name, kind in chosen.items() if kind != earlier.get(name, LEAVE_OUT))
    if others:
        raise UsageError(
            f"{data_dir} has a schema, which fixes the kind of {', '.join(others)}.",
            "A model reads the same columns each week.",
            "Leave out the option that names another kind, or import into a folder of its own.",
        )


def find_kinds(
    table: TableProfile,
    roles: Roles,
    reserved: Collection[str],
    chosen: Mapping[str, str],
    ask: Ask | None,
) -> Kinds:
    """Finds the kind of each column that has no role.

    Args:
        table: The profile of the table, with the forms of its columns.
        roles: The columns with a role; ages are computed up to the one of times, if there is one.
        reserved: Names that examples have for other features.
        chosen: The kinds that a person gave by column: `number` (days since 1970 for a date), `category` or
            `LEAVE_OUT`.
        ask: Asks a person about whole numbers that may be codes; None accepts the guess.

    Raises UsageError if a column chosen as a number holds none, and DataRefused if no column is left.
    """
    numbers, categories = dict[str, Column](), list[str]()
    left_out, guessed = list[tuple[str, str]](), list[tuple[str, str]]()
    for name, column in table.columns.items():
        if name in roles.columns:
            continue
        case = Case(column, table.labels, table.forms[name], roles.time, reserved, chosen.get(name, ""))
        rule = judge_column(case)

        if rule.verdict == ASK:
            answer = guess = column.guess_kind(case.form)
            if ask:
                answer = ask(name, ", ".join(list(column.values or column.sampled)[:4]), guess)
            else:
                guessed.append((name, guess))
            case = replace(case, chosen=answer)
            rule = judge_column(case)

        if rule.verdict == AS_NUMBER:
            numbers[name] = _make_number(table.shown, case)
        elif rule.verdict == AS_DATE:
            numbers |= _make_date_parts(table, case)
        elif rule.verdict == AS_CATEGORY:
            categories.append(name)
        else:
            left_out.append((name, rule.explain(case)))

    if not numbers and not categories:
        why = "; ".join(f"{name} {why}" for name, why in left_out)
        raise DataRefused(
            f"{table.shown} has no column besides {', '.join(roles.columns)} that a model could learn from.",
            f"Of its columns, {why}." if left_out else "It has no other column.",
            "Pass a table with numbers or categories, or name a column of texts with --text.",
        )
    return Kinds(numbers, tuple(categories), tuple(left_out), tuple(guessed))


def _make_number(shown: str, case: Case) -> Column:
    name = case.column.name
    if not case.form:
        raise UsageError(
            f"The column {name} of {shown} was chosen as a number, but cannot be read as one.",
            f"It contains {case.column.unreadable}.",
            "Remove --number, or write its cells in one format.",
        )
    return Column(name, case.form, "" if case.form in NUMBERS else DAYS)


def _make_date_parts(table: TableProfile, case: Case) -> dict[str, Column]:
    """Returns the parts of a date, by names of features that no other column has."""
    columns = dict[str, Column]()
    for part in case.date_parts:
        feature = f"{case.column.name}_{part}"
        while feature in table.columns:
            feature += "_"
        until = (case.time, table.forms[case.time]) if part == AGE else ()
        columns[feature] = Column(case.column.name, case.form, part, *until)
    return columns


def reuse_kinds(
    table: TableProfile, roles: Roles, kinds: Mapping[str, str], columns: Mapping[str, Column]
) -> Kinds:
    """Returns the kinds that the columns have in the folder's schema.

    Args:
        table: The profile of the table, with the forms of its columns.
        roles: The columns with a role.
        kinds: `number` or `category` for each feature of the schema.
        columns: The source of each number that is not simply a number in the column of its name.

    Raises UsageError if a column is missing, and DataRefused if a column of numbers holds none.
    """
    numbers = {name: columns.get(name) or Column(name) for name, kind in kinds.items() if kind == "number"}
    categories = tuple(name for name, kind in kinds.items() if kind == "category")
    used = {*categories, *(column.name for column in numbers.values())}
    if missing := sorted(used - {*table.columns}):
        near = find_near(missing[:1], sorted({*table.columns} - used))
        raise UsageError(
            f"{table.shown} has no column {', '.join(missing)}, which earlier spans have.",
            "A model reads the same columns each week.",
            (f"If {near[0]} is {missing[0]}, rename it. Else add" if near else "Add")
            + " it (its cells may be empty), or import another kind of table into a folder of its own.",
        )
    for column in numbers.values():
        profile, form = table.columns[column.name], table.forms[column.name]
        kind = "times" if column.form in TIMES else "numbers"
        if profile.cells and (not form or (column.form in TIMES) != (form in TIMES)):
            raise DataRefused(
                f"The column {column.name} of {table.shown} cannot be read as {kind}, as in"
                f" earlier spans: {max(profile.by_forms.values())[1]}.",
                "All of its rows would be quarantined.",
                "Write it in the format of the earlier spans.",
            )
    others = [name for name in table.columns if name not in used and name not in roles.columns]
    return Kinds(numbers, categories, tuple((name, "the schema does not have") for name in others))


def check_label(table: TableProfile, label: str, earlier: Earlier, are_codes: bool) -> None:
    """Refuses a column that is not a label; `are_codes` tells that its numbers are codes of classes.

    Raises UsageError for one value, one for nearly each row, measurements, or a value that cannot be a label.
    """
    column = table.columns[label]
    shown, values = table.shown, column.values
    if earlier.is_first or not column.cells:
        why = "A model needs at least two classes."
        _check_not_constant(shown, column, why, "Name another column, or import rows of other classes too.")
    are_many = values is None or len(values.keys() - earlier.labels) > _MOST_NUMBERED_CLASSES
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
    if earlier.is_first and len(values) == column.cells:
        raise UsageError(
            f"The column {label} of {shown} has a different label in nearly each of its {table.rows:,} rows.",
            "A model needs many rows of each class.",
            "Name a column with few values, or group its values into classes.",
        )
    if faults := [f"{show_label(value)}: {fault}" for value in values if (fault := find_fault(value))]:
        raise UsageError(
            f"The column {label} of {shown} has labels that cannot be used: {'; '.join(faults[:3])}.",
            "Phones read labels as the lines of a file.",
            "Correct them in the table.",
        )


def check_first(table: TableProfile, roles: Roles, noun: str, least: int) -> None:
    """Refuses a first table with too few of each class, if a run wants `least`, or with one group.

    Raises DataRefused for the one, and UsageError for the other.
    """
    if least:
        check_classes(table.shown, noun, table.labels)
    # Texts without a group stand alone, and later weeks may have other groups.
    if roles.group and table.columns[roles.group].cells == table.columns[roles.label].cells:
        why = "Rows of one group are never in two splits, so there would be no rows to evaluate on."
        do = "Leave out --group, name another column, or import rows of other groups too."
        _check_not_constant(table.shown, table.columns[roles.group], why, do)


def _check_not_constant(shown: str, column: ColumnProfile, why: str, do: str) -> None:
    """Refuses a column with the same value in every row. Raises UsageError."""
    if column.values is not None and len(column.values) < 2:
        raise UsageError(
            f"The column {column.name} of {shown} is {next(iter(column.values), 'empty')!r} in every row.",
            why,
            do,
        )
