"""The cells of a column that are plain numbers, such as 12, -3.5 and 1e-3, found and read as arrays.

Nearly all cells of a large table are such numbers. The few others are read one by one, by their forms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_PLAIN = r"^-?\d+(\.\d+)?([eE][-+]?\d+)?$"
# Arrow reads these as numbers; the other forms of numbers do not have them.
_BARE_POINT = r"^-?\.|\.$|\.[eE]"
_POINT_GROUP = r"^-?[1-9]\d{0,2}\.\d{3}$"
# A float holds each whole number of so many digits.
_MOST_DIGITS = 15


@dataclass(frozen=True)
class PlainNumbers:
    """Plain numbers of a column, in its order; all arrays have one entry for each."""

    places: NDArray[np.int64]  # among the cells
    values: NDArray[np.float64]
    has_point: NDArray[np.bool_]
    has_exponent: NDArray[np.bool_]
    is_group: NDArray[np.bool_]  # like 78.932, which may be a whole number with a point at thousands
    digits: NDArray[np.int64]  # of a whole number without a sign, such as 12 or 12.0; 0 for other numbers
    has_zero_first: NDArray[np.bool_]  # of such a number with several digits

    longest: int  # characters of a cell

    def __len__(self) -> int:
        return len(self.places)

    def list_others(self, count: int) -> list[int]:
        """Returns the places of the other cells, of so many in all."""
        is_other = np.ones(count, bool)
        is_other[self.places] = False
        others: list[int] = np.flatnonzero(is_other).tolist()
        return others


def find_plain_numbers(cells: Sequence[str]) -> PlainNumbers:
    """Returns the plain numbers among cells; whole numbers that a float may not hold are left out."""
    places = np.arange(len(cells))
    try:
        texts = pa.array(cells, pa.string())
    except UnicodeEncodeError:  # half an emoji, which JSON can hold
        texts, places = pa.array([], pa.string()), places[:0]
    try:
        values = pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        is_plain = pc.match_substring_regex(texts, _PLAIN)
        places = places[_to_numpy(is_plain)]
        texts = texts.filter(is_plain)
        values = pc.cast(texts, pa.float64()).to_numpy()

    # Infinity, NaN, bare points and long whole numbers are left to those who read cells one by one.
    lengths = pc.binary_length(texts).to_numpy().astype(np.int64)
    has_point = _to_numpy(pc.match_substring(texts, "."))
    has_exponent = _to_numpy(pc.match_substring(texts, "e", ignore_case=True))
    is_kept = np.isfinite(values) & (has_point | has_exponent | (lengths <= _MOST_DIGITS))
    if has_point.any():
        is_kept &= ~_to_numpy(pc.match_substring_regex(texts, _BARE_POINT))
    if not is_kept.all():
        texts = texts.filter(pa.array(is_kept))
        arrays = (places, values, lengths, has_point, has_exponent)
        places, values, lengths, has_point, has_exponent = (array[is_kept] for array in arrays)

    is_group = np.zeros(len(places), bool)
    is_whole = ~has_point & ~has_exponent
    digits = np.where(is_whole, lengths, 0)
    if has_point.any():
        is_group = _to_numpy(pc.match_substring_regex(texts, _POINT_GROUP))
        is_float = ~has_exponent & _to_numpy(pc.ends_with(texts, ".0"))
        digits = np.where(is_float, lengths - 2, digits)
    has_zero_first = np.zeros(len(places), bool)
    if digits.any():
        digits[np.signbit(values)] = 0
        has_zero_first = (digits > 1) & _to_numpy(pc.starts_with(texts, "0"))
    longest = int(lengths.max(initial=0))
    return PlainNumbers(places, values, has_point, has_exponent, is_group, digits, has_zero_first, longest)


def _to_numpy(mask: pa.Array) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = mask.to_numpy(zero_copy_only=False)
    return array
