"""Writing of an imported table, or of texts, as one new span, with the files of its workload."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.importers.column_kinds import Kinds
from data.importers.curated_schema import build_table_schema, build_text_schema
from data.importers.import_report import TableReport
from data.importers.known_rows import count_relabelled, digest_row, find_known_rows
from data.importers.table_profile import TableProfile
from data.importers.table_remarks import remark_on_rows
from data.importers.table_roles import Roles
from data.importers.workload_files import WORKLOAD, add_files
from data.settings import DataSettings
from data.spans.layout import add_span
from data.spans.source import Rejected
from data.texts.source import digest_text
from edgeline.gates.settings import GateSettings
from edgeline.labels import NO_LABEL
from edgeline.records.columns import DAYS, MISSING, MONTH, Column, parse_cell, write_cell
from edgeline.tables.files import Table

# Largest number of sources of texts for which the report has a slice each.
_MOST_SOURCES = 50
# From the first share of repeated texts on, the gate allows for them, up to the second: in a span that came
# twice, all are copies.
_FEW_REPEATED, _MOST_QUARANTINED = 0.01, 0.9


@dataclass(frozen=True)
class Plan:
    """A table's roles, examples and kinds, as settled before the span is written."""

    data_dir: Path
    roles: Roles
    noun: str  # of an example
    settings: DataSettings  # by which rows become examples
    kinds: Kinds


@dataclass(frozen=True)
class _Layout:
    """The table of a span, and the workload that reads it."""

    file: str
    cell_of: Mapping[str, str]  # the columns of the imported table, by those of the span
    compared: Mapping[str, str]  # the forms of the columns by which a row is known again
    schema: str
    settings: Mapping[str, str | Mapping[str, Column]]  # of the workload


def write_table_span(table: Table, profile: TableProfile, plan: Plan) -> TableReport:
    """Writes the rows that no span has as a new one, if there are any, and then its workload's files.

    Raises DataRefused if an earlier span cannot be read, and as `add_span` does.
    """
    layout = _lay_out_texts(profile, plan.roles) if plan.roles.text else _lay_out_rows(profile, plan)
    writer = _SpanWriter(table, profile, plan, layout)
    remarks = [*remark_on_rows(profile, plan.roles)]

    # The rows that earlier spans have, also under other labels.
    known = find_known_rows(plan.data_dir, layout.compared, writer.read_cells())
    if plan.roles.text:
        labels = ((cells[0], cells[1]) for cells in writer.read_cells())
        if relabelled := count_relabelled(plan.data_dir, labels):
            remarks.append(
                f"{relabelled:,} texts have another label in earlier spans. A run will quarantine the old"
                " and the new row, unless `edgeline data relabel` decides, with a list of example, label,"
                " corrected."
            )

    # The new rows.
    span, count = None, known.total()
    if count < profile.rows:
        span = add_span(plan.data_dir, lambda folder: writer.write(folder, known))
    return TableReport(
        source=table.shown,
        span=span,
        noun=plan.noun,
        rows=profile.rows - count,
        known=count,
        unlabelled=len(profile.unlabelled),
        labels=tuple(sorted(profile.labels)),
        new_labels=writer.new_labels,
        numbers=tuple(plan.kinds.numbers),
        categories=plan.kinds.categories,
        left_out=plan.kinds.left_out,
        guessed=plan.kinds.guessed,
        refused=profile.refused,
        remarks=(*remarks, *writer.remarks),
    )


def _lay_out_texts(profile: TableProfile, roles: Roles) -> _Layout:
    cell_of = {"text": roles.text, "label": roles.label}
    if roles.group:
        cell_of["group"] = roles.group
    # A source is the group of a text once more, if there are few of them.
    compared = dict.fromkeys(cell_of, "")
    if roles.group and 0 < len(profile.columns[roles.group].values or ()) <= _MOST_SOURCES:
        cell_of["source"] = roles.group
    settings = {"text_column": roles.text, "group_column": roles.group}
    schema = build_text_schema(sorted(profile.labels))
    return _Layout("texts.csv", cell_of, compared, schema, settings)


def _lay_out_rows(profile: TableProfile, plan: Plan) -> _Layout:
    roles, kinds = plan.roles, plan.kinds
    used = [name for column in kinds.numbers.values() for name in (column.name, column.until)]
    names = dict.fromkeys((roles.time, roles.group, *used, *kinds.categories, roles.label))
    forms = {column.name: column.form for column in (*kinds.numbers.values(), *kinds.times.values())}
    passing = [name for name, column in kinds.numbers.items() if column.part in (MONTH, DAYS)]
    return _Layout(
        file="table.csv",
        cell_of={name: name for name in names if name},
        compared={name: forms.get(name, "") for name in names if name},
        schema=build_table_schema(
            sorted(profile.labels),
            tuple(kinds.numbers),
            kinds.categories,
            roles.group,
            roles.time,
            passing,
            plan.settings.readings,
        ),
        settings={
            "label_column": roles.label,
            "group_column": roles.group,
            "time_column": roles.time,
            "columns": {**kinds.times, **kinds.numbers},
        },
    )


class _SpanWriter:
    """Writes the rows of a table into the folder of a span, and the files of its workload beside it."""

    def __init__(self, table: Table, profile: TableProfile, plan: Plan, layout: _Layout) -> None:
        self._table, self._profile, self._plan, self._layout = table, profile, plan, layout
        columns = (*plan.kinds.numbers.values(), *plan.kinds.times.values())
        self._targets = {column.name: column for column in columns}
        self.new_labels: tuple[str, ...] = ()
        self.remarks: tuple[str, ...] = ()

    def read_cells(self) -> Iterator[list[str]]:
        """Yields the cells of the labelled rows as the span has them."""
        label, forms = self._plan.roles.label, self._profile.forms
        for item in self._table.rows(list(self._profile.columns)):
            if not isinstance(item, Rejected) and item[1][label].lower() not in NO_LABEL:
                cells = item[1]
                for name, column in self._targets.items():
                    cells[name] = _rewrite_cell(cells[name], forms[name], column)
                yield [cells[name] for name in self._layout.cell_of.values()]

    def write(self, folder: Path, known: Counter[bytes]) -> None:
        """Writes the rows but the `known` ones, and the files of the workload.

        These come before the span itself: left without them, it would be added again by the next attempt.
        """
        copies = self._write_rows(folder / self._layout.file, Counter(known))
        allowed = 0.0
        if copies > _FEW_REPEATED * self._profile.rows:
            usual = GateSettings().max_quarantine_fraction
            allowed = min(_MOST_QUARANTINED, round(usual + copies / self._profile.rows, 2))
        plan, layout = self._plan, self._layout
        labels = sorted(self._profile.labels)
        files, self.new_labels = add_files(
            plan.data_dir, layout.schema, labels, plan.noun, allowed, plan.settings, **layout.settings
        )
        if allowed and plan.data_dir / WORKLOAD in files:
            self.remarks = (
                f"{copies:,} of {self._profile.rows:,} texts are there more than once, and a run keeps one of"
                f" each: gate.max_quarantine_fraction in {WORKLOAD} is {allowed}.",
            )

    def _write_rows(self, path: Path, known: Counter[bytes]) -> int:
        """Writes the rows but the known ones, and returns how many texts there are more than once."""
        times_written = Counter[str]()
        # A lone surrogate, which JSON can hold, becomes a question mark.
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._layout.cell_of)
            for row in self.read_cells():
                digest = digest_row(row, self._layout.compared) if known else b""
                if known[digest] > 0:
                    known[digest] -= 1
                    continue
                writer.writerow(row)
                if self._plan.roles.text:
                    times_written[digest_text(row[0])] += 1
        return sum(times for times in times_written.values() if times > 1)


def _rewrite_cell(cell: str, form: str, column: Column) -> str:
    """Converts a cell to the form of its column in earlier spans; unreadable cells are quarantined later."""
    if form not in ("", column.form) and cell.lower() not in MISSING:
        with suppress(ValueError):
            return write_cell(parse_cell(cell, form), column.form)
    return cell
