"""Merged cells in a workbook of OpenDocument, which python-calamine does not know: those of Excel it does."""

import os
import zipfile
from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element, iterparse

# From the first to the last row and column, counted from 0, as python-calamine has them.
Range = tuple[tuple[int, int], tuple[int, int]]

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def find_merged_cells(path: bytes) -> dict[str, list[Range]]:
    """Returns the ranges of merged cells of an .ods file by sheet; none for another kind of file.

    Raises OSError, BadZipFile or ParseError for a damaged file.
    """
    ranges = dict[str, list[Range]]()
    if not zipfile.is_zipfile(path):
        return ranges
    with zipfile.ZipFile(os.fsdecode(path)) as archive:
        if "content.xml" not in archive.namelist():
            return ranges
        with archive.open("content.xml") as content:
            for sheet, merged in _read_ranges(content):
                ranges.setdefault(sheet, []).append(merged)
    return ranges


def _read_ranges(content: IO[bytes]) -> Iterator[tuple[str, Range]]:
    """Yields the name of the sheet with each range; rows are freed as they are read."""
    name, row = "", 0
    for event, element in iterparse(content, events=("start", "end")):
        if event == "start" and element.tag == f"{_TABLE}table":
            name = element.get(f"{_TABLE}name", "")
            row = 0
        elif event == "end" and element.tag == f"{_TABLE}table-row":
            column = 0
            for cell in element:
                rows = _get_number(cell, "number-rows-spanned")
                columns = _get_number(cell, "number-columns-spanned")
                if rows * columns > 1:
                    yield name, ((row, column), (row + rows - 1, column + columns - 1))
                column += _get_number(cell, "number-columns-repeated")
            row += _get_number(element, "number-rows-repeated")
            element.clear()


def _get_number(element: Element, name: str) -> int:
    return int(element.get(f"{_TABLE}{name}", 1))
