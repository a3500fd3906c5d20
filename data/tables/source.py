"""A table as a source: an example is a row of CSV or, for sensors, the last N readings of a machine.

A span holds one or more `*.csv` files, read in the order of their names, with the columns that the workload
names: numbers, categories, label, and optionally a group and a time; other columns are passed over, and one
that was added later may be missing. Or it holds `*.tfrecord` files, whose examples
have `sensor_reading`, the label, and texts named like the columns.

The columns decide which examples stay in one split:

- With `data.readings` above 1, an example is a window of readings of one machine (the group), and the blocks
  of `data.block_hours` of a machine are the groups of the split. A window never crosses the end of a block,
  so no reading is in two splits. Two blocks of one machine may be: the model is to know the machines.
- Otherwise rows of one group stay together, or without a group rows of one block of time.
- A table with neither has independent rows. Equal rows are in the same split, and none is dropped as a copy:
  in a table of few columns two cases may well be equal.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from data.settings import DataSettings
from data.spans.layout import Span, find_files
from data.spans.rule_counts import RuleChecker, RuleCounts
from data.spans.source import Example, Rejected, Row, Source, Value
from data.tables.windows import Reading, make_windows
from edgeline.errors import DataRefused, UsageError
from edgeline.records.columns import THOUSANDS, CellError, Column, format_time
from edgeline.records.edge import Content
from edgeline.records.examples import read_examples
from edgeline.records.features import format_value, list_values
from edgeline.records.rejection import RowRejected, check_label
from edgeline.records.workload import Workload
from edgeline.store.locations import Location
from edgeline.tables.rows import Cells, check_once, read_header, read_rows

_SUFFIXES, _READINGS = (".csv", ".tfrecord", ".tfrecord.gz"), "sensor_reading"
_MOST_RECORD_BYTES = 2**20
_TEXT = 300

Pack = Callable[[Mapping[str, str]], bytes]  # converts a reading's cells to `Reading.numbers`


def open_source(workload: Workload, settings: DataSettings) -> "TableSource":
    """Returns the source of a workload's tables. Raises UsageError for windows of rows without a time."""
    if settings.readings > 1 and not workload.time_column:
        raise UsageError(
            f"data.readings is {settings.readings}, but the workload {workload.name} has no time_column.",
            "Without times, the readings of a window have no order.",
            "Name the column in the workload, or set data.readings to 1.",
        )
    return TableSource(workload, settings)


def check(span: Span, workload: Workload) -> None:
    """Checks the headers of a span's files. Raises DataRefused unless they have the workload's columns."""
    columns = list_columns(workload)
    for path in find_files(span, *_SUFFIXES):
        if next(_read_file(span, path, columns, workload), None) is None and _is_csv(path):
            raise DataRefused(
                f"{path} has a header but no rows.",
                "There is nothing in it to learn from.",
                "Remove the file, or write it again.",
                (span.name,),
            )


def count(span: Span) -> int:
    """Counts the rows of a span's files. Raises DataRefused if one cannot be read to its end."""
    rows = 0
    for path in find_files(span, *_SUFFIXES):
        if _is_csv(path):
            rows += sum(1 for _ in read_rows(path, (), (span.name,)))
        else:
            rows += sum(1 for _ in read_examples(path, _MOST_RECORD_BYTES, (span.name,)))
    return rows


def list_columns(workload: Workload) -> list[str]:
    """Returns the columns of a workload's tables."""
    numbers = [workload.column(name) for name in workload.numbers]
    used = [name for column in numbers for name in (column.name, column.until)]
    names = (workload.time_column, workload.group_column, *workload.categories, *used, workload.label_column)
    return [name for name in dict.fromkeys(names) if name]


def _is_csv(path: Location) -> bool:
    return path.name.lower().endswith(".csv")


def _read_file(
    span: Span, path: Location, columns: list[str], workload: Workload
) -> Iterator[Cells | Rejected]:
    """Checks the header of a file, and returns its rows. Raises as `check` does."""
    spans = (span.name,)
    if not _is_csv(path):
        formed = [
            name
            for name in workload.numbers
            if workload.column(name) not in (Column(name), Column(name, THOUSANDS))
        ]
        if formed:
            raise DataRefused(
                f"{path} has numbers for {', '.join(map(repr, formed))}.",
                "The workload reads these from cells of another form, such as dates or decimal commas.",
                "Write the span as CSV, with the columns of the first import.",
                spans,
            )
        return _read_records(span, path, columns, workload.numbers)

    header = read_header(path, spans)
    check_once(path, header, header, spans)

    # A column that was added later may be there all the same.
    empty = dict.fromkeys(set(workload.list_added(span.number)) - {*header}, "")
    missing = [name for name in columns if name not in header and name not in empty]
    if missing:
        faults = [f"lacks {', '.join(map(repr, missing))}"]
        if unknown := [name for name in header if name not in columns]:
            faults.append(f"has {', '.join(map(repr, unknown))}, which the workload does not have")
        other = next((c for c in ";\t|" if len(header) == 1 and c in header[0]), "")
        why = f"Its cells are separated by {other!r}." if other else "Spans have the workload's columns."
        expected = f"Write a header with these columns, in any order: {','.join(columns)}."
        raise DataRefused(f"{path} {' and '.join(faults)}.", why, expected, spans)
    return _fill_in(read_rows(path, columns, spans), empty) if empty else read_rows(path, columns, spans)


def _fill_in(rows: Iterable[Cells | Rejected], empty: Mapping[str, str]) -> Iterator[Cells | Rejected]:
    """Yields rows with the cells of columns that their file lacks."""
    for row in rows:
        yield row if isinstance(row, Rejected) else (row[0], {**empty, **row[1]})


def _read_records(
    span: Span, path: Location, columns: Sequence[str], numbers: Sequence[str]
) -> Iterator[Cells | Rejected]:
    """Yields the records' cells as a CSV file would have them, so that the same checks hold for both.

    The numbers come from the float list `sensor_reading`, in the order of `numbers`; texts from the features
    named like the columns, empty if one is absent.
    """
    for number, features in read_examples(path, _MOST_RECORD_BYTES, (span.name,)):
        place = f"{path.name}:{number}"
        values = features[_READINGS].float_list.value
        if len(values) != len(numbers):
            detail = f"{_READINGS} has {len(values)} numbers, but the workload has {len(numbers)}."
            yield Rejected(place, "ragged", detail)
            continue
        cells = {name: repr(value) for name, value in zip(numbers, values, strict=True)}
        try:
            for name in columns:
                if name not in cells:
                    value = next(iter(list_values(features[name])), "")
                    cells[name] = value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            yield Rejected(place, "ragged", f"{name} is not UTF-8.")
        else:
            yield place, cells


class TableSource(Source):
    """A source of tables. See `Source`."""

    spread = False

    def __init__(self, workload: Workload, settings: DataSettings) -> None:
        self._workload, self._settings = workload, settings
        self._format = f"<{len(workload.numbers)}f"
        self._columns = {name: workload.column(name) for name in (workload.time_column, *workload.numbers)}
        used = [self._columns[name] for name in workload.numbers]
        names = chain.from_iterable((column.name, column.until) for column in used)
        # Names of the cells that a model reads.
        self._names = list(dict.fromkeys((*filter(None, names), *workload.categories)))

    def rows(self, span: Span) -> Iterator[Row | Rejected | RuleCounts]:
        """Yields the rows, or windows of them, in the order of the files, in constant memory."""
        return map(self._make_row, self._read_windows(span, self._pack_numbers))

    def originals(self, span: Span, ids: Collection[str]) -> Iterator[tuple[str, bytes | Content]]:
        """Yields the cells that the model reads, by column; a window has lists of cells, oldest first."""
        for reading in self._read_windows(span, self._pack_texts):
            if isinstance(reading, Reading) and reading.id in ids:
                texts = zip(*map(msgspec.json.decode, reading.numbers.splitlines()), strict=True)
                cells = dict(zip(self._names, texts, strict=True))
                is_window = self._settings.readings > 1
                yield reading.id, cells if is_window else {name: cell for name, (cell,) in cells.items()}

    def _read_windows(self, span: Span, pack: Pack) -> Iterator[Reading | Rejected | RuleCounts]:
        """Returns windows of the readings, or with one reading a window the readings themselves."""
        readings = self._read_readings(span, pack)
        if self._settings.readings == 1:
            return readings
        return make_windows(readings, self._settings, self._workload.normal)

    def example(self, span: Span, row: Row) -> Example:
        """Lists of numbers, NaN where one is missing, and the texts of the newest reading.

        `missing_share` is the share of the numbers that are missing, but for those of columns that were added
        later, and `stuck_share` that of the columns which are the same number in all readings: what a rule
        about data has to see, and the model does not.
        """
        content: Reading = row.content
        workload, readings = self._workload, self._settings.readings
        numbers = np.frombuffer(content.numbers, "<f4").reshape(readings, -1)
        features: dict[str, Value] = {
            name: column.tolist() for name, column in zip(workload.numbers, numbers.T, strict=True)
        }
        features |= dict(zip(workload.categories, content.categories, strict=True))
        later = workload.list_added(span.number)
        is_expected = [workload.column(name).name not in later for name in workload.numbers]
        expected = numbers[:, is_expected]
        features["missing_share"] = float(np.isnan(expected).mean()) if expected.size else 0.0
        if readings > 1:
            is_stuck = (numbers == numbers[0]).all(axis=0)
            features["stuck_share"] = float(is_stuck.sum() / max(1, numbers.shape[1]))
        if workload.group_column:
            features[workload.group_column] = content.group
        key = [content.group, *content.categories]
        if workload.time_column:
            features[workload.time_column] = format_time(content.time)
            key.append(repr(content.time))
        else:
            key.append(f"{span.name}/{row.id}")
        return Example(features, _digest_row(key, content.numbers))

    def show(self, features: Mapping[str, Any]) -> bytes | str:
        """Returns the newest reading as text, with the range of its window in brackets."""
        workload = self._workload
        names = dict.fromkeys((workload.group_column, workload.time_column, *workload.categories))
        parts = [format_value(next(iter(features[name]), "")) for name in names if name and name in features]
        for name in workload.numbers:
            values = [value for value in features.get(name, ()) if not math.isnan(value)]
            newest = f"{features[name][-1]:.6g}" if name in features else "nan"
            around = f" ({min(values):.6g} to {max(values):.6g})" if len(values) > 1 else ""
            parts.append(f"{name} {newest.replace('nan', 'missing')}{around}")
        return ", ".join(parts)[:_TEXT]

    def _pack_numbers(self, cells: Mapping[str, str]) -> bytes:
        return struct.pack(
            self._format, *(self._columns[name].number(cells) for name in self._workload.numbers)
        )

    def _pack_texts(self, cells: Mapping[str, str]) -> bytes:
        if self._settings.readings > 1:
            self._pack_numbers(cells)  # refuses the same readings as for windows of numbers
        return msgspec.json.encode([cells[name] for name in self._names]) + b"\n"

    def _read_readings(self, span: Span, pack: Pack) -> Iterator[Reading | Rejected | RuleCounts]:
        columns = list_columns(self._workload)
        checker = RuleChecker(self._workload)
        for path in find_files(span, *_SUFFIXES):
            for item in _read_file(span, path, columns, self._workload):
                if isinstance(item, Rejected):
                    yield item
                    continue
                id, cells = item
                try:
                    reading = self._make_reading(id, cells, pack)
                    checker.check(id, cells)
                    yield reading
                except RowRejected as error:
                    yield Rejected(id, error.reason, error.detail, ",".join(cells.values())[:_TEXT])
                except CellError as error:
                    reason = "unreadable-time" if error.is_time else "not-a-number"
                    yield Rejected(id, reason, error.found, ",".join(cells.values())[:_TEXT])
        if self._workload.rules:
            yield checker.summarize()

    def _make_reading(self, id: str, cells: Mapping[str, str], pack: Pack) -> Reading:
        workload = self._workload
        label = cells[workload.label_column].strip()
        if not label:
            raise RowRejected("unlabelled", f"The cell {workload.label_column} is empty.")
        check_label(label, workload.labels, "The row")
        group, time = "", 0.0
        if workload.group_column:
            group = cells[workload.group_column].strip()
            if not group:
                raise RowRejected("no-group", f"The cell {workload.group_column} is empty.")
        if workload.time_column:
            time = self._columns[workload.time_column].seconds(cells)
        categories = tuple(cells[name].strip() for name in workload.categories)
        return Reading(id, label, group, time, categories, pack(cells))

    def _make_row(self, reading: Reading | Rejected | RuleCounts) -> Row | Rejected | RuleCounts:
        if not isinstance(reading, Reading):
            return reading
        group, seconds = reading.group, self._settings.block_hours * 3600
        if self._settings.readings > 1:
            group = f"{group}/{format_time(reading.time // seconds * seconds)}"
        elif not group and self._workload.time_column:
            group = format_time(reading.time // seconds * seconds)
        elif not group:
            group = _digest_row(reading.categories, reading.numbers)[:16]
        return Row(reading.id, reading.label, group, reading)


def _digest_row(texts: Sequence[str], numbers: bytes) -> str:
    return hashlib.sha256("\0".join(texts).encode() + b"\0" + numbers).hexdigest()
