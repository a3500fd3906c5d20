"""Import of anyone's table or texts as one new span, with the workload that trains on it.

The source is read twice, row by row: once to learn what each column is, once to write it. Columns that no
model should see are left out and named: those with one value, those that identify rows, those that give the
label away, and text of many words.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from data.importers.column_kinds import (
    Ask,
    check_first,
    check_label,
    check_names,
    settle_kinds,
)
from data.importers.column_rules import AS_CATEGORY, LEAVE_OUT
from data.importers.columns import RESERVED, RESERVED_BY_WINDOWS
from data.importers.import_report import (
    TableReport,
    check_spelling,
    warn_of_few,
    warn_of_spellings,
)
from data.importers.table_examples import plan_examples
from data.importers.table_profile import add_endings, profile_table
from data.importers.table_remarks import (
    explain_categories,
    remark_on_categories,
    warn_of_cells,
    warn_of_photos,
)
from data.importers.table_roles import Roles, find_roles, read_earlier, settle_roles
from data.importers.table_span import Plan, write_table_span
from edgeline.errors import UsageError
from edgeline.tables.files import Table, check_columns, open_table
from edgeline.tables.rows import check_once, is_json


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
    roles, readings = settle_roles(src, data_dir, Roles(label, group, time, text), readings)
    noun = "text" if text else "reading" if readings > 1 else "row"
    reserved = (*RESERVED, *(RESERVED_BY_WINDOWS if readings > 1 else ()))
    chosen = dict(chosen or {})
    are_codes = chosen.pop(label, "") == AS_CATEGORY

    with TemporaryDirectory() as scratch:
        # The source, and the first pass over its rows.
        table, roles = _open_source(str(src), Path(scratch), data_dir, roles, query, sheet)
        _check_names(table, roles, chosen, reserved)
        table = add_endings(table, roles, data_dir)
        profile = profile_table(table, roles)

        # The label, the group, and the other columns.
        earlier = read_earlier(data_dir, roles, readings)
        check_label(profile, label, earlier, are_codes)
        if earlier.is_first:
            check_first(profile, roles, noun, least)
        profile = profile.with_forms(decimal, earlier.list_forms(roles.time))
        kinds = settle_kinds(data_dir, profile, roles, earlier, reserved, chosen, ask)
        check_spelling(table.shown, profile.labels, earlier.labels)

        # The second pass, which writes the examples that rows become.
        examples = plan_examples(table, profile, roles, readings, earlier.is_first)
        plan = Plan(roles, noun, examples.settings, kinds)
        imported = write_table_span(table, profile, plan, data_dir)
        new = {name: count for name, count in examples.counts.items() if name not in earlier.labels}
        warnings = [*examples.warnings, *warn_of_few(noun, new, least), *warn_of_spellings(new)]
        warnings += warn_of_cells(profile, roles, noun)
        remarks = [*imported.remarks, *remark_on_categories(profile, kinds, vocabulary)]
        if earlier.kinds is None:
            warnings += warn_of_photos(profile, roles, kinds)
            remarks += explain_categories(profile, kinds, chosen)
        return replace(imported, remarks=tuple(remarks), warnings=tuple(warnings))


def _open_source(
    src: str, scratch: Path, data_dir: Path, roles: Roles, query: str, sheet: str
) -> tuple[Table, Roles]:
    """Opens a table, and completes the roles by those of earlier spans. Raises as `import_table` does."""
    table = open_table(src, scratch, roles.columns, query, sheet)
    if not roles.text and is_json(table.path):
        raise UsageError(
            f"{src} has JSON lines, but no column of texts is named.",
            "Tables are read from CSV, .xlsx, Parquet and databases.",
            "Name the column with --text COLUMN, or write the table as CSV.",
        )
    return table, find_roles(data_dir, table, roles)


def _check_names(table: Table, roles: Roles, chosen: Mapping[str, str], reserved: Collection[str]) -> None:
    """Refuses a table that lacks a named column, has one twice, or calls one like another feature.

    Raises DataRefused for the second, and UsageError for the others.
    """
    check_columns(table, [*roles.columns, *chosen])
    if not roles.text:
        used = [name for name, kind in chosen.items() if kind != LEAVE_OUT]
        check_names(table.shown, [*used, roles.time, "" if roles.group == "group" else roles.group], reserved)
    names = roles.columns if roles.text else list(filter(None, table.header))
    check_once(table.shown, table.header, names, ())
