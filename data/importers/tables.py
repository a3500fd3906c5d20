"""Import of anyone's table or texts as one new span, with the workload that trains on it.

Read twice, row by row: once to learn what each column is, once to write it. What no model should see is left
out and named: columns that are one value, that tell rows apart, that give the label away, or that are text of
many words.
"""

import csv
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from data.importers.classes import check_classes, warn_of_few
from data.importers.column_kinds import (
    Seen,
    check_forms,
    check_label_column,
    check_several,
    find_kinds,
    kinds_again,
)
from data.importers.columns import MOSTLY, NUMBER, TIMES, Column, readings
from data.importers.curated_schema import columns_beside, read_label_domain, table_schema, text_schema
from data.importers.report import TableReport
from data.importers.table_files import Table, check_columns, open_table
from data.importers.workload_files import add_files, read_schema
from data.spans.layout import add_span, find_spans
from data.spans.rows import check_once
from data.spans.source import Rejected
from records.columns import MISSING
from records.times import format_time
from errors import DataRefused, UsageError

# Of bad rows this many are named.
_EXAMPLES = 3
# Where texts come from this few places, the report has a slice for each.
_MOST_SOURCES = 50
_DAY_S = 86_400


def import_table(
    src: str | Path,
    data_dir: Path,
    label: str,
    group: str = "",
    time: str = "",
    text: str = "",
    query: str = "",
    sheet: str = "",
    least: int = 0,
) -> TableReport:
    """Imports a table, or texts, as one new span: all or nothing.

    Args:
        src: A file, see `open_table`, of texts also JSON lines; or the URL of a database, as SQLAlchemy has
            it.
        data_dir: The folder of spans; made when missing. Of a table beside the schema of an earlier import
            the columns of that schema are taken, and its new labels are added to it.
        label: The column to learn.
        group: A column whose values are never in two splits, such as the customer; this and all that follow
            are empty where there is none.
        time: A column of dates.
        text: The column of texts, from which alone is learned.
        query: Of a database: a SELECT.
        sheet: Of a workbook with several.
        least: Rows of a class that a run wants, of which the report warns; 0 where it wants none.

    Raises:
        UsageError: The file, database or a column is not there, or the label is one value, or different in
            each row.
        DataRefused: The file cannot be read, too many of its rows are damaged, or a column is in two forms.
    """
    if text and time:
        raise UsageError(
            "--time is given with --text.", "Texts are not ordered by it.", "Leave one of them out."
        )
    if not text and str(src).lower().endswith((".jsonl", ".ndjson")):
        raise UsageError(
            f"{src} is JSON lines, and no column of texts is named.",
            "Tables are read from CSV, .xlsx, Parquet and databases.",
            "Name the column with --text COLUMN, or write the table as CSV.",
        )
    with TemporaryDirectory() as scratch:
        given = list(dict.fromkeys(name for name in (text, label, group, time) if name))
        table = open_table(str(src), Path(scratch), given, query, sheet)
        check_columns(table, given)
        check_once(table.shown, table.header, given if text else list(filter(None, table.header)), ())
        seen = _profile(table, given if text else table.header, label, {label, group, text})
        first = not find_spans(data_dir)
        check_label_column(table.shown, seen.columns[label], seen.rows, first)
        counts = {name: sum(by.values()) for name, by in (seen.columns[label].values or {}).items()}
        noun = "text" if text else "row"
        if first and least:
            check_classes(table.shown, noun, counts)
        # Where texts have no group, they stand alone; other weeks may have other groups.
        if first and group and seen.columns[group].there == seen.columns[label].there:
            why = "Rows of one group are never in two splits, so there would be none to evaluate with."
            check_several(table.shown, seen.columns[group], why, "groups")
        own = text_schema(()) if text else table_schema((), (), (), group, time)
        known = None if (there := read_schema(data_dir)) is None else columns_beside(there, own)
        if not text:
            check_forms(table.shown, seen, time)
        if known is not None:
            kinds = kinds_again(table.shown, seen, known, given)
        else:
            kinds = {} if text else find_kinds(table.shown, seen, given)
        old = () if there is None else read_label_domain(there)
        warnings = warn_of_few(noun, {n: count for n, count in counts.items() if n not in old}, least)
        report = _write(table, data_dir, seen, kinds, (label, group, time, text))
        return replace(report, notes=tuple(table.notes), warnings=warnings)


def _write(
    table: Table, data_dir: Path, seen: Seen, kinds: dict[str, str], given: tuple[str, str, str, str]
) -> TableReport:
    label, group, time, text = given
    labels = tuple(sorted(seen.columns[label].values or {}))
    numbers = tuple(name for name, kind in kinds.items() if kind in ("number", "time"))
    categories = tuple(name for name, kind in kinds.items() if kind == "category")
    if text:
        few = group and len(seen.columns[group].values or ()) in range(1, _MOST_SOURCES + 1)
        kept = {"text": text, "label": label} | ({"group": group} if group else {})
        kept |= {"source": group} if few else {}
        schema, columns = text_schema(labels), {"text_column": text}
    else:
        kept = {name: name for name in (time, group, *numbers, *categories, label) if name}
        schema = table_schema(labels, numbers, categories, group, time)
        columns = {"label_column": label, "group_column": group, "time_column": time}
    forms = {name: seen.columns[name].form() for name in (*numbers, *([time] if time else []))}

    def fill(folder: Path) -> None:
        path = folder / ("texts.csv" if text else "table.csv")
        # Half a character, which JSON can hold, becomes a question mark.
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(kept)
            for item in table.rows(list(seen.columns)):
                if not isinstance(item, Rejected):
                    cells = item[1]
                    for name, form in forms.items():
                        cells[name] = _converted(cells[name], form, name == time)
                    writer.writerow([cells[name] for name in kept.values()])
        # Before the span is there: where these cannot be written, the next attempt must not add it again.
        new_labels.extend(add_files(data_dir, schema, labels, noun, **columns)[1])

    noun, new_labels = "text" if text else "row", list[str]()
    span = add_span(data_dir, fill)
    left_out = tuple((n, kind) for n, kind in kinds.items() if n not in (*numbers, *categories))
    found = (seen.rows, labels, tuple(new_labels), numbers, categories, left_out, seen.refused)
    return TableReport(table.shown, span, noun, *found)


def _profile(table: Table, names: Sequence[str], label: str, texts: Collection[str]) -> Seen:
    semicolons = table.separator == ";"
    columns = {name: Column(name, None if name in texts else semicolons) for name in names}
    rows, damaged, refused = 0, 0, list[str]()
    for item in table.rows(names):
        rows += 1
        if isinstance(item, Rejected):
            damaged += 1
            refused += [f"{item.id}: {item.detail}"] if damaged <= _EXAMPLES else []
            continue
        place, cells = item
        own = cells[label]
        for name, column in columns.items():
            cell = cells[name]
            # What has no label is quarantined later. A class may well be called `none`.
            if own and (cell if name in texts else cell.lower() not in MISSING):
                column.add(cell, own, place)
        if columns[label].values is None:
            break
    if rows == 0:
        raise DataRefused(
            f"{table.shown} has no row.", "There is nothing to learn from.", "Give a table with rows."
        )
    if damaged > (1 - MOSTLY) * rows:
        raise DataRefused(
            f"{table.shown}, {refused[0]}",
            f"{damaged} of {rows} rows are like that: too many to leave out.",
            "Correct them; a cell that holds the separator is quoted.",
        )
    more = [f"... and {damaged - _EXAMPLES} more rows."] if damaged > _EXAMPLES else []
    return Seen(columns, rows - damaged, (*refused, *more))


def _converted(cell: str, form: str, is_time: bool) -> str:
    """A number or time as models read it, a date as days since 1970; what is neither is quarantined later."""
    if cell.lower() in MISSING:
        return ""
    value = None if form == NUMBER else readings(cell, False).get(form)
    if value is None:
        return cell
    if is_time:
        return format_time(value)
    return f"{value / _DAY_S:.9g}" if form in TIMES else repr(value)
