"""The examples that the rows of a table become: one each, or windows of the readings of a group."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from data.importers.clocks import parse_source_cell
from data.importers.table_file import Roles
from data.importers.table_profile import TableProfile, read_labelled
from data.settings import DataSettings
from data.tables.windows import Reading, choose_block_hours, count_windows
from edgeline.errors import DataRefused
from edgeline.gates.settings import GateSettings
from edgeline.tables.files import Table


@dataclass(frozen=True)
class Examples:
    """The settings by which rows become examples, and the examples of each label."""

    settings: DataSettings
    counts: Mapping[str, int]
    warnings: tuple[str, ...] = ()


def plan_examples(
    table: Table, profile: TableProfile, roles: Roles, readings: int, is_first: bool
) -> Examples:
    """Plans the examples of a table; of `readings`, another pass finds the length of a block.

    Raises DataRefused if a run would refuse the readings of a first import.
    """
    settings = DataSettings(readings=readings, stride=max(1, readings // 4))
    if readings == 1:
        return Examples(settings, profile.labels)

    # Blocks of time with room for windows, and the windows in them.
    times = ((reading.group, reading.time) for reading in _read_readings(table, profile, roles))
    hours = choose_block_hours(times, readings)
    settings = settings.model_copy(update={"block_hours": hours})
    counts, late, first = count_windows(_read_readings(table, profile, roles), settings)
    detail = f"{first.id}: {first.detail}" if first else ""

    if is_first and late > GateSettings().max_quarantine_fraction * profile.rows:
        raise DataRefused(
            f"{late:,} of {profile.rows:,} readings of {table.shown} are not in the order of time: {detail}",
            "A run would quarantine them: an example is the last readings of a group, in the order of rows.",
            f"Sort the rows by {roles.time}, in which no two rows of a group may be the same, and name the"
            " machines with --group if there are several.",
        )
    if is_first and sum(count > 1 for count in counts.values()) < 2:
        raise DataRefused(
            f"{table.shown} has too few examples of {readings} readings: {counts.total()}, with"
            f" {len(counts)} labels.",
            f"An example is that many rows of one group within a block of {hours:,} hours; training needs two"
            " classes, each with an example to learn from and one to evaluate on.",
            "Pass a smaller number with --readings, or import it together with more rows.",
        )
    warning = f"Readings that a run will quarantine, as they are not in the order of time: {late:,}. {detail}"
    counts_of_labels = {name: counts[name] for name in profile.labels} if is_first else profile.labels
    return Examples(settings, counts_of_labels, (warning,) if late else ())


def _read_readings(table: Table, profile: TableProfile, roles: Roles) -> Iterator[Reading]:
    """Yields the rows without their numbers; those that a run quarantines for their cells are left out."""
    form = profile.forms[roles.time]
    for place, cells in read_labelled(table, roles.label, roles.columns):
        cell_of = dict(zip(roles.columns, cells, strict=True))
        with suppress(ValueError):
            seconds = parse_source_cell(cell_of[roles.time], form)
            if not roles.group or cell_of[roles.group]:
                yield Reading(place, cell_of[roles.label], cell_of.get(roles.group, ""), seconds, (), b"")
