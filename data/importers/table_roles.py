"""The columns of a table that have a role: the label, the group, the time and the text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.importers.workload_files import read_readings, read_roles
from edgeline.errors import UsageError
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


def check_roles(roles: Roles, readings: int) -> None:
    """Refuses roles that contradict each other, or the number of readings. Raises UsageError."""
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


def keep_roles(data_dir: Path, roles: Roles) -> Roles:
    """Returns the roles with those of earlier spans. Raises UsageError if these have another column."""
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


def keep_readings(data_dir: Path, readings: int, time: str) -> int:
    """Returns the number of rows of an example: that of earlier spans. Raises UsageError on another one."""
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
