"""Import of anyone's table or texts as one new span, with the workload that trains on it.

Read twice, row by row: once to learn what each column is, once to write it. What no model should see is left
out and named: columns that are one value, that tell rows apart, that give the label away, or that are text of
many words.
"""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from data.importers.classes import check_classes, warn_of_few
from data.importers.column_kinds import (
    Ask,
    Kinds,
    Seen,
    check_forms,
    check_label_column,
    check_several,
    find_kinds,
    kinds_again,
)
from data.importers.columns import MOSTLY, ColumnProfile
from data.importers.curated_schema import columns_beside, read_label_domain, table_schema, text_schema
from data.importers.known_rows import digest_row, known_rows
from data.importers.report import TableReport
from data.importers.table_files import Table, check_columns, open_table
from data.importers.workload_files import add_files, read_columns, read_schema
from data.spans.layout import add_span, find_spans
from data.spans.rows import check_once
from data.spans.source import Rejected
from errors import DataRefused, UsageError
from records.columns import (
    COMMA,
    DAY_S,
    DAYS,
    ISO,
    MISSING,
    MONTH,
    NUMBER,
    NUMBERS,
    TIMES,
    Column,
    parse_cell,
    write_cell,
)

# Of bad rows this many are named.
_EXAMPLES = 3
# Where texts come from this few places, the report has a slice for each.
_MOST_SOURCES = 50
_MOST_COLUMNS = 2_000
# What stands for no label, in small letters: what programs write. A class may be called `none`, `-` or `?`.
NO_LABEL = frozenset(("", "nan", "na", "n/a", "null", "<na>"))


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
    decimal: str = "",
    chosen: Mapping[str, str] | None = None,
    ask: Ask | None = None,
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
        decimal: The decimal sign, `,` or `.`, where cells alone do not tell; empty to go by them.
        chosen: What columns are, as of `find_kinds`, which else is found.
        ask: As of `find_kinds`; None takes its guess.

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
    chosen = chosen or {}
    with TemporaryDirectory() as scratch:
        given = list(dict.fromkeys(name for name in (text, label, group, time) if name))
        table = open_table(str(src), Path(scratch), given, query, sheet)
        check_columns(table, given)
        check_columns(table, list(chosen))
        check_once(table.shown, table.header, given if text else list(filter(None, table.header)), ())
        if not text and len(table.header) > _MOST_COLUMNS:
            raise UsageError(
                f"{table.shown} has {len(table.header):,} columns.",
                f"Each is judged and learned from on its own, which is made for {_MOST_COLUMNS:,} at most.",
                "Choose the ones that matter, or make fewer of them: sums, means, principal components.",
            )
        seen = _profile(table, given if text else table.header, label, {group, text} - {""})
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
        columns = {} if known is None else read_columns(data_dir)
        before = {name: NUMBER for name, kind in (known or {}).items() if kind == "number"}
        before |= {time: ISO} if known is not None else {}
        before |= {column.name: column.form for column in columns.values()}
        forms = seen.forms(decimal, before)
        if not text:
            check_forms(table.shown, seen, forms, time)
        if text:
            kinds = Kinds({}, ())
        elif known is None:
            kinds = find_kinds(table.shown, seen, forms, given, time, chosen, ask)
        elif chosen:
            raise UsageError(
                f"{data_dir} has a schema, which says what {', '.join(sorted(chosen))} is.",
                "A model reads the same columns each week.",
                "Import without --category, --number and --leave-out, or into a folder of its own.",
            )
        else:
            kinds = kinds_again(table.shown, seen, forms, known, columns, given)
        form = ISO if known is not None else forms.get(time, "")
        when = {time: columns.get(time) or Column(time, form)} if time else {}
        old = () if there is None else read_label_domain(there)
        warnings = warn_of_few(noun, {n: count for n, count in counts.items() if n not in old}, least)
        report = _write(table, data_dir, seen, forms, kinds, when, (label, group, time, text))
        return replace(report, notes=tuple(table.notes), warnings=warnings)


def _write(
    table: Table,
    data_dir: Path,
    seen: Seen,
    forms: Mapping[str, str],
    kinds: Kinds,
    when: Mapping[str, Column],
    given: tuple[str, str, str, str],
) -> TableReport:
    label, group, time, text = given
    labels = tuple(sorted(seen.columns[label].values or {}))
    numbers = tuple(kinds.numbers)
    own: dict[str, str | Mapping[str, Column]] = {"text_column": text}
    if text:
        few = group and len(seen.columns[group].values or ()) in range(1, _MOST_SOURCES + 1)
        kept = {"text": text, "label": label} | ({"group": group} if group else {})
        kept |= {"source": group} if few else {}
        schema = text_schema(labels)
    else:
        read = [name for column in kinds.numbers.values() for name in (column.name, column.until)]
        kept = {name: name for name in (time, group, *read, *kinds.categories, label) if name}
        passing = [name for name, column in kinds.numbers.items() if column.part in (MONTH, DAYS)]
        schema = table_schema(labels, numbers, kinds.categories, group, time, passing)
        own = {
            "label_column": label,
            "group_column": group,
            "time_column": time,
            "columns": {**when, **kinds.numbers},
        }
    targets = {column.name: column for column in (*kinds.numbers.values(), *when.values())}

    def rows() -> Iterator[list[str]]:
        for item in table.rows(list(seen.columns)):
            if not isinstance(item, Rejected) and item[1][label].lower() not in NO_LABEL:
                cells = item[1]
                for name, column in targets.items():
                    cells[name] = _rewritten(cells[name], forms[name], column)
                yield [cells[name] for name in kept.values()]

    def fill(folder: Path) -> None:
        path = folder / ("texts.csv" if text else "table.csv")
        # Half a character, which JSON can hold, becomes a question mark.
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(kept)
            writer.writerows(row for row in rows() if not known or digest_row(row) not in known)
        # Before the span is there: where these cannot be written, the next attempt must not add it again.
        new_labels.extend(add_files(data_dir, schema, labels, noun, **own)[1])

    noun, new_labels = "text" if text else "row", list[str]()
    known = known_rows(data_dir, list(kept), rows())
    count = sum(digest_row(row) in known for row in rows()) if known else 0
    span = add_span(data_dir, fill) if count < seen.rows else None
    return TableReport(
        source=table.shown,
        span=span,
        noun=noun,
        rows=seen.rows - count,
        known=count,
        unlabelled=len(seen.unlabelled),
        labels=labels,
        new_labels=tuple(new_labels),
        numbers=numbers,
        categories=kinds.categories,
        left_out=kinds.left_out,
        guessed=kinds.guessed,
        refused=seen.refused,
        remarks=tuple(_remarks(seen, label, group)),
    )


def _remarks(seen: Seen, label: str, group: str) -> Iterator[str]:
    """What a person should know of the labels and groups, in sentences."""
    if seen.unlabelled:
        places = f"{', '.join(seen.unlabelled[:_EXAMPLES])}{', ...' * (len(seen.unlabelled) > _EXAMPLES)}"
        yield f"Without {label}, and left out: {len(seen.unlabelled)} ({places})."
    if nones := [value for value in seen.columns[label].values or () if value.lower() == "none"]:
        yield f"{nones[0]!r} is a class; rows without a label have an empty cell, or NaN, NA or NULL."
    if not group:
        return
    profile = seen.columns[group]
    if profile.is_another_in_each():
        yield f"The group {group} is another one in nearly every row, and keeps nothing together."
    elif profile.gives_label_away():
        yield (
            f"Each of the {len(profile.values or ())} groups of {group} has one label: what tells groups"
            " apart tells labels apart too, and only groups never seen show what was learned."
        )


def _profile(table: Table, names: Sequence[str], label: str, texts: Collection[str]) -> Seen:
    numbers = (NUMBER, COMMA) if table.separator == ";" else NUMBERS
    columns = {name: ColumnProfile(name, (*numbers, *TIMES)) for name in names}
    for name, kind in table.types.items():
        if name in columns:  # dates may be texts, of which SQLite has no others
            columns[name].forms = (NUMBER,) if kind == "number" else (*TIMES,)
    for name in texts:
        columns[name].forms = ()
    rows, damaged, refused, unlabelled = 0, 0, list[str](), list[str]()
    for item in table.rows(names):
        rows += 1
        if isinstance(item, Rejected):
            damaged += 1
            refused += [f"{item.id}: {item.detail}"] if damaged <= _EXAMPLES else []
            continue
        place, cells = item
        own = cells[label]
        if own.lower() in NO_LABEL:
            unlabelled.append(place)
            continue
        for name, column in columns.items():
            cell = cells[name]
            # A class may well be called `none`.
            if cell if name in (label, *texts) else cell.lower() not in MISSING:
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
    return Seen(columns, columns[label].labels, tuple(unlabelled), (*refused, *more))


def _rewritten(cell: str, form: str, column: Column) -> str:
    """A cell in the form that its column has in earlier spans; what has none is quarantined later."""
    if form in ("", column.form) or cell.lower() in MISSING:
        return cell
    try:
        value = parse_cell(cell, form)
    except ValueError:
        return cell
    if form in TIMES and column.form in NUMBERS:  # of earlier versions, which wrote days
        return f"{value / DAY_S:.9g}"
    return write_cell(value, column.form)
