"""Import of anyone's table or texts as one new span, with the workload that trains on it.

The source is read twice, row by row: once to learn what each column is, once to write it. Columns that no
model should see are left out and named: those with one value, those that identify rows, those that give the
label away, and text of many words.
"""

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from data.importers.bands import ONE_LABEL
from data.importers.column_kinds import (
    LEAVE_OUT,
    Ask,
    Kinds,
    TableProfile,
    check_forms,
    check_label_column,
    check_names,
    check_not_constant,
    find_kinds,
    reuse_kinds,
)
from data.importers.columns import MOST_CATEGORIES, MOSTLY, RESERVED, RESERVED_BY_WINDOWS, ColumnProfile
from data.importers.curated_schema import build_table_schema, build_text_schema, read_extra_columns
from data.importers.import_report import (
    TableReport,
    check_classes,
    check_spelling,
    warn_of_few,
    warn_of_spellings,
)
from data.importers.known_rows import count_relabelled, digest_row, find_known_rows, read_span
from data.importers.workload_files import (
    WORKLOAD,
    add_files,
    check_kind,
    read_readings,
    read_roles,
    read_schema,
    read_workload,
)
from data.settings import DataSettings
from data.spans.layout import add_span, find_spans, find_usable_spans
from data.spans.source import Rejected
from data.tables.windows import Reading, choose_block_hours, count_windows
from data.texts.source import digest_text
from edgeline.errors import DataRefused, UsageError
from edgeline.gates.settings import GateSettings
from edgeline.labels import NO_LABEL
from edgeline.records.columns import (
    COMMA,
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
from edgeline.records.events import Counted, report
from edgeline.tables.files import Table, check_columns, find_endings, open_table
from edgeline.tables.rows import check_once, is_json

_ROWS_A_MESSAGE = 1_000
_Item = tuple[str, dict[str, str]] | Rejected  # a row of a table: its place and cells
# Number of damaged rows that a message names.
_EXAMPLES = 3
# Largest number of sources of texts for which the report has a slice each.
_MOST_SOURCES = 50
# From the first share of repeated texts on, the gate allows for them, up to the second: in a span that came
# twice, all are copies.
_FEW_REPEATED, _MOST_QUARANTINED = 0.01, 0.9


def import_table(
    src: str | Path,
    data_dir: Path,
    label: str,
    group: str = "",
    time: str = "",
    text: str = "",
    query: str = "",
    sheet: str = "",
    readings: int = 0,
    least: int = 0,
    vocabulary: int = 0,
    decimal: str = "",
    chosen: Mapping[str, str] | None = None,
    ask: Ask | None = None,
) -> TableReport:
    """Imports a table, or texts, as one new span: all or nothing.

    Args:
        src: A file (see `open_table`; texts may be JSON lines), or the URL of a database.
        data_dir: The folder of spans; made when missing. The columns of the schema that an earlier import
            wrote there are imported, and new labels are added to it.
        label: The column to learn.
        group: The column whose values are never in two splits; it and other texts are empty for none.
        time: The column of dates.
        text: The column of texts; the model then learns from nothing else.
        query: As in `open_table`.
        sheet: As in `open_table`.
        readings: The number of rows of a group, in the order of time, that make an example; 0 for that of the
            earlier import, or one.
        least: Rows per class that a run wants; the report warns of smaller classes. 0 for no limit.
        vocabulary: Values of a category that a model tells apart; the report names larger ones. 0: no limit.
        decimal: The decimal sign, `,` or `.`, where cells are ambiguous; empty to infer it from the cells.
        chosen: As in `find_kinds`.
        ask: As in `find_kinds`.

    Raises UsageError if the file, database or a column does not exist, or nothing can be learned of the
    label, and DataRefused if the file cannot be read, or too many of its rows are damaged.
    """
    if text and time:
        raise UsageError(
            "--time is given with --text.", "Texts are not ordered by time.", "Remove one of them."
        )
    if text and readings:
        raise UsageError(
            "--readings is given with --text.", "An example of texts is one text.", "Remove one of them."
        )
    others = {"text": text, "group": group, "time": time}
    if role := next((role for role, column in others.items() if column == label), ""):
        raise UsageError(
            f"--label and --{role} are both {label}.",
            "A model would read, or be split by, the label that it is to learn.",
            f"Name another column with --{role}.",
        )
    if group and group == time:
        raise UsageError(
            f"--group and --time are both {time}.",
            "A column is read as names, or as times.",
            "Leave out --group: rows of one block of time, such as a day, stay in one split without it.",
        )
    if text:
        check_kind(data_dir, f"{src} has texts", "text")
    else:
        check_kind(data_dir, f"{src} has rows", "table", "sensor")
    own = read_roles(data_dir)
    if not text:
        group, time = _keep_roles(data_dir, own, label, group, time)
    readings = _keep_readings(data_dir, readings, time)
    reserved = (*RESERVED, *(RESERVED_BY_WINDOWS if readings > 1 else ()))
    chosen = dict(chosen or {})
    are_codes = chosen.pop(label, "") == "category"
    with TemporaryDirectory() as scratch:
        own_columns = list(dict.fromkeys(name for name in (text, label, group, time) if name))
        table = open_table(str(src), Path(scratch), own_columns, query, sheet)
        if not text and is_json(table.path):
            raise UsageError(
                f"{src} has JSON lines, but no column of texts is named.",
                "Tables are read from CSV, .xlsx, Parquet and databases.",
                "Name the column with --text COLUMN, or write the table as CSV.",
            )
        if text and not group and own.get("group") in table.header:
            group = own["group"]
            own_columns = list(dict.fromkeys((*own_columns, group)))
        for role, column in own.items():
            # A span has the group of a text under one name, whatever column it came from.
            is_read = not text or (role == "group" and not group)
            if is_read and column and column not in table.header:
                raise UsageError(
                    f"{table.shown} has no column {column}, the {role} of earlier spans.",
                    f"A run reads the {role} from the same column each week.",
                    "Add or rename it, or import into a folder of its own.",
                )
        check_columns(table, [*own_columns, *chosen])
        if not text:
            used = [name for name, kind in chosen.items() if kind != LEAVE_OUT]
            check_names(table.shown, [*used, time, "" if group == "group" else group], reserved)
        check_once(table.shown, table.header, own_columns if text else list(filter(None, table.header)), ())
        cell_of = {label: "label", group: "group"} if text else {name: name for name in table.header}
        endings = _read_endings(data_dir, cell_of)
        # A number shows its form in the cells as they are.
        profiled = replace(table, endings={name: end for name, end in endings.items() if name in own_columns})
        profile = _profile_table(
            profiled, own_columns if text else table.header, label, {group, text} - {""}, group
        )
        table = replace(table, endings=endings)
        is_first = not find_spans(data_dir)
        earlier, old_labels = read_schema(data_dir)
        check_label_column(table.shown, profile.columns[label], profile.rows, is_first, old_labels, are_codes)
        counts = dict(profile.labels)
        noun = "text" if text else "reading" if readings > 1 else "row"
        if is_first and least:
            check_classes(table.shown, noun, counts)
        # Texts without a group stand alone, and later weeks may have other groups.
        if is_first and group and profile.columns[group].cells == profile.columns[label].cells:
            why = "Rows of one group are never in two splits, so there would be no rows to evaluate on."
            do = "Leave out --group, name another column, or import rows of other groups too."
            check_not_constant(table.shown, profile.columns[group], why, do)
        base_schema = (
            build_text_schema(()) if text else build_table_schema((), (), (), group, time, readings=readings)
        )
        known_kinds = read_extra_columns(earlier, base_schema) if earlier else None
        columns: dict[str, Column] = {}  # by feature
        if known_kinds is not None:
            columns = read_workload(data_dir, columns=dict[str, Column]).get("columns", {})
        known_forms = {name: NUMBER for name, kind in (known_kinds or {}).items() if kind == "number"}
        known_forms |= {time: ISO} if known_kinds is not None else {}
        known_forms |= {column.name: column.form for column in columns.values()}
        forms = profile.find_forms(decimal, known_forms)
        if not text:
            formed = {*known_forms}
            if known_kinds is None:
                formed = {name for name in profile.columns if chosen.get(name, "number") == "number"}
            check_forms(table.shown, profile, forms, time, formed)
        if text:
            kinds = Kinds({}, ())
        elif known_kinds is None:
            kinds = find_kinds(table.shown, profile, forms, own_columns, time, chosen, ask, reserved)
        else:
            kinds = reuse_kinds(table.shown, profile, forms, known_kinds, columns, own_columns)
            _check_kinds(data_dir, kinds, chosen)
        form = ISO if known_kinds is not None else forms.get(time, "")
        when = {time: columns.get(time) or Column(time, form)} if time else {}
        check_spelling(table.shown, counts, old_labels)
        windows = DataSettings(readings=readings, stride=max(1, readings // 4))
        late: tuple[str, ...] = ()
        if readings > 1:
            reread = partial(_read_readings, table, label, group, time, forms[time])
            windows, sums, late = _plan_windows(table.shown, reread, windows, profile.rows, time, is_first)
            counts = {name: sums[name] for name in counts} if is_first else counts
        new_counts = {name: count for name, count in counts.items() if name not in old_labels}
        warnings = (*late, *warn_of_few(noun, new_counts, least), *warn_of_spellings(new_counts))
        for name in (text, time, "" if text else group):
            if name and (dropped := profile.columns[label].cells - profile.columns[name].cells):
                warnings += (
                    f"{noun.capitalize()}s that a run will quarantine, as {name} is empty: {dropped:,}.",
                )
        unread = profile.columns.keys() - {label, group, time, *kinds.categories}
        photos = [c.name for c in profile.columns.values() if c.name in unread and c.names_photos()]
        if not text and known_kinds is None and photos:
            warnings += (
                f"{photos[0]} names photos, which a table does not read: the model learns from the other"
                " columns. To learn from the photos, call the column of labels `label`, leave out --label,"
                " and import into a new folder.",
            )
        roles = (label, group, time, text)
        imported = _write_span(table, data_dir, profile, forms, kinds, when, roles, noun, windows)
        categories = [profile.columns[name] for name in kinds.categories]
        remarks = (*imported.remarks, *_list_large_categories(categories, vocabulary))
        if known_kinds is None:
            inferred = (column for column in categories if column.name not in chosen)
            remarks += tuple(
                f"{c.name}, a category, {why}." for c in inferred if (why := c.describe_others())
            )
        return replace(imported, notes=tuple(table.notes), remarks=remarks, warnings=warnings)


def _check_kinds(data_dir: Path, kinds: Kinds, chosen: Mapping[str, str]) -> None:
    """Refuses a chosen kind that is not the one in earlier spans. Raises UsageError."""
    earlier = dict.fromkeys((column.name for column in kinds.numbers.values()), "number")
    earlier |= dict.fromkeys(kinds.categories, "category")
    others = sorted(name for name, kind in chosen.items() if kind != earlier.get(name, LEAVE_OUT))
    if others:
        raise UsageError(
            f"{data_dir} has a schema, which fixes the kind of {', '.join(others)}.",
            "A model reads the same columns each week.",
            "Leave out the option that names another kind, or import into a folder of its own.",
        )


def _keep_roles(data_dir: Path, own: Mapping[str, str], label: str, group: str, time: str) -> tuple[str, str]:
    """Returns the columns of group and time: those of earlier spans, `own`. Raises UsageError on others."""
    group, time = group or own.get("group", ""), time or own.get("time", "")
    for role, column in (("label", label), ("group", group), ("time", time)):
        earlier = own.get(role, column)
        if earlier != column and (earlier or role != "label"):
            has = f"the column {earlier}" if earlier else "no column"
            cure = f"Pass --{role} {earlier}, rename the column," if earlier else f"Leave out --{role},"
            raise UsageError(
                f"Earlier spans of {data_dir} have {has} as {role}, not {column}.",
                f"A run reads the {role} from the same column each week.",
                f"{cure} or import into a folder of its own.",
            )
    return group, time


def _keep_readings(data_dir: Path, readings: int, time: str) -> int:
    """Returns the number of rows of an example: that of earlier spans. Raises UsageError on another one."""
    earlier = read_readings(data_dir)
    if readings and earlier not in (0, readings):
        raise UsageError(
            f"--readings is {readings}, and an example of earlier spans of {data_dir} has {earlier}.",
            "A model reads the same number of rows each week.",
            "Leave out --readings, or import into a folder of its own.",
        )
    if readings > 1 and not time:
        raise UsageError(
            "--readings is given without --time.",
            "Without times, the readings of an example have no order.",
            "Name the column of times with --time COLUMN.",
        )
    return readings or earlier or 1


def _read_readings(table: Table, label: str, group: str, time: str, form: str) -> Iterator[Reading]:
    """Yields the rows without their numbers; those that a run quarantines for their cells are left out."""
    for item in table.rows([name for name in (label, group, time) if name]):
        if not isinstance(item, Rejected) and item[1][label].lower() not in NO_LABEL:
            place, cells = item
            with suppress(ValueError):
                seconds = parse_cell(cells[time], form)
                if not group or cells[group]:
                    yield Reading(place, cells[label], cells.get(group, ""), seconds, (), b"")


def _plan_windows(
    shown: str,
    read_all: Callable[[], Iterator[Reading]],
    settings: DataSettings,
    rows: int,
    time: str,
    is_first: bool,
) -> tuple[DataSettings, Counter[str], tuple[str, ...]]:
    """Returns the settings with a block of hours, the windows of each label, and warnings of readings.

    Raises DataRefused if a run would refuse the readings of a first import.
    """
    hours = choose_block_hours(((reading.group, reading.time) for reading in read_all()), settings.readings)
    settings = settings.model_copy(update={"block_hours": hours})
    counts, late, first = count_windows(read_all(), settings)
    detail = f"{first.id}: {first.detail}" if first else ""
    if is_first and late > GateSettings().max_quarantine_fraction * rows:
        raise DataRefused(
            f"{late:,} of {rows:,} readings of {shown} are not in the order of time: {detail}",
            "A run would quarantine them: an example is the last readings of a group, in the order of rows.",
            f"Sort the rows by {time}, in which no two rows of a group may be the same, and name the machines"
            " with --group if there are several.",
        )
    if is_first and sum(count > 1 for count in counts.values()) < 2:
        raise DataRefused(
            f"{shown} has too few examples of {settings.readings} readings: {counts.total()}, with"
            f" {len(counts)} labels.",
            f"An example is that many rows of one group within a block of {hours:,} hours; training needs two"
            " classes, each with an example to learn from and one to evaluate on.",
            "Pass a smaller number with --readings, or import it together with more rows.",
        )
    warning = f"Readings that a run will quarantine, as they are not in the order of time: {late:,}. {detail}"
    return settings, counts, (warning,) if late else ()


def _write_span(
    table: Table,
    data_dir: Path,
    profile: TableProfile,
    forms: Mapping[str, str],
    kinds: Kinds,
    when: Mapping[str, Column],
    roles: tuple[str, str, str, str],
    noun: str,
    windows: DataSettings,
) -> TableReport:
    label, group, time, text = roles
    labels = tuple(sorted(profile.labels))
    numbers = tuple(kinds.numbers)
    own: dict[str, str | Mapping[str, Column]] = {"text_column": text, "group_column": group}
    if text:
        few = group and len(profile.columns[group].values or ()) in range(1, _MOST_SOURCES + 1)
        cell_of = {"text": text, "label": label} | ({"group": group} if group else {})
        cell_of |= {"source": group} if few else {}
        schema = build_text_schema(labels)
    else:
        used = [name for column in kinds.numbers.values() for name in (column.name, column.until)]
        cell_of = {name: name for name in (time, group, *used, *kinds.categories, label) if name}
        passing = [name for name, column in kinds.numbers.items() if column.part in (MONTH, DAYS)]
        readings = windows.readings
        schema = build_table_schema(labels, numbers, kinds.categories, group, time, passing, readings)
        own = {
            "label_column": label,
            "group_column": group,
            "time_column": time,
            "columns": {**when, **kinds.numbers},
        }
    targets = {column.name: column for column in (*kinds.numbers.values(), *when.values())}

    def read_cells() -> Iterator[list[str]]:
        for item in table.rows(list(profile.columns)):
            if not isinstance(item, Rejected) and item[1][label].lower() not in NO_LABEL:
                cells = item[1]
                for name, column in targets.items():
                    cells[name] = _rewrite_cell(cells[name], forms[name], column)
                yield [cells[name] for name in cell_of.values()]

    def fill(folder: Path) -> None:
        path = folder / ("texts.csv" if text else "table.csv")
        # A lone surrogate, which JSON can hold, becomes a question mark.
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(cell_of)
            known = Counter(earlier)
            for row in read_cells():
                digest = digest_row(row, compared) if known else b""
                if known[digest] > 0:
                    known[digest] -= 1
                    continue
                writer.writerow(row)
                if text:
                    times_written[digest_text(row[0])] += 1
        repeated = sum(times for times in times_written.values() if times > 1)
        allowed = 0.0
        if repeated > _FEW_REPEATED * profile.rows:
            usual = GateSettings().max_quarantine_fraction
            allowed = min(_MOST_QUARANTINED, round(usual + repeated / profile.rows, 2))
        # The files come first: a span left without them would be added again by the next attempt.
        files, added = add_files(data_dir, schema, labels, noun, allowed, windows, **own)
        new_labels.extend(added)
        if allowed and data_dir / WORKLOAD in files:
            remarks.append(
                f"{repeated:,} of {profile.rows:,} texts are there more than once, and a run keeps one of"
                f" each: gate.max_quarantine_fraction in {WORKLOAD} is {allowed}."
            )

    new_labels = list[str]()
    times_written, remarks = Counter[str](), list(_list_remarks(profile, label, group))
    # The last cell of a text may be its source, which is its group once more, if there are few of them.
    compared = {n: targets[n].form if n in targets else "" for n in cell_of if not (text and n == "source")}
    earlier = find_known_rows(data_dir, compared, read_cells())
    count = earlier.total()
    if text and (relabelled := count_relabelled(data_dir, ((cells[0], cells[1]) for cells in read_cells()))):
        remarks.append(
            f"{relabelled:,} texts have another label in earlier spans. A run will quarantine the old and"
            " the new row, unless `edgeline data relabel` decides, with a list of example, label, corrected."
        )
    span = add_span(data_dir, fill) if count < profile.rows else None
    return TableReport(
        source=table.shown,
        span=span,
        noun=noun,
        rows=profile.rows - count,
        known=count,
        unlabelled=len(profile.unlabelled),
        labels=labels,
        new_labels=tuple(new_labels),
        numbers=numbers,
        categories=kinds.categories,
        left_out=kinds.left_out,
        guessed=kinds.guessed,
        refused=profile.refused,
        remarks=tuple(remarks),
    )


def _list_remarks(profile: TableProfile, label: str, group: str) -> Iterator[str]:
    """Yields sentences about odd labels and groups."""
    if profile.unlabelled:
        places = ", ".join(profile.unlabelled[:_EXAMPLES])
        places += ", ..." if len(profile.unlabelled) > _EXAMPLES else ""
        yield f"Left out because {label} is missing: {len(profile.unlabelled)} ({places})."
    if nones := [name for name in profile.labels if name.lower() == "none"]:
        yield f"{nones[0]!r} counts as a class; a missing label is an empty cell, NaN, NA or NULL."
    if not group:
        return
    column = profile.columns[group]
    if column.is_nearly_unique():
        yield f"The group {group} differs in nearly every row, so it keeps no rows together."
    elif column.gives_label_away():
        yield (
            f"Each of the {len(column.values or ())} groups of {group} has one label, so a model may learn"
            " the groups instead of the labels; only its answers for unseen groups show that."
        )


def _list_large_categories(categories: Sequence[ColumnProfile], vocabulary: int) -> Iterator[str]:
    """Yields a sentence for each category with more values than a model tells apart; 0 for no limit."""
    for column in categories:
        least = MOST_CATEGORIES + 1 if column.values is None else len(column.values)
        count = f"over {MOST_CATEGORIES:,}" if column.values is None else f"{least:,}"
        if 0 < vocabulary < least:
            yield (
                f"{column.name} has {count} values, and a model tells the {vocabulary} most frequent ones"
                " apart; model.vocabulary in workload.yaml changes that."
            )


def _report_rows(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yields the items, and reports how many there were."""
    for number, item in enumerate(items, start=1):
        if number % _ROWS_A_MESSAGE == 0:
            report(Counted("rows", number))
        yield item


def _profile_table(
    table: Table, names: Sequence[str], label: str, texts: Collection[str], group: str
) -> TableProfile:
    numbers = (NUMBER, COMMA) if table.separator == ";" else NUMBERS
    columns = {name: ColumnProfile(name, (*numbers, *TIMES), is_grouped=bool(group)) for name in names}
    for name in columns.keys() - {label, group} if group else ():
        columns[name].by_group = {}
    for name, kind in table.types.items():
        if name in columns:  # a text may be a date: SQLite has no other dates
            columns[name].forms = (NUMBER,) if kind == "number" else (*TIMES,)
    for name in texts:
        columns[name].forms = ()
    rows, damaged, refused, unlabelled = 0, 0, list[str](), list[str]()
    for item in _report_rows(table.rows(names)):
        rows += 1
        if isinstance(item, Rejected):
            damaged += 1
            if damaged <= _EXAMPLES:
                refused.append(f"{item.id}: {item.detail}")
            continue
        place, cells = item
        row_label = cells[label]
        if row_label.lower() in NO_LABEL:
            unlabelled.append(place)
            continue
        for name, column in columns.items():
            cell = cells[name]
            # A class may well be called `none`.
            if cell if name in (label, *texts) else cell.lower() not in MISSING:
                column.add(cell, row_label, place, cells[group] if group else "")
        if columns[label].values is None:
            break
    if rows == 0:
        raise DataRefused(
            f"{table.shown} has no rows.", "There is nothing to learn from.", "Pass a table with rows."
        )
    if damaged > (1 - MOSTLY) * rows:
        raise DataRefused(
            f"{table.shown}, {refused[0]}",
            f"{damaged:,} of {rows:,} rows are damaged, which is too many to leave out.",
            f"Correct them; write fractions, lists and objects as texts. {ONE_LABEL}"
            if is_json(table.path)
            else "Correct them, and quote cells that contain the separator.",
        )
    more = [f"... and {damaged - _EXAMPLES} more rows."] if damaged > _EXAMPLES else []
    return TableProfile(columns, columns[label].labels, tuple(unlabelled), (*refused, *more))


def _read_endings(data_dir: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Reads `Table.endings` from the newest span; `columns` are its columns by column of the table."""

    def read_cells() -> Iterator[tuple[str, str]]:
        with suppress(DataRefused):  # the span may be of another kind; a run will say what is wrong with it
            for span in find_usable_spans(data_dir)[-1:]:
                for row in read_span(span, list(columns.values())):
                    yield from ((name, row.get(own, "")) for name, own in columns.items())

    return find_endings(read_cells())


def _rewrite_cell(cell: str, form: str, column: Column) -> str:
    """Converts a cell to the form of its column in earlier spans; unreadable cells are quarantined later."""
    if form not in ("", column.form) and cell.lower() not in MISSING:
        with suppress(ValueError):
            return write_cell(parse_cell(cell, form), column.form)
    return cell
