"""The kinds of a table's columns, at the first import and at later ones, and checks of these columns."""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from data.importers.bands import ONE_LABEL, suggest_bands
from data.importers.changed_columns import check_changes
from data.importers.clocks import CLOCKS
from data.importers.codes import guess_kind
from data.importers.column_forms import find_form, find_mixed_forms
from data.importers.column_profile import ColumnProfile
from data.importers.column_rules import ASK, RULES, TEXT, Case, Rule, judge_column
from data.importers.import_report import check_classes
from data.importers.read_table import is_joined
from data.importers.sentinels import find_sentinels, list_no_times
from data.importers.table_file import NAMED, TABLE, ColumnEntry, Role, Roles, TableFile, list_reserved
from data.importers.table_profile import TableProfile
from data.importers.table_roles import Earlier, Named
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import find_fault, show_label
from edgeline.records.columns import DECIMALS, ISO, NUMBERS, TIMES

_MOST_LABELS = 1_000
# Numbers with more distinct values than this are taken for measurements, and not for classes.
_MOST_NUMBERED_CLASSES = 20
_UNREAD = f"{TABLE} does not have: --add {{}} takes it from now on"
_GONE = "is missing after {}: remove `until` to read it again"
# Returns a person's answer to a question, one of these, given a guess.
Ask = Callable[[str, Collection[str], str], str]
_KINDS, _READINGS = (Role.NUMBER, Role.CATEGORY, Role.LEAVE_OUT), ("missing", "a reading")


def check_names(shown: str, names: Collection[str], reserved: Collection[str]) -> None:
    """Refuses names of columns that examples have for other features.

    Args:
        shown: The table, as messages name it.
        names: The columns that become features; empty ones are passed over.
        reserved: The features that every example has, by `list_reserved`.

    Raises:
        UsageError: A column has a reserved name.
    """
    if clashes := [name for name in names if name and name in reserved]:
        raise UsageError(
            f"The column {clashes[0]} of {shown} was chosen, and examples have another feature of this name.",
            "A run could not tell the two apart.",
            "Rename the column in the table, or leave it out.",
        )


def _check_forms(table: TableProfile, time: str, names: Collection[str]) -> None:
    """Refuses a column among `names` in several forms, and a time column without readable times.

    Raises DataRefused for the one, and UsageError for the other.
    """
    for name, column in table.columns.items():
        kinds = () if table.forms[name] or name not in names else (DECIMALS, (*TIMES,))
        if several := next(filter(None, (find_mixed_forms(column, forms) for forms in kinds)), ""):
            raise DataRefused(
                f"The column {name} of {table.shown} mixes formats: {several}.",
                "The format of each cell is ambiguous.",
                "Write all its cells in one format, dates preferably as 2026-01-05, or leave it out.",
            )
    if time and table.forms[time] not in (*TIMES, *CLOCKS):
        some = table.columns[time].unreadable
        since = (
            f" Seconds since the start of a recording become times with pandas: table[{time!r}] ="
            f" pandas.Timestamp('2026-01-05') + pandas.to_timedelta(table[{time!r}], unit='s')."
        )
        raise UsageError(
            f"The column {time} of {table.shown} has no readable times: {some}.",
            "Times are ISO 8601, such as 2026-01-05T06:00:00Z, dates with an unambiguous day and month,"
            " counts of seconds or less since 1970, or days as Excel counts them.",
            "Name another column, or write its times in this format."
            + (since if table.forms[time] in NUMBERS else ""),
        )


@dataclass(frozen=True)
class Described:
    """Holds how the columns of a table are read."""

    file: TableFile
    guessed: tuple[tuple[str, str], ...] = ()  # columns nobody was asked about, each with its kind
    left_out: tuple[tuple[str, str], ...] = ()  # columns, each with why
    added: Mapping[str, ColumnEntry] = field(default_factory=dict)  # those that earlier spans do not have
    changed: Mapping[str, ColumnEntry] = field(default_factory=dict)  # those that were renamed or dropped
    lacking: int = 0  # rows of earlier spans without them

    @property
    def read(self) -> TableFile:
        """The columns without those that the table lacks."""
        columns = {**self.file.columns, **self.changed}
        return replace(self.file, columns={n: entry for n, entry in columns.items() if not entry.is_gone})


def describe_table(table: TableProfile, named: Named, ask: Ask | None) -> Described:
    """Finds the role of each column of a table, by the rules where a person names none.

    Args:
        table: The profile of the table, with the forms of its columns.
        named: What a person named; ages are computed up to the column of times, if there is one.
        ask: Asks a person about whole numbers that may be codes; None accepts the guess.

    Raises UsageError if a column chosen as a number holds none, or the one of times no times, and DataRefused
    if no column is left, or one has several forms.
    """
    roles = named.roles
    if not roles.text:
        readable = {name for name in table.columns if named.chosen.get(name, Role.NUMBER) == Role.NUMBER}
        _check_forms(table, roles.time, readable)
    entries = dict[str, ColumnEntry]()
    guessed, left_out = list[tuple[str, str]](), list[tuple[str, str]]()
    for name in table.columns:
        if role := _find_named_role(name, roles):
            entries[name] = _describe_role(role, table.columns[name], table.forms[name])
            continue
        case, rule, verdict = _judge(_make_case(table, named, name), ask)
        if rule.verdict == ASK:
            guessed.append((name, verdict))
        if verdict == Role.LEAVE_OUT:
            left_out.append((name, rule.explain(case)))
        entries[name] = _make_entry(table, case, verdict, rule.explain_with_cells(case))

    file = TableFile(entries, table.shown, named.readings)
    if not (roles.text or file.numbers or file.categories):
        why = "; ".join(f"{name} {reason}" for name, reason in left_out)
        texts = [name for name, reason in left_out if reason == TEXT]
        raise DataRefused(
            f"{table.shown} has no column besides {', '.join(roles.columns)} that a model could learn from.",
            f"Of its columns, {why}." if left_out else "It has no other column.",
            "Pass a table with numbers or categories, or name a column of texts with --text"
            f" {shlex.quote(texts[0]) if texts else 'COLUMN'}.",
        )
    return Described(file, tuple(guessed), tuple(left_out))


def _describe_role(role: str, column: ColumnProfile, form: str) -> ColumnEntry:
    """Returns how a column is read that a person named for a role."""
    reason = f"was named with --{role}"
    if role != Role.TIME:
        return ColumnEntry(role, reason=reason)
    if form in CLOCKS:  # the span has it in ISO 8601
        form, reason = ISO, f"{reason}, and has {form}"
    if none := column.without_value:
        reason += f"; {none.count:,} of its cells stand for no time, such as {none.first}"
    return ColumnEntry(role, form, missing=column.missing, reason=reason)


def _judge(case: Case, ask: Ask | None) -> tuple[Case, Rule, str]:
    """Returns the rule that decides on a column, and its verdict: where it asks, the answer or a guess."""
    rule = judge_column(case)
    if rule.verdict == ASK:
        guess = guess_kind(case.column)
        if not ask:
            return case, rule, guess
        case = replace(case, chosen=_ask_for_kind(case.column, guess, ask))
        rule = judge_column(case)
    return case, rule, rule.verdict


def _ask_for_kind(column: ColumnProfile, guess: str, ask: Ask) -> str:
    cells = ", ".join(list(column.values or column.sampled)[:4])
    return ask(
        f"{column.name} ({cells}, ...): a number to calculate with, a category, or leave out?", _KINDS, guess
    )


def find_missing(table: TableProfile, roles: Roles, ask: Ask | None) -> Mapping[str, tuple[str, ...]]:
    """Returns the texts that stand for no reading, by column, where more are found than are known.

    These are times that are none, and, if a person can be asked, numbers and dates far from all others.

    Args:
        table: The profile of the table, with the forms of its columns.
        roles: The columns with a role, which nobody is asked about.
        ask: Asks a person about each such number or date; with None, only times are looked at.
    """
    missing = dict[str, tuple[str, ...]]()
    if roles.time and (cells := list_no_times(table.columns[roles.time])):
        missing[roles.time] = (*table.columns[roles.time].missing, *cells)
    if ask is None:
        return missing
    for name, column in table.columns.items():
        if not table.forms[name] or name in roles.columns:
            continue
        for text, count in find_sentinels(column):
            question = (
                f"{name} is {text} in {count:,} of {column.cells:,} cells, far from all others: which is it?"
            )
            if ask(question, _READINGS, _READINGS[0]) == _READINGS[0]:
                missing[name] = (*missing.get(name, ()), text)
    return missing


def _find_named_role(name: str, roles: Roles) -> str:
    return next((role for role in reversed(NAMED) if getattr(roles, role) == name), "")


def _make_case(table: TableProfile, named: Named, name: str) -> Case:
    """Returns the case of a column, about which the rules are asked."""
    reserved = list_reserved(named.readings)
    chosen = named.chosen.get(name, "")
    time = named.roles.time
    if time and (table.forms[time] not in TIMES or is_joined(time, table.columns)):
        time = ""  # a phone, which computes ages, does not read it
    return Case(table.columns[name], table.labels, table.forms[name], time, reserved, chosen)


def explain_column(table: TableProfile, named: Named, name: str) -> Iterator[str]:
    """Yields which rules were asked about a column, and which decided, as sentences.

    Args:
        table: The profile of the table, with the forms of its columns.
        named: Its roles, which no rule is asked about, and its chosen kinds, which decide before other rules.
        name: A column of the table.
    """
    if role := _find_named_role(name, named.roles):
        yield f"{name} is the {role}: no rule is asked."
        return
    case = _make_case(table, named, name)
    decides = judge_column(case)
    for number, rule in enumerate(RULES[: RULES.index(decides) + 1], 1):
        answer = f"yes: {rule.verdict}" if rule is decides else "no"
        yield f"{number}. {rule.name}? {answer}"
    yield f"{name} {decides.explain_with_cells(case)}."


def _make_entry(table: TableProfile, case: Case, verdict: str, why: str) -> ColumnEntry:
    """Returns how a column is read. Raises UsageError if it was chosen as a number and holds none."""
    if verdict == Role.NUMBER and not case.form:
        raise UsageError(
            f"The column {case.column.name} of {table.shown} was chosen as a number, but cannot be read as"
            " one.",
            f"It contains {case.column.unreadable}.",
            "Remove --number, or write its cells in one format.",
        )
    features = dict[str, str]()
    if verdict == Role.DATE:
        for part in case.date_parts:
            feature = f"{case.column.name}_{part}"
            while feature in table.columns:
                feature += "_"
            features[feature] = part
    missing = case.column.missing if verdict != Role.CATEGORY else ()
    return ColumnEntry(verdict, case.form, features, missing, why)


def check_week(table: TableProfile, file: TableFile) -> Described:
    """Checks that a table has the columns of a file, in forms that can be read as its own.

    Returns the columns that are left out. Raises ColumnsChanged if a column is missing, or one of numbers or
    times holds none, and DataRefused if one has several forms.
    """
    formed = {name for name, entry in file.columns.items() if entry.form and entry.role != Role.LEAVE_OUT}
    _check_forms(table, file.roles.time, formed)
    check_changes(table, file)
    entries = {name: ColumnEntry(reason=_UNREAD.format(name)) for name in table.columns} | {**file.columns}
    left_out = [
        (name, entries[name].reason) for name in table.columns if entries[name].role == Role.LEAVE_OUT
    ]
    left_out += [(name, _GONE.format(e.until)) for name, e in file.columns.items() if e.is_gone]
    return Described(file, left_out=tuple(left_out))


def add_columns(
    table: TableProfile, named: Named, described: Described, since: str, ask: Ask | None
) -> Described:
    """Returns how a week's columns are read, with those that a person adds.

    Args:
        table: The profile of the week's table, with the forms of its columns.
        named: Its `add` are the columns, and their kinds are found as at a first import.
        described: How the week's columns are read without them, by `check_week`.
        since: The name of the first span from which on all spans have them.
        ask: As in `describe_table`.

    Raises:
        UsageError: A column is read already, no model should see it, or it is to be a number and has none.
        DataRefused: A column has several forms.
    """
    file, names = described.file, named.add
    if known := [name for name in names if file.columns.get(name, ColumnEntry()).role != Role.LEAVE_OUT]:
        raise UsageError(
            f"--add {known[0]}: earlier spans have that column.",
            "It is read already.",
            "Leave out the option.",
        )
    for name in names:
        case = _make_case(table, named, name)
        rule = judge_column(case)
        if rule.verdict == Role.LEAVE_OUT:
            raise UsageError(
                f"--add {name}: it {rule.explain(case)}.",
                "No model should see such a column.",
                f"Leave out the option. With --number {name} or --category {name}, it is read all the same.",
            )

    columns = {name: table.columns[name] for name in (*named.roles.columns, *names)}
    own = describe_table(replace(table, columns=columns), named, ask)
    added = {name: replace(own.file.columns[name], since=since) for name in names}
    others = {name: entry for name, entry in file.columns.items() if name not in added}
    left_out = tuple((name, why) for name, why in described.left_out if name not in added)
    return Described(replace(file, columns={**others, **added}), own.guessed, left_out, added)


def ask_for_new(
    table: TableProfile, known: Collection[str], left_out: Collection[str], ask: Ask
) -> Mapping[str, str]:
    """Asks about columns that are new; returns the kinds of those that a model is to read.

    Args:
        table: The profile of the week's table, whose cells the question shows.
        known: Columns that nobody is asked about: of earlier spans, or added by name.
        left_out: The columns of the table that are not read.
        ask: Asks a person; the guess is to leave the column out.
    """
    answers = dict[str, str]()
    for name in left_out:
        if name and name not in known:
            answers[name] = _ask_for_kind(table.columns[name], Role.LEAVE_OUT, ask)
    return {name: answer for name, answer in answers.items() if answer != Role.LEAVE_OUT}


def check_label(table: TableProfile, label: str, earlier: Earlier, are_codes: bool) -> None:
    """Refuses a column that is not a label.

    Args:
        table: The profile of the table; it needs no forms yet.
        label: The column.
        earlier: Its labels do not count as new numbers, and a later week may have a single label.
        are_codes: Whether a person said that its numbers are codes of classes, and no measurements.

    Raises:
        UsageError: It has one value, one for nearly each row, measurements, or one that cannot be a label.
    """
    column = table.columns[label]
    shown, values = table.shown, column.values
    if earlier.is_first or not column.cells:
        why = "A model needs at least two classes."
        _check_not_constant(shown, column, why, "Name another column, or import rows of other classes too.")
    are_many = values is None or len(values.keys() - earlier.labels) > _MOST_NUMBERED_CLASSES
    if find_form(column) in NUMBERS and are_many and not are_codes:
        count = f"over {_MOST_LABELS:,}" if values is None else f"{len(values):,}"
        bands = suggest_bands(shown, column)
        raise UsageError(
            f"The column {label} of {shown} has {count} different numbers in {column.cells:,} rows.",
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
            f"The column {label} of {shown} has a label in {column.cells:,} rows, each a different one.",
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
    """Refuses a first table with too few of each class, or with one group.

    Args:
        table: The profile of the table.
        roles: Its label, and its group, which is checked if each row with a label has one.
        noun: A row in messages: `row`, `reading` or `text`.
        least: Rows per class that a run wants; only 0 makes a difference here, and skips the first check.

    Raises:
        DataRefused: Fewer than two classes have two rows.
        UsageError: All rows are of one group.
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
