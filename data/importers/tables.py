"""Import of anyone's table as one new span, with the workload that trains on it.

Read twice, chunk by chunk: once to learn what each column is, once to write it. What no model should see is
left out and named: columns that are one value, that tell rows apart, that give the label away, or that are
text of many words.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data.importers.curated_schema import table_schema
from data.importers.workload_files import SCHEMA, WORKLOAD, slug
from data.spans.layout import Span, add_span, write_whole
from data.tables.times import parse_time
from errors import DataRefused, UsageError
from labels import fault_of

_CHUNK = 50_000
_MISSING = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None", "?")
# Of the cells that are there: a few typing errors are quarantined later, and do not make a column a text.
_MOSTLY = 0.99
_MOST_LABELS, _MOST_CATEGORIES = 1_000, 1_000
# A value that many rows share and that always comes with one label, in every column value: no coincidence.
_ROWS_A_VALUE = 5
_DAY_S = 86_400
_TEMPLATE = """\
# The table beside this file as a workload:
#   python runners/local_runner.py --workload FOLDER/workload.yaml --data FOLDER
name: {name}
kind: table
schema: {schema}
label_column: {label}
group_column: {group}
time_column: {time}
settings:
  data:
    window: 8
  model:
    buckets: 16
    hidden: 96
  evaluation:
    # What is good enough depends on the table: add `lower` bounds once you know. Until then a model has to
    # beat always saying the most frequent label, and must not fall behind the one in production.
    beat_majority: true
    bounds:
      - {{slice: overall, metric: accuracy, max_drop: 0.02, min_support: 50}}
      - {{slice: class, metric: recall, max_drop: 0.1, min_support: 50}}
  edge:
    variants: [fp32, int8]
"""


@dataclass
class Column:
    """What was seen of a column: how many cells hold something, a number, a time, and with which labels."""

    name: str
    there: int = 0
    numbers: int = 0
    times: int = 0
    values: dict[str, Counter[str]] | None = field(default_factory=dict)
    longest: int = 0

    def add(self, cells: Sequence[str], labels: Sequence[str]) -> None:
        """One chunk."""
        for cell, label in zip(cells, labels, strict=True):
            if cell in _MISSING:
                continue
            self.there += 1
            self.numbers += _is_number(cell)
            self.times += _is_time(cell)
            self.longest = max(self.longest, len(cell))
            if self.values is not None:
                self.values.setdefault(cell, Counter())[label] += 1
                if len(self.values) > _MOST_CATEGORIES:
                    self.values = None

    def kind(self, rows: int) -> str:
        """`number`, `time`, `category`, or why it is left out."""
        if self.there == 0 or (self.values is not None and len(self.values) == 1):
            return "has one value"
        if self.values is not None and self._gives_label_away():
            return "gives the label away"
        if self.times >= _MOSTLY * self.there:
            return "time"
        if self.numbers >= _MOSTLY * self.there:
            return "number"
        if self.values is None or len(self.values) > rows / 2:
            return "is different in nearly every row" if self.longest <= 40 else "is text of many words"
        return "category"

    def _gives_label_away(self) -> bool:
        assert self.values is not None
        labels = {label for counted in self.values.values() for label in counted}
        pure = all(len(counted) == 1 for counted in self.values.values())
        return pure and len(labels) > 1 and self.there >= _ROWS_A_VALUE * len(self.values)


@dataclass(frozen=True)
class TableReport:
    """What an import of a table did."""

    source: Path
    span: Span
    rows: int
    labels: tuple[str, ...]
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]

    def sentences(self) -> list[str]:
        """For people, a sentence a line."""
        shown = ", ".join(self.labels[:8]) + (", ..." if len(self.labels) > 8 else "")
        counted = f"{self.rows} rows of {self.source}, with {len(self.labels)} labels"
        lines = [f"{self.span.path} holds {counted}: {shown}."]
        for what, names in (("Numbers", self.numbers), ("Categories", self.categories)):
            if names:
                lines.append(f"{what}: {', '.join(names)}.")
        lines += [f"Left out: {name}, which {why}." for name, why in self.left_out]
        return lines


def import_table(src: Path, data_dir: Path, label: str, group: str = "", time: str = "") -> TableReport:
    """Imports a CSV or Parquet file as one new span: all or nothing.

    Args:
        src: The file; a CSV has a header and is UTF-8.
        data_dir: The folder of spans; made when missing. A table beside the schema of an earlier import has
            to have its columns.
        label: The column to learn.
        group: A column whose values are never in two splits, such as the customer; empty where there is none.
        time: A column of ISO 8601 times; empty where there is none.

    Raises:
        UsageError: The file or a column is not there, or the label is one value, or different in each row.
        DataRefused: The file cannot be read.
    """
    columns, rows = _profile(src, label, (group, time))
    counted = columns[label].values or {}
    _check_label(src, label, columns[label], rows)
    given = {label, group, time}
    kinds = {name: column.kind(rows) for name, column in columns.items() if name not in given}
    numbers = tuple(name for name, kind in kinds.items() if kind in ("number", "time"))
    categories = tuple(name for name, kind in kinds.items() if kind == "category")
    if not numbers and not categories:
        raise DataRefused(
            f"{src} has no column beside {label} that a model could learn from.",
            "; ".join(f"{name} {kind}" for name, kind in kinds.items()) or "It has no other column.",
            "Give a table with numbers or categories.",
        )
    labels = tuple(sorted(counted))
    times = {name for name, kind in kinds.items() if kind == "time"}
    kept = [name for name in (time, group, *numbers, *categories, label) if name]

    def fill(folder: Path) -> None:
        with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(kept)
            for chunk in _chunks(src):
                for name in times:
                    chunk[name] = [_days(cell) for cell in chunk[name]]
                writer.writerows(chunk[kept].itertuples(index=False, name=None))

    schema = data_dir / SCHEMA
    text = table_schema(labels, numbers, categories, group, time)
    if schema.exists() and schema.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{data_dir} has a schema already, and {src} is another table by columns or labels.",
            "A model reads one kind of table.",
            "Import it into a folder of its own.",
        )
    span = add_span(data_dir, fill)
    write_whole(schema, text.encode())
    if not (data_dir / WORKLOAD).exists():
        names = {"label": label, "group": group, "time": time}
        quoted = {key: json.dumps(name) for key, name in names.items()}
        name = json.dumps(slug(data_dir.resolve().name))
        write_whole(data_dir / WORKLOAD, _TEMPLATE.format(name=name, schema=SCHEMA, **quoted).encode())
    left_out = tuple((n, kind) for n, kind in kinds.items() if n not in (*numbers, *categories))
    return TableReport(src, span, rows, labels, numbers, categories, left_out)


def _chunks(src: Path) -> Iterator[pd.DataFrame]:
    """The table as texts, chunk by chunk."""
    try:
        if src.suffix == ".parquet":
            import pyarrow.parquet

            for batch in pyarrow.parquet.ParquetFile(src).iter_batches(_CHUNK):
                yield (
                    batch.to_pandas().map(_as_text)
                    if hasattr(pd.DataFrame, "map")
                    else (batch.to_pandas().applymap(_as_text))
                )
            return
        yield from pd.read_csv(
            src,
            dtype=str,
            keep_default_na=False,
            chunksize=_CHUNK,
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except FileNotFoundError:
        raise UsageError(f"{src} does not exist.", "There is nothing to import.", "Name the file.") from None
    except UnicodeDecodeError as error:
        raise DataRefused(
            f"{src} is not UTF-8 (byte {error.start}).", "Cells would be misread.", "Save it as UTF-8."
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, ValueError) as error:
        raise DataRefused(
            f"{src} cannot be read: {error}", "Its cells cannot be told apart.", "Fix it."
        ) from None


def _as_text(value: object) -> str:
    """A cell of a typed table; whole numbers of a column that lacks some come as floats."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NaT:
        return ""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _profile(src: Path, label: str, others: Sequence[str]) -> tuple[dict[str, Column], int]:
    columns: dict[str, Column] = {}
    rows = 0
    for chunk in _chunks(src):
        names = list(chunk.columns)
        if missing := [name for name in (label, *others) if name and name not in names]:
            raise UsageError(
                f"{src} has no column {', '.join(missing)}.",
                f"It has: {', '.join(names)}.",
                "Name one of these.",
            )
        rows += len(chunk)
        for name in names:
            columns.setdefault(name, Column(name)).add(chunk[name].tolist(), chunk[label].tolist())
    if rows == 0:
        raise DataRefused(f"{src} has no row.", "There is nothing to learn from.", "Give a table with rows.")
    return columns, rows


def _check_label(src: Path, label: str, column: Column, rows: int) -> None:
    values = column.values
    if values is None or len(values) > _MOST_LABELS or len(values) == column.there:
        raise UsageError(
            f"The column {label} of {src} has a label for nearly each of its {rows} rows.",
            "A class needs many rows to be learned from.",
            "Name a column with few values, or put its values into classes.",
        )
    if len(values) < 2:
        raise UsageError(
            f"The column {label} of {src} is {next(iter(values), 'empty')!r} in every row.",
            "There is nothing to tell apart.",
            "Name another column, or import rows of the other classes too.",
        )
    if faults := [f"{value!a}: {fault}" for value in values if (fault := fault_of(value))]:
        raise UsageError(
            f"The column {label} of {src} has labels that cannot be used: {'; '.join(faults[:3])}.",
            "Phones read labels as the lines of a file.",
            "Correct them in the table.",
        )


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _is_time(cell: str) -> bool:
    if len(cell) < 10 or cell[4] != "-":
        return False
    try:
        parse_time(cell)
    except ValueError:
        return False
    return True


def _days(cell: str) -> str:
    """A time as days since 1970, which a model can read as a number."""
    return f"{parse_time(cell) / _DAY_S:.6g}" if _is_time(cell) else ""
