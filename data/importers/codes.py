"""Identifiers of rows, and codes: whole numbers that measure nothing."""

import math
import re
from itertools import pairwise

from data.importers.cell_forms import find_digits
from data.importers.column_forms import MOST_SIZES
from data.importers.column_profile import ColumnProfile

# Whole numbers identify rows, and measure nothing, if there are enough rows, nearly each has another number,
# and one of these holds: the numbers fill a range like a count (random ones would repeat) or rise from row to
# row; they have the digits of a phone or an account; or all have the same number of digits and cover its
# whole range, at both ends of which no measurement stops.
_MANY_ROWS, _COUNT_LIKE, _IDENTIFIER_DIGITS, _COVERED = 20, 1.5, 7, 0.9
# Words of a column's name that mark an identifier: anywhere in it, or only at its end.
_IDENTIFIER_WORDS = re.compile(
    "id|ids|identifier|uuid|zip|zipcode|plz|postcode|postal|postleitzahl|code|sku|ean|isbn|iban|phone|telephone"
    "|telefon|tel|mobile|mobil"
)
_IDENTIFIER_ENDINGS = re.compile("no|num|number|store|branch|filiale|index|idx|key|.*nr|.*nummer")
# Names that R, pandas and people give to the names of rows.
_ROW_NAMES = re.compile(r"row[._ ]?(names?|ids?|index|num(ber)?|nr|no)|level_0|index", re.IGNORECASE)
_YEARS = range(1800, 2201)


def counts_rows(column: ColumnProfile, form: str) -> bool:
    """Returns whether the whole numbers of a column in this form count the rows, and measure nothing."""
    if not (column.is_whole() and is_nearly_unique(column)):
        return False
    low, high = column.find_bounds(form)
    return column.is_rising or high - low < _COUNT_LIKE * column.cells


def identifies_rows(column: ColumnProfile, form: str) -> bool:
    """Returns whether the whole numbers of a column in this form name the rows, and measure nothing."""
    if not (column.is_whole() and is_nearly_unique(column)):
        return False
    if is_called_identifier(column):
        return True
    low, high = column.find_bounds(form)
    (digits, count), *_ = column.whole_digits.most_common(1)
    covered = (high - low) / (10**digits - 10 ** (digits - 1)) >= _COVERED
    return count == column.cells and (digits >= _IDENTIFIER_DIGITS or (covered and digits >= 4))


def is_called_identifier(column: ColumnProfile, by_ending: bool = True) -> bool:
    """Returns whether a column of whole numbers is called like an identifier, also by its ending alone."""
    words = split_name(column.name)
    endings = words[-1:] if by_ending else []
    is_ending = any(map(_IDENTIFIER_ENDINGS.fullmatch, endings))
    return column.is_whole() and (is_ending or any(map(_IDENTIFIER_WORDS.fullmatch, words)))


def split_name(name: str) -> list[str]:
    """Returns the words of a column's name in small letters: `customerID` has `customer` and `id`."""
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())


def has_row_names(column: ColumnProfile) -> bool:
    """Returns whether a column of more than a few whole numbers is called like names of rows."""
    return bool(_ROW_NAMES.fullmatch(column.name)) and column.is_whole() and column.has_over(MOST_SIZES)


def is_nearly_unique(column: ColumnProfile) -> bool:
    """Returns whether nearly every cell of a column has a value of its own, and there are enough."""
    return column.cells >= _MANY_ROWS and column.has_unique_cells()


def guess_kind(column: ColumnProfile) -> str:
    """Guesses the kind of a column of whole numbers that may be codes; empty if they clearly are not."""
    cells = column.values or {}
    if len(cells) < 3 or column.has_unique_cells() or not column.is_whole():
        return ""

    is_sparse = False
    (digits, count), *_ = column.whole_digits.most_common(1)
    if count == column.cells and digits >= 3:
        numbers = sorted(int(find_digits(cell)) for cell in cells)
        step = math.gcd(*(high - low for low, high in pairwise(numbers)))
        places = (numbers[-1] - numbers[0]) // step + 1
        # The expected number of distinct values in as many random draws from that range.
        expected = places * -math.expm1(-column.cells / places)
        # Doses and sizes are few on purpose, but round.
        is_sparse = len(numbers) < expected / 2 and step % 5 != 0 and not {*numbers} <= {*_YEARS}

    is_named = is_called_identifier(column)
    if not is_named and not is_sparse:
        return ""
    return "category" if is_named or digits >= 4 else "number"
