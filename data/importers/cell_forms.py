"""The forms that fit a cell, and the cells of a column that the same forms fit."""

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from data.importers.clocks import HALVES, parse_source_cell
from edgeline.records.columns import DECIMALS, NUMBERS, TIMES, join_unit, normalize_number

# The beginning of a number or date in any form, and a number with a unit behind it or a currency before it.
_BEGINS = re.compile(r"[-+\u2212(=.\"]{0,6}([$€£¥]|[A-Z]{3} ?)?[-+\u2212.]{0,6}\d")
_WITH_UNIT = re.compile(
    r"[+-]?([$€£¥]|[A-Z]{3} |)\s?[+-]?\d[\d.,]*\s?([^\W\d_\u00b2-\u00be\u2070-\u215e]\S*|[%‰°$€£¥]\S*|)"
)
# Pandas writes .0 if some cells are missing. More digits than a float has are a text.
_WHOLE = re.compile(r"\+?(\d{1,300})(\.0)?", re.ASCII)


@lru_cache(maxsize=2**16)
def read_cell(cell: str, forms: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Returns the forms that fit a cell, and its value in each; dates are seconds since 1970."""
    values = dict[str, float]()
    if not _BEGINS.match(cell):
        return (), ()
    numbers = [form for form in forms if form in NUMBERS]
    times = [form for form in forms if form in (*TIMES, *HALVES) and cell[:1].isdecimal()]
    for fitting in (numbers, _list_unit_forms(cell) if numbers else [], times):
        for form in fitting:
            with suppress(ValueError):
                if math.isfinite(value := parse_source_cell(cell, form)):
                    values[form] = value
        if values:
            break
    return tuple(values), tuple(values.values())


def _list_unit_forms(cell: str) -> list[str]:
    """Returns the forms of numbers with the unit that a cell has."""
    match = _WITH_UNIT.fullmatch(normalize_number(cell))
    units = [unit.strip() for unit in match.groups() if unit] if match else []
    return [join_unit(form, units[0]) for form in DECIMALS] if len(units) == 1 else []


def find_digits(cell: str) -> str:
    """Returns the digits of a cell that is a whole number without a minus sign; else nothing."""
    match = _WHOLE.fullmatch(normalize_number(cell))
    return match[1] if match else ""


@dataclass
class AlikeCells:
    """The cells of a column that the same forms fit: the first one, and how many there are."""

    cell: str
    place: str
    count: int = 0

    @property
    def first(self) -> str:
        """The first cell with its place."""
        return f"{self.cell[:60]!r} in {self.place}"
