"""The columns of a table that have a role: what a person names, completed by what earlier imports fixed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.importers.changed_columns import Change, ColumnsChanged
from data.importers.curated_schema import build_table_schema, build_text_schema, read_extra_columns
from data.importers.known_rows import list_columns
from data.importers.table_file import TABLE, ColumnEntry, Role, Roles, TableFile, read_table_file
from data.importers.workload_files import (
    SCHEMA,
    WORKLOAD,
    check_kind,
    read_readings,
    read_schema,
    read_workload,
)
from data.spans.layout import find_spans, find_usable_spans
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import format_count, join_names
from edgeline.records.columns import ISO, NUMBERS, Column
from edgeline.tables.files import Table, find_near

_EARLIER = f"is of an import before there was a {TABLE}"


@dataclass(frozen=True)
class Named:
    """Holds what a person says of a table that is imported; empty for what is not said."""

    roles: Roles
    readings: int = 0  # rows of a group, in the order of time, that make an example
    decimal: str = ""  # the decimal sign, `,` or `.`, where cells are ambiguous
    # The kind of columns: `number` (days since 1970 for a date), `category` or `Role.LEAVE_OUT`.
    chosen: Mapping[str, str] = field(default_factory=dict)
    query: str = ""  # as in `open_table`, like the next two
    sheet: str = ""
    encoding: str = ""
    add: tuple[str, ...] = ()  # columns that earlier spans do not have, for a model from now on
    renamed: Mapping[str, str] = field(
        default_factory=dict
    )  # the names that columns of earlier spans have now
    dropped: tuple[str, ...] = ()  # columns of earlier spans whose cells are missing from now on


@dataclass(frozen=True)
class Earlier:
    """Holds what earlier imports have fixed."""

    is_first: bool  # whether there is no span
    labels: tuple[str, ...]
    file: TableFile | None  # how the columns are read; None if nothing fixes that
    roles: Roles | None  # the columns that have a role; None if nothing fixes any


def settle_named(src: object, data_dir: Path, named: Named) -> tuple[Named, Earlier]:
    """Returns what a person named, completed by what earlier imports have fixed, and the latter.

    Args:
        src: The source, for messages.
        data_dir: The folder of spans, with the files of earlier imports.
        named: The options of this import.

    Raises:
        UsageError: What was named contradicts itself or earlier imports, or their files have mistakes.
        DataRefused: The spans are of another kind than `src`.
    """
    _check_roles(named.roles, named.readings)
    if named.roles.text:
        check_kind(data_dir, f"{src} has texts", "text")
    else:
        check_kind(data_dir, f"{src} has rows", "table", "sensor")
    _check_spans(data_dir, named.roles)
    file = read_table_file(data_dir)
    own = _find_earlier_roles(data_dir, file)
    roles = named.roles
    if own and not roles.text:
        roles = _keep_roles(data_dir, roles, own)
    readings = _keep_readings(data_dir, named.readings, file.readings if file else 0, roles.time)
    named = replace(named, roles=roles, readings=readings)

    schema, labels = read_schema(data_dir)
    if schema:
        kinds = _read_kinds(schema, named)
        if file is None:
            file = _derive_file(data_dir, named, kinds)
        elif not roles.text:
            _check_agreement(data_dir, file, kinds)
    if file:
        chosen = {name: kind for name, kind in named.chosen.items() if name not in named.add}
        _check_chosen(data_dir, file, chosen)
    return named, Earlier(not find_spans(data_dir), labels, file, own)


def _check_spans(data_dir: Path, roles: Roles) -> None:
    """Refuses a folder whose spans no import of such a table wrote. Raises DataRefused."""
    spans = find_usable_spans(data_dir)
    if not spans or any((data_dir / name).exists() for name in (WORKLOAD, SCHEMA, TABLE)):
        return
    needed = ("text", "label") if roles.text else roles.columns
    names = list_columns(data_dir)
    if "photo" in names or not {*needed} <= names:
        have = f"the columns {join_names(sorted(names), 8)}" if names else "no table"
        raise DataRefused(
            f"{data_dir} has {format_count(len(spans), 'span')} that no import wrote, as a sample has:"
            f" {spans[-1].name} has {have}.",
            "A run reads all spans of a folder in the same way.",
            "Import into a folder of its own, with --data DIR.",
        )


def read_roles(data_dir: Path) -> Roles | None:
    """Returns the columns that have a role by a folder's `TABLE`, or else by its workload.

    It is None if neither names any. Raises UsageError if one of the two cannot be read.
    """
    return _find_earlier_roles(data_dir, read_table_file(data_dir))


def _find_earlier_roles(data_dir: Path, file: TableFile | None) -> Roles | None:
    if file:
        return None if file.names_photos else file.roles
    columns = {f"{role}_column": str for role in (Role.LABEL, Role.GROUP, Role.TIME, Role.TEXT)}
    own = read_workload(data_dir, **columns)
    return Roles(*(own.get(name, "") for name in columns)) if own else None


def _check_roles(roles: Roles, readings: int) -> None:
    for option, is_given, why in (
        ("time", roles.time, "Texts are not ordered by time."),
        ("readings", readings, "An example of texts is one text."),
    ):
        if roles.text and is_given:
            raise UsageError(f"--{option} is given with --text.", why, "Remove one of them.")

    for role in (Role.TEXT, Role.GROUP, Role.TIME):
        if getattr(roles, role) == roles.label:
            raise UsageError(
                f"--label and --{role} are both {roles.label}.",
                "A model would read, or be split by, the label that it is to learn.",
                f"Name another column with --{role}.",
            )

    if roles.group and roles.group == roles.time:
        raise UsageError(
            f"--group and --time are both {roles.time}.",
            "A column is read as names, or as times.",
            "Leave out --group: rows of one block of time, such as a day, stay in one split without it.",
        )


def _keep_roles(data_dir: Path, roles: Roles, own: Roles) -> Roles:
    """Returns the roles with those of `own` for those that are not named; refuses others."""
    roles = replace(roles, group=roles.group or own.group, time=roles.time or own.time)
    for role in (Role.LABEL, Role.GROUP, Role.TIME):
        column, earlier = getattr(roles, role), getattr(own, role)
        if earlier == column or (role == Role.LABEL and not earlier):
            continue
        has = f"the column {earlier}" if earlier else "no column"
        cure = f"Pass --{role} {earlier}, rename the column," if earlier else f"Leave out --{role},"
        raise UsageError(
            f"Earlier spans of {data_dir} have {has} as {role}, not {column}.",
            f"A run reads the {role} from the same column each week.",
            f"{cure} or import into a folder of its own.",
        )
    return roles


def _keep_readings(data_dir: Path, readings: int, of_file: int, time: str) -> int:
    earlier = read_readings(data_dir) or of_file
    if readings and earlier not in (0, readings):
        raise UsageError(
            f"--readings is {readings}, and an example of earlier spans of {data_dir} has {earlier}.",
            "A model reads the same number of rows each week.",
            "Leave out --readings, or import into a folder of its own.",
        )
    if readings > 1 and not time:
        raise UsageError(
            "--readings is given without --time.",
            "Without times, the readings of an example have no order.",
            "Name the column of times with --time COLUMN.",
        )
    return readings or earlier or 1


def _read_kinds(schema: str, named: Named) -> Mapping[str, str]:
    """Returns the kind of each feature of a schema that a model reads: number or category."""
    if named.roles.text:
        return read_extra_columns(schema, build_text_schema(()))
    group, time = named.roles.group, named.roles.time
    return read_extra_columns(schema, build_table_schema((), (), (), group, time, readings=named.readings))


def _derive_file(data_dir: Path, named: Named, kinds: Mapping[str, str]) -> TableFile:
    """Returns how an import before there was a `TABLE` read its columns, by its schema and its workload."""
    columns = read_workload(data_dir, columns=dict[str, Column]).get("columns", {})
    entries = dict[str, ColumnEntry]()
    for role in (Role.TEXT, Role.LABEL, Role.GROUP, Role.TIME):
        if name := getattr(named.roles, role):
            time = columns.get(name) or Column(name, ISO)
            entries[name] = ColumnEntry(role, time.form if role == Role.TIME else "", reason=_EARLIER)
    for feature, kind in kinds.items():
        column = columns.get(feature) or Column(feature)
        if kind == Role.CATEGORY:
            entries[feature] = ColumnEntry(Role.CATEGORY, reason=_EARLIER)
        elif column.form in NUMBERS or column.name == feature:
            entries[column.name] = ColumnEntry(Role.NUMBER, column.form, reason=_EARLIER)
        else:
            features = entries[column.name].features if column.name in entries else {}
            features = {**features, feature: column.part}
            entries[column.name] = ColumnEntry(Role.DATE, column.form, features, reason=_EARLIER)
    return TableFile(entries, readings=named.readings)


def _check_agreement(data_dir: Path, file: TableFile, kinds: Mapping[str, str]) -> None:
    """Refuses a file whose features are not those of the schema beside it. Raises UsageError."""
    own = dict.fromkeys(file.numbers, Role.NUMBER) | dict.fromkeys(file.categories, Role.CATEGORY)
    others = {name for name, _ in own.items() ^ kinds.items()}
    beside = SCHEMA
    if not others and (data_dir / WORKLOAD).exists():
        columns = read_workload(data_dir, columns=dict[str, Column]).get("columns", {})
        beside = WORKLOAD
        read = {**file.times, **file.numbers}
        others = {name for name in read if columns.get(name, Column(name)) != read[name]}
        others -= {name for name in file.times if name not in columns and read[name].form == ISO}
    if others:
        raise UsageError(
            f"{data_dir / TABLE} and {data_dir / beside} differ in {', '.join(sorted(others))}.",
            "The import writes what the one says, and a run reads what the other says.",
            "Undo the change in the one, or import all weeks into a new folder with the changed one.",
        )


def _check_chosen(data_dir: Path, file: TableFile, chosen: Mapping[str, str]) -> None:
    """Refuses a chosen kind that is not the one in the file. Raises UsageError."""
    roles = {name: entry.role for name, entry in file.columns.items()}
    roles |= {name: Role.NUMBER for name, role in roles.items() if role == Role.DATE}
    others = sorted(name for name, kind in chosen.items() if kind != roles.get(name, Role.LEAVE_OUT))
    if others:
        raise UsageError(
            f"{data_dir / TABLE} fixes the kind of {', '.join(others)}.",
            "A model reads the same columns each week.",
            "Leave out the option that names another kind, or import into a folder of its own.",
        )


def find_roles(table: Table, roles: Roles, earlier: Roles | None) -> Roles:
    """Returns the roles with the group that texts of earlier spans have, if the table has that column.

    Args:
        table: The table that is imported.
        roles: Those that were named, or that earlier imports have fixed.
        earlier: Those of earlier spans; None without such.

    Raises:
        ColumnsChanged: The table lacks a column that a run reads.
    """
    own = earlier or Roles("")
    if roles.text and not roles.group and own.group in table.header:
        roles = replace(roles, group=own.group)
    for role in (Role.LABEL, Role.GROUP, Role.TIME):
        column = getattr(own, role)
        # A span has the group of a text under one name, whatever column it came from.
        is_read = not roles.text or (role == Role.GROUP and not roles.group)
        if is_read and column and column not in table.header:
            near = find_near([column], table.header)
            others = [name for name in table.header if name not in near]
            guess = near[0] if near else ""
            change = Change(column, candidates=[*near, *others], guess=guess, is_needed=True)
            raise ColumnsChanged(table.shown, [change])
    return roles
