"""The columns of a table that have a role, and all that earlier imports into a folder have fixed of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.importers.curated_schema import build_table_schema, build_text_schema, read_extra_columns
from data.importers.workload_files import check_kind, read_readings, read_roles, read_schema, read_workload
from data.spans.layout import find_spans
from edgeline.errors import UsageError
from edgeline.records.columns import ISO, NUMBER, Column
from edgeline.tables.files import Table


@dataclass(frozen=True)
class Roles:
    """The columns with a role by name; empty for none."""

    label: str
    group: str = ""
    time: str = ""
    text: str = ""  # if there is one, a model learns from nothing else

    @property
    def columns(self) -> Sequence[str]:
        """Returns the names of these columns, each once."""
        return list(dict.fromkeys(filter(None, (self.text, self.label, self.group, self.time))))


def settle_roles(src: object, data_dir: Path, roles: Roles, readings: int) -> tuple[Roles, int]:
    """Returns the roles, and the number of rows of an example, with those of earlier spans.

    Raises UsageError if they contradict each other, or earlier spans, and DataRefused if these are of another
    kind than `src`.
    """
    _check_roles(roles, readings)
    if roles.text:
        check_kind(data_dir, f"{src} has texts", "text")
    else:
        check_kind(data_dir, f"{src} has rows", "table", "sensor")
        roles = _keep_roles(data_dir, roles)
    return roles, _keep_readings(data_dir, readings, roles.time)


def _check_roles(roles: Roles, readings: int) -> None:
    if roles.text and roles.time:
        raise UsageError(
            "--time is given with --text.", "Texts are not ordered by time.", "Remove one of them."
        )
    if roles.text and readings:
        raise UsageError(
            "--readings is given with --text.", "An example of texts is one text.", "Remove one of them."
        )

    for role in ("text", "group", "time"):
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


def _keep_roles(data_dir: Path, roles: Roles) -> Roles:
    own = read_roles(data_dir)
    roles = replace(roles, group=roles.group or own.get("group", ""), time=roles.time or own.get("time", ""))
    for role in ("label", "group", "time"):
        column = getattr(roles, role)
        earlier = own.get(role, column)
        if earlier == column or (role == "label" and not earlier):
            continue
        has = f"the column {earlier}" if earlier else "no column"
        cure = f"Pass --{role} {earlier}, rename the column," if earlier else f"Leave out --{role},"
        raise UsageError(
            f"Earlier spans of {data_dir} have {has} as {role}, not {column}.",
            f"A run reads the {role} from the same column each week.",
            f"{cure} or import into a folder of its own.",
        )
    return roles


def _keep_readings(data_dir: Path, readings: int, time: str) -> int:
    earlier = read_readings(data_dir)
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


def find_roles(data_dir: Path, table: Table, roles: Roles) -> Roles:
    """Returns the roles with the group that texts of earlier spans have, if the table has that column.

    Raises UsageError if the table lacks a column that a run reads.
    """
    own = read_roles(data_dir)
    if roles.text and not roles.group and own.get("group") in table.header:
        roles = replace(roles, group=own["group"])
    for role, column in own.items():
        # A span has the group of a text under one name, whatever column it came from.
        is_read = not roles.text or (role == "group" and not roles.group)
        if is_read and column and column not in table.header:
            raise UsageError(
                f"{table.shown} has no column {column}, the {role} of earlier spans.",
                f"A run reads the {role} from the same column each week.",
                "Add or rename it, or import into a folder of its own.",
            )
    return roles


@dataclass(frozen=True)
class Earlier:
    """The labels and columns of earlier imports."""

    is_first: bool  # whether there is no span
    labels: tuple[str, ...]
    kinds: Mapping[str, str] | None  # `number` or `category` by feature; None if there is no schema
    columns: Mapping[str, Column]  # by feature: those that are more than a number in the column of its name

    def list_forms(self, time: str) -> dict[str, str]:
        """Returns the form that each column of numbers or times has in earlier spans."""
        if self.kinds is None:
            return {}
        forms = {name: NUMBER for name, kind in self.kinds.items() if kind == "number"}
        return forms | {time: ISO} | {column.name: column.form for column in self.columns.values()}


def read_earlier(data_dir: Path, roles: Roles, readings: int) -> Earlier:
    """Reads what earlier imports have fixed. Raises UsageError if their schema is of another kind of data."""
    schema, labels = read_schema(data_dir)
    is_first = not find_spans(data_dir)
    if not schema:
        return Earlier(is_first, labels, None, {})
    if roles.text:
        base = build_text_schema(())
    else:
        base = build_table_schema((), (), (), roles.group, roles.time, readings=readings)
    kinds = read_extra_columns(schema, base)
    columns = read_workload(data_dir, columns=dict[str, Column]).get("columns", {})
    return Earlier(is_first, labels, kinds, columns)
