"""The cells of a column that are plain numbers, such as 12, -3.5 and 1e-3, found and read as arrays.

Nearly all cells of a large table are such numbers. The few others are read one by one, by their forms.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

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

    def keep(self, kept: NDArray[np.bool_]) -> "PlainNumbers":
        """Returns the numbers by their places among the cells that are kept, which has all of them."""
        return replace(self, places=_find_places(kept)[self.places])

    def list_others(self, count: int) -> NDArray[np.int64]:
        """Returns the places of the other cells, of so many in all."""
        is_other = np.ones(count, bool)
        is_other[self.places] = False
        return np.flatnonzero(is_other)


@dataclass(frozen=True)
class OddCells:
    """The cells of a column that are no plain numbers, in its order."""

    cells: Sequence[str]  # each once
    numbers: NDArray[np.int64]  # of each of these cells, its place in `cells`
    places: NDArray[np.int64]  # and its place in the column

    @classmethod
    def of(cls, texts: pa.Array, places: NDArray[np.int64]) -> "OddCells":
        """Returns the cells at these places."""
        encoded = texts.take(pa.array(places)).dictionary_encode()
        return cls(
            encoded.dictionary.to_numpy(zero_copy_only=False).tolist(),
            encoded.indices.to_numpy().astype(np.int64),
            places,
        )

    def find(self, texts: Collection[str]) -> NDArray[np.bool_]:
        """Returns which of the cells are among these texts, in lower case."""
        is_among = np.array([cell.lower() in texts for cell in self.cells], bool)
        return is_among[self.numbers]

    def keep(self, kept: NDArray[np.bool_]) -> "OddCells":
        """Returns the cells that are kept, by their places among these."""
        is_kept = kept[self.places]
        return OddCells(self.cells, self.numbers[is_kept], _find_places(kept)[self.places[is_kept]])

    def list_pairs(self, codes: NDArray[np.int64]) -> Iterator[tuple[str, int, int, int]]:
        """Yields each cell with each code that its rows have: the two, the first place, and the count."""
        most = int(codes.max(initial=0)) + 1
        keys, first, counts = np.unique(
            self.numbers * most + codes[self.places], return_index=True, return_counts=True
        )
        order = np.argsort(first)
        for key, place, count in zip(
            keys[order].tolist(), self.places[first[order]].tolist(), counts[order].tolist(), strict=True
        ):
            yield self.cells[key // most], key % most, place, count


def _find_places(kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns for each cell that is kept its place among those."""
    places: NDArray[np.int64] = np.cumsum(kept) - 1
    return places


def find_plain_numbers(texts: pa.Array) -> PlainNumbers:
    """Returns the plain numbers among cells; whole numbers that a float may not hold are left out."""
    places = np.arange(len(texts))
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
    return PlainNumbers(places, values, has_point, has_exponent, is_group, digits, has_zero_first)


def _to_numpy(mask: pa.Array) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = mask.to_numpy(zero_copy_only=False)
    return array
