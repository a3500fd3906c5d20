"""Guesses about a table: the column to learn, and whether its texts are what predicts it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from data.spans.source import Rejected
from edgeline.tables.files import open_table
from edgeline.tables.unpacking import PHOTO_SUFFIXES

_ROWS = 2_000
_MOST_CLASSES, _LONGEST_LABEL = 20, 60
# A column with at least this many words a cell, on average, is a column of texts.
_WORDS = 5
# A table with more other columns than this, beside the texts and the label, is not one of texts.
_FEW_OTHERS = 2
_LABELS = (
    *("label", "class", "target", "y", "outcome", "category", "species", "churn", "churned", "sentiment"),
    *("diagnosis", "fault", "fraud", "default", "survived", "result", "response", "status", "stars"),
    "rating",
)


@dataclass(frozen=True)
class Guess:
    """A guess at the roles of a table's columns."""

    shown: str
    header: Sequence[str]
    label: str  # empty if no column looks like one, and so is `text`
    text: str
    texts_alone: bool  # whether there is little else than `text` to predict the label
    lists_photos: bool  # whether it is the manifest of photos


def guess_columns(
    src: str, query: str, sheet: str, labels: Collection[str] = (), encoding: str = ""
) -> Guess:
    """Guesses the roles of a table's columns from its first rows. Raises as `open_table` does.

    Args:
        src: As in `open_table`, like `query`, `sheet` and `encoding`.
        query: Empty for a file.
        sheet: Empty for the one that `open_table` takes.
        labels: Those of the schema; the column with the most of them is the label. Empty at a first import.
        encoding: Empty to find it by the bytes.
    """
    # The cells of the first rows that are not empty, by column.
    with TemporaryDirectory() as scratch:
        table = open_table(src, Path(scratch), (), query, sheet, encoding)
        items = islice(table.rows(table.header, any_json=True), _ROWS)
        rows = [row[1] for row in items if not isinstance(row, Rejected)]
    columns = {name: [cells[name] for cells in rows if cells[name]] for name in table.header if name}
    # Lists and objects of JSON lines are neither labels nor texts.
    for name, cells in list(columns.items()):
        if 2 * sum(cell[0] in "[{" for cell in cells) > len(cells):
            del columns[name]
    # The links of a shop's table to its photos are no manifest.
    photos = any(2 * sum(map(_is_photo, cells)) > len(rows) for cells in columns.values())

    # The columns of texts, and of labels.
    several = [name for name, cells in columns.items() if 2 * len(set(cells)) > len(rows)]
    words = {name: sum(map(len, map(str.split, columns[name]))) / len(columns[name]) for name in several}
    text = max(words, key=lambda name: words[name], default="")
    few = [name for name, cells in columns.items() if name not in several and len(set(cells)) > 1]
    return Guess(
        table.shown,
        table.header,
        _find_label(columns, few, labels),
        text if words.get(text, 0) >= _WORDS else "",
        texts_alone=len(few) - 1 <= _FEW_OTHERS,
        lists_photos=photos,
    )


def _is_photo(cell: str) -> bool:
    return cell.lower().endswith(tuple(PHOTO_SUFFIXES)) and "://" not in cell


def _find_label(columns: Mapping[str, Sequence[str]], few: Collection[str], labels: Collection[str]) -> str:
    """Returns the column to learn, empty for none, by the `labels` of earlier tables, then names, then place.

    The columns `few` have few values each.
    """
    classes = [
        name
        for name in few
        if len(set(columns[name])) <= _MOST_CLASSES and max(map(len, columns[name])) <= _LONGEST_LABEL
    ]
    counts = {name: sum(cell in labels for cell in columns[name]) for name in classes}
    earlier = [name for name, count in counts.items() if count and count == max(counts.values())]
    if earlier:
        return earlier[0]
    # A column called like a label is refused if it has many numbers, with the way out.
    numbers = [name for name, cells in columns.items() if name not in classes and _are_numbers(cells)]
    likely = [*_list_likely(classes), *_list_likely(numbers), *classes[-1:]]
    return likely[0] if likely else ""


def _list_likely(names: Sequence[str]) -> list[str]:
    """Returns the columns that are called like a label, the likeliest first."""
    likely = [name for name in names if name.lower() in _LABELS]
    return sorted(likely, key=lambda name: _LABELS.index(name.lower()))


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        return [*map(float, cells)] != []
    except ValueError:
        return False
