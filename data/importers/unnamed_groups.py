"""Finds a column of machines, persons or customers with several rows each, where nobody named a group."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from data.importers.codes import split_name
from data.importers.table_profile import TableProfile
from data.importers.table_roles import Named
from data.spans.source import Rejected
from edgeline.records.columns import MISSING, NUMBERS, TIMES
from edgeline.tables.files import Table

_Codes = NDArray[np.int64]

# Rows that are looked at, the fewest things in them, and their fewest rows in the mean.
_ROWS, _LEAST_THINGS, _ROWS_A_THING = 10_000, 10, 2
# Two rows of a thing have the same label more often than any two: by so much of what is possible (Cohen's
# kappa), and by so many standard deviations. Rows of one street or one year have a kappa below it.
_AGREEMENT, _DEVIATIONS = 0.15, 5.0
# Another column, in which not nearly all rows are alike anyway, has one value for each thing.
_CONSTANT, _ALIKE_ANYWAY = 0.95, 0.98
# A column whose name has one of these words, or is the last, needs no such other column.
_THINGS = re.compile(
    "subject|subj|patient|participant|respondent|person|customer|client|user|student|pupil|employee|driver"
    "|animal|machine|device|engine|vehicle|sensor"
)
_ID = re.compile("id", re.IGNORECASE)


@dataclass(frozen=True)
class UnnamedGroup:
    """Describes a column that looks like the names of things with several rows each."""

    name: str
    label: str  # the column to learn
    alike: float  # share of pairs of rows of one thing that have the same label
    chance: float  # the share of such pairs among any two rows
    constant: str  # another column, which has one value for each thing; empty for a column that is called so

    @property
    def sign(self) -> str:
        """The rows' likeness, as a sentence."""
        constant = f", and nearly always the same {self.constant}" if self.constant else ""
        return (
            f"Two rows of one {self.name} have the same {self.label} in {self.alike:.2f} of cases"
            f" ({self.chance:.2f} by chance){constant}."
        )

    @property
    def question(self) -> str:
        """A question about it, which yes or no answers."""
        return f"{self.sign} Is each a machine, person or customer, whose rows stay together (--group)?"

    @property
    def warning(self) -> str:
        """A warning, with both ways out."""
        name = shlex.quote(self.name)
        return (
            f"{self.sign} A model that is judged on rows of what it has seen looks better than it will be on"
            f" new ones. If each is a machine, person or customer, import into a new folder with --group"
            f" {name}. If not, --number {name} or --category {name} ends this warning."
        )


def find_unnamed_group(table: Table, profile: TableProfile, named: Named) -> UnnamedGroup | None:
    """Returns the column whose rows are most alike in their labels, if any column looks like a group.

    Args:
        table: Its first 10,000 rows are looked at.
        profile: The profile of its columns, with their forms.
        named: Columns with a role, or a kind that a person chose, are none.
    """
    cells = _read_cells(table, named.roles.label)
    codes = {name: _encode(column) for name, column in cells.items()}
    groups = list[UnnamedGroup]()
    for name in cells:
        column = profile.columns[name]
        if name in (*named.roles.columns, *named.chosen) or column.has_unique_cells():
            continue
        if column.is_whole() or profile.forms[name] not in (*NUMBERS, *TIMES):
            groups += _compare_rows(name, cells[name], codes, named.roles.label)
    return max(groups, key=lambda group: (group.alike, group.name), default=None)


def _read_cells(table: Table, label: str) -> dict[str, Sequence[str]]:
    """Returns the cells of the first rows with a label, by column."""
    rows = islice(table.lists(table.header), _ROWS)
    place = table.header.index(label)
    lists = [row[1] for row in rows if not isinstance(row, Rejected) and row[1][place]]
    columns = dict(zip(table.header, zip(*lists, strict=True), strict=False))
    return {name: column for name, column in columns.items() if name}


def _encode(cells: Sequence[str]) -> _Codes:
    """Returns a number for each cell, [N]: equal cells have the same."""
    codes = dict[str, int]()
    return np.array([codes.setdefault(cell, len(codes)) for cell in cells], np.int64)


def _compare_rows(
    name: str, cells: Sequence[str], codes: Mapping[str, _Codes], label: str
) -> Iterator[UnnamedGroup]:
    """Yields a column as a group if its rows of one value are alike in the label and in another column.

    A column that is called like a group needs no other column.

    Args:
        name: The column.
        cells: Its cells, [N].
        codes: A number for each cell of each column, [N] each.
        label: The column to learn.
    """
    things = codes[name]
    is_filled = np.array([cell.lower() not in MISSING for cell in cells])
    count = len(np.unique(things[is_filled]))
    if count < _LEAST_THINGS or is_filled.sum() < _ROWS_A_THING * count:
        return

    first, second = _pair_rows(things, is_filled)
    alike, chance = _measure_likeness(codes[label], first, second)
    noise = math.sqrt(chance * (1 - chance) / len(first))
    if alike - chance < max(_AGREEMENT * (1 - chance), _DEVIATIONS * noise):
        return
    if _ID.fullmatch(name) or any(map(_THINGS.fullmatch, split_name(name))):
        yield UnnamedGroup(name, label, alike, chance, "")
        return
    for other in (other for other in codes if other not in (name, label)):
        same, by_chance = _measure_likeness(codes[other], first, second)
        is_constant = same - by_chance >= _CONSTANT * (1 - by_chance) and by_chance < _ALIKE_ANYWAY
        has_few = 2 * (codes[other].max() + 1) <= count
        if is_constant and has_few and not _is_derived(cells, codes[other]):
            yield UnnamedGroup(name, label, alike, chance, other)
            return


def _pair_rows(things: _Codes, is_filled: NDArray[np.bool_]) -> tuple[_Codes, _Codes]:
    """Returns pairs of rows with the same value, each row with another by chance: two of [pairs]."""
    # In the order of the file, neighbours would be alike for other reasons too.
    order = np.random.default_rng(0).permutation(np.flatnonzero(is_filled))
    order = order[np.argsort(things[order], kind="stable")]
    is_pair = things[order[1:]] == things[order[:-1]]
    return order[:-1][is_pair], order[1:][is_pair]


def _measure_likeness(codes: _Codes, first: _Codes, second: _Codes) -> tuple[float, float]:
    """Returns the share of pairs with the same code, and that among any two rows."""
    shares = np.bincount(codes) / len(codes)
    return float((codes[first] == codes[second]).mean()), float((shares**2).sum())


def _is_derived(cells: Sequence[str], codes: _Codes) -> bool:
    """Returns whether a column has a range of whole numbers for each of its values, as bands of ages have."""
    numbers = {cell: code for cell, code in zip(cells, codes.tolist(), strict=True) if cell.isdecimal()}
    ordered = np.array([numbers[cell] for cell in sorted(numbers, key=int)])
    return len(ordered) > 0 and int((np.diff(ordered) != 0).sum()) <= 2 * len(np.unique(ordered))
