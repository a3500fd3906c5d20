"""Writing of an imported table, or of texts, as one new span, with the files of its workload."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data.importers.bands import ONE_LABEL
from data.importers.clocks import parse_source_cell
from data.importers.column_kinds import Described
from data.importers.curated_schema import build_table_schema, build_text_schema
from data.importers.import_report import TableReport
from data.importers.known_rows import count_relabelled, digest_row, find_known_rows
from data.importers.table_file import TABLE, ColumnEntry, TableFile, write_columns, write_table_file
from data.importers.table_profile import TableProfile, read_labelled
from data.importers.table_remarks import remark_on_rows
from data.importers.table_roles import Earlier, Named
from data.importers.workload_files import WORKLOAD, add_files, list_passing, write_features
from data.settings import DataSettings
from data.spans.layout import add_span
from data.texts.source import digest_text
from edgeline.gates.settings import GateSettings
from edgeline.labels import format_count, join_names
from edgeline.records.columns import MISSING, Column, write_cell
from edgeline.records.rejection import repair_text
from edgeline.tables.files import Table

_TEXTS = "texts.csv"
# Largest number of sources of texts for which the report has a slice each.
_MOST_SOURCES = 50
# From the first share of repeated texts on, the gate allows for them, up to the second: in a span that came
# twice, all are copies.
_FEW_REPEATED, _MOST_QUARANTINED = 0.01, 0.9


@dataclass(frozen=True)
class Week:
    """A table as it was read once, and how its columns are read."""

    table: Table
    profile: TableProfile
    named: Named
    earlier: Earlier
    described: Described
    noun: str  # of an example
    shape: tuple[str, ...]  # warnings of a long table and of an unnamed group, at the first import

    @property
    def file(self) -> TableFile:
        """Returns how each column is read."""
        return self.described.file


@dataclass(frozen=True)
class _Layout:
    """The table of a span, and the workload that reads it."""

    file: str
    cell_of: Mapping[str, str]  # the columns of the imported table, by those of the span
    compared: Mapping[str, str]  # the forms of the columns by which a row is known again
    schema: str
    settings: Mapping[str, str | Mapping[str, Column]]  # of the workload


@dataclass(frozen=True)
class _TextCounts:
    """Counts the texts of a span that a run reads in another way than they are written."""

    copies: int  # those that are there more than once
    conflicting: int  # those of the copies that have different labels
    repaired: int  # those with marks that were decoded twice

    def describe(self) -> Iterator[str]:
        """Yields a sentence on those with repaired marks, and on those with different labels."""
        if self.repaired:
            yield (
                f"Marks that were decoded twice, such as â\\x80\\x99 for an apostrophe, are in"
                f" {format_count(self.repaired, 'text')}: runs, predict and phones read them as what they"
                " were."
            )
        if self.conflicting:
            yield (
                f"{format_count(self.conflicting, 'text')} with equal words have different labels, and a run"
                f" quarantines all of these. {ONE_LABEL}"
            )


def write_table_span(week: Week, settings: DataSettings, data_dir: Path) -> TableReport:
    """Writes the rows that no span has as a new one, if there are any, and its workload's files.

    Args:
        week: The table that was read, and how its columns are read.
        settings: Make examples of rows.
        data_dir: The folder of spans; raises DataRefused for one that cannot be read, or as `add_span`.
    """
    table, profile, described = week.table, week.profile, week.described
    roles = week.file.roles
    layout = _lay_out_texts(week) if roles.text else _lay_out_rows(week, settings.readings)
    labels = tuple(sorted(profile.labels))
    new_labels: tuple[str, ...] = ()
    written: Path | None = None
    remarks = [*remark_on_rows(profile, roles)]
    read_cells = partial(_read_cells, week, list(layout.cell_of.values()))

    # The rows that earlier spans have, also under other labels.
    known = find_known_rows(data_dir, layout.compared, read_cells())
    count = known.total()
    if roles.text and (relabelled := count_relabelled(data_dir, ((row[0], row[1]) for row in read_cells()))):
        remarks.append(
            f"With another label in earlier spans: {format_count(relabelled, 'text')}. A run will quarantine"
            " the old and the new row, unless `edgeline data relabel` decides, with a list of example, label,"
            " corrected."
        )

    def fill(folder: Path) -> None:
        nonlocal new_labels, written
        counts = _write_rows(folder / layout.file, layout, read_cells(), known)
        copies = counts.copies
        remarks.extend(counts.describe())

        # A run quarantines all but one of equal texts.
        allowed = 0.0
        if copies > _FEW_REPEATED * profile.rows:
            usual = GateSettings().max_quarantine_fraction
            allowed = min(_MOST_QUARANTINED, round(usual + copies / profile.rows, 2))

        # The files come first: a span left without them would be added again by the next attempt.
        if not (data_dir / TABLE).exists():
            written = write_table_file(data_dir, week.file)
        files, new_labels = add_files(
            data_dir, layout.schema, labels, week.noun, allowed, settings, (), **layout.settings
        )
        if allowed and data_dir / WORKLOAD in files:
            remarks.append(
                f"{copies:,} of {profile.rows:,} texts are there more than once, and a run keeps one of"
                f" each: gate.max_quarantine_fraction in {WORKLOAD} is {allowed}."
            )

    # The new columns, and the new rows.
    if described.added:
        remarks.append(_add_columns(data_dir, week, settings.readings))
    if described.changed:
        write_columns(data_dir, described.changed)
        remarks += _describe_changed(described.changed)
    span = add_span(data_dir, fill) if count < profile.rows else None
    return TableReport(
        source=table.shown,
        span=span,
        noun=week.noun,
        rows=profile.rows - count,
        known=count,
        unlabelled=len(profile.unlabelled),
        labels=labels,
        new_labels=new_labels,
        numbers=tuple(described.read.numbers),
        categories=described.read.categories,
        left_out=described.left_out,
        guessed=described.guessed,
        refused=profile.refused,
        remarks=tuple(remarks),
        notes=tuple(table.notes),
        written=written,
    )


def _add_columns(data_dir: Path, week: Week, readings: int) -> str:
    """Adds columns to the files of the workload; returns a sentence on the earlier spans, which lack them."""
    file, added = week.file, week.described.added
    since = next(iter(added.values())).since
    numbers = {name: column for name, column in file.numbers.items() if column.name in added}
    categories = [name for name in file.categories if name in added]
    write_features(data_dir, numbers, categories, readings, since)
    write_columns(data_dir, added)
    names = join_names(sorted(added))
    rows = format_count(week.described.lacking, "row")
    return f"A model reads {names} from {since} on; {rows} of the spans before are without."


def _describe_changed(changed: Mapping[str, ColumnEntry]) -> Iterator[str]:
    """Yields what a table calls columns of earlier spans, and which it lacks."""
    for name, entry in changed.items():
        what = f"is called {entry.now}" if entry.now else "is missing"
        yield f"{name} {what} in tables after {entry.until}, as {TABLE} says."


def _lay_out_texts(week: Week) -> _Layout:
    profile, roles = week.profile, week.file.roles
    cell_of = {"text": roles.text, "label": roles.label}
    if roles.group:
        cell_of["group"] = roles.group
    # A source is the group of a text once more, if there are few of them.
    compared = dict.fromkeys(cell_of, "")
    if roles.group and 0 < len(profile.columns[roles.group].values or ()) <= _MOST_SOURCES:
        cell_of["source"] = roles.group
    settings = {"text_column": roles.text, "label_column": roles.label, "group_column": roles.group}
    schema = build_text_schema(sorted(profile.labels))
    return _Layout(_TEXTS, cell_of, compared, schema, settings)


def _lay_out_rows(week: Week, readings: int) -> _Layout:
    file, roles = week.file, week.file.roles
    used = [name for column in file.numbers.values() for name in (column.name, column.until)]
    names = dict.fromkeys((roles.time, roles.group, *used, *file.categories, roles.label))
    # The cells that no model reads stay, for rules and for the models of later weeks.
    kept = [name for name, times in Counter(week.table.header).items() if times == 1 and name not in names]
    passing = list_passing(file.numbers)
    labels = sorted(week.profile.labels)
    numbers = tuple(file.numbers)
    schema = build_table_schema(labels, numbers, file.categories, roles.group, roles.time, passing, readings)

    return _Layout(
        file="table.csv",
        cell_of={name: name for name in (*names, *kept) if name},
        compared={name: file.forms.get(name, "") for name in names if name},
        schema=schema,
        settings={
            "label_column": roles.label,
            "group_column": roles.group,
            "time_column": roles.time,
            "columns": {**file.times, **file.numbers},
        },
    )


def _read_cells(week: Week, names: Sequence[str]) -> Iterator[list[str]]:
    """Yields the cells of these columns in the labelled rows, as the span has them."""
    profile, file = week.profile, week.file
    forms = {
        number: (profile.forms[name], file.forms[name])
        for number, name in enumerate(names)
        if profile.forms.get(name) and profile.forms[name] != file.forms.get(name, profile.forms[name])
    }
    for _, cells in read_labelled(week.table, profile, file.roles, names):
        for number, (form, target) in forms.items():
            missing = file.columns[names[number]].missing
            cells[number] = _rewrite_cell(cells[number], form, target, missing)
        yield cells


def _write_rows(path: Path, layout: _Layout, rows: Iterable[list[str]], known: Counter[bytes]) -> _TextCounts:
    """Writes the rows but the known ones, and counts the texts among them."""
    left = Counter(known)
    repaired = 0
    times_written = Counter[str]()
    label_of = dict[str, str]()
    conflicting = set[str]()
    # A lone surrogate, which JSON can hold, becomes a question mark.
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(layout.cell_of)
        for row in rows:
            digest = digest_row(row, layout.compared) if left else b""
            if left[digest] > 0:
                left[digest] -= 1
                continue
            writer.writerow(row)
            if path.name == _TEXTS:
                text = digest_text(row[0])
                times_written[text] += 1
                if label_of.setdefault(text, row[1]) != row[1]:
                    conflicting.add(text)
                repaired += repair_text(row[0]) != row[0]

    copies = sum(times for times in times_written.values() if times > 1)
    return _TextCounts(copies, sum(times_written[text] for text in conflicting), repaired)


def _rewrite_cell(cell: str, form: str, target: str, missing: Collection[str]) -> str:
    """Converts a cell to the form of its column in earlier spans; unreadable cells are quarantined later."""
    if cell.lower() not in MISSING and cell not in missing:
        with suppress(ValueError):
            return write_cell(parse_source_cell(cell, form), target)
    return cell
