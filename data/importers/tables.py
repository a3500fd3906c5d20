"""Import of anyone's table or texts as one new span, with the workload that trains on them.

The source is read twice: once to learn what each column is, which `table.yaml` then says, once to write it.
Columns that no model should see are left out and named: those with one value, those that identify rows, those
that give the label away, and text of many words.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from data.importers.changed_columns import describe_changes, read_as_before
from data.importers.column_kinds import (
    Ask,
    Described,
    add_columns,
    ask_for_new,
    check_first,
    check_label,
    check_names,
    check_week,
    describe_table,
    explain_column,
    find_missing,
)
from data.importers.import_report import (
    TableReport,
    check_spelling,
    describe_columns,
    warn_of_few,
    warn_of_labels,
)
from data.importers.known_rows import count_lacking, list_columns
from data.importers.table_examples import check_cells, plan_examples
from data.importers.table_file import Role, keep_table_file, list_reserved
from data.importers.table_profile import TableProfile, add_endings, profile_table
from data.importers.table_remarks import (
    explain_columns,
    remark_on_categories,
    warn_of_long,
    warn_of_numbers,
    warn_of_photos,
)
from data.importers.table_roles import Earlier, Named, find_roles, settle_named
from data.importers.table_span import Week, write_table_span
from data.importers.unnamed_groups import find_unnamed_group
from edgeline.errors import DataRefused, UsageError
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import name_span
from edgeline.tables.files import Table, align_names, check_columns, find_names_below, open_table
from edgeline.tables.rows import check_once, is_json

_ANSWERS = ("yes", "no")


def import_table(
    src: str, data_dir: Path, named: Named, least: int = 0, vocabulary: int = 0, ask: Ask | None = None
) -> TableReport:
    """Imports a table, or texts, as one new span: all or nothing.

    Args:
        src: A file (see `open_table`; texts may be JSON lines), or the URL of a database.
        data_dir: The folder of spans; made when missing. Its `table.yaml` says how columns are read; without
            one it is written, and so are the schema, to which new labels are added later, and the workload.
        named: What a person says of the table.
        least: Rows per class that a run wants; the report warns of smaller classes. 0 for no limit.
        vocabulary: Values of a category that a model tells apart; the report names larger ones. 0: no limit.
        ask: As in `describe_table`.

    Raises UsageError if the file, database or a column does not exist, nothing can be learned of the label,
    or `table.yaml` has mistakes, and DataRefused if the file cannot be read, or too many of its rows are
    damaged.
    """
    with TemporaryDirectory() as scratch:
        week = _read_week(src, data_dir, named, Path(scratch), least, ask)
        profile, roles, earlier = week.profile, week.named.roles, week.earlier
        file = week.described.file

        # A first week of which a run would refuse too many rows is refused here.
        most = GateSettings().max_quarantine_fraction if earlier.is_first and least else 1.0
        cells = check_cells(week.table, profile, file, week.noun, most)

        # The second pass, which writes the examples that rows become.
        examples = plan_examples(week.table, profile, roles, week.named.readings, earlier.is_first)
        imported = write_table_span(week, examples.settings, data_dir)
        new = {name: count for name, count in examples.counts.items() if name not in earlier.labels}
        warnings = [*cells, *examples.warnings, *warn_of_few(week.noun, new, least), *warn_of_labels(new)]
        remarks = [*imported.remarks, *remark_on_categories(profile, file, vocabulary)]
        if earlier.file is None:
            warnings += [*warn_of_photos(profile, roles, file), *warn_of_numbers(profile, file, bool(ask))]
            warnings += week.shape
            remarks += explain_columns(profile, file, named.chosen)
        return replace(imported, remarks=tuple(remarks), warnings=tuple(warnings))


def inspect_table(
    src: str, data_dir: Path, named: Named, ask: Ask | None = None, explain: str = ""
) -> Iterator[str]:
    """Reads a table once, writes how its columns are read as `table.yaml`, and yields it as sentences.

    Args:
        src: A file, or the URL of a database, whose query is in `named`.
        data_dir: The folder of spans; a `table.yaml` that is there stays.
        named: The options of an import.
        ask: Asks a person at a terminal; None without one.
        explain: A column: yields which rules decide on it, and writes nothing. Empty for the whole table.

    Raises as `import_table` does.
    """
    with TemporaryDirectory() as scratch:
        week = _read_week(src, data_dir, named, Path(scratch), 0, ask)
    if explain:
        check_columns(week.table, [explain])
        yield from explain_column(week.profile, week.named, explain)
        return
    file = week.described.file
    yield keep_table_file(data_dir, replace(file, source=week.profile.shown), week.earlier.file is None)
    described = week.described
    read = described.read
    yield from describe_columns([*read.numbers], read.categories, described.guessed, described.left_out)
    yield from explain_columns(week.profile, file, named.chosen)
    warnings = [*week.shape, *warn_of_numbers(week.profile, file, bool(ask))]
    yield from (f"Warning: {warning}" for warning in warnings)


def _read_week(src: str, data_dir: Path, named: Named, scratch: Path, least: int, ask: Ask | None) -> Week:
    """Opens a table, reads its rows once, and finds or checks how its columns are read.

    Raises as `import_table` does.
    """
    named, earlier = settle_named(src, data_dir, named)
    noun = "text" if named.roles.text else "reading" if named.readings > 1 else "row"
    chosen = dict(named.chosen)
    are_codes = chosen.pop(named.roles.label, "") == Role.CATEGORY
    named = replace(named, chosen=chosen)

    # The source, and the first pass over its rows.
    entries = earlier.file.columns if earlier.file else {}
    names = [*named.roles.columns, *named.chosen, *named.add, *named.renamed.values(), *entries]
    table = align_names(_open_source(src, scratch, named), names)
    table = read_as_before(table, named, earlier.file)
    roles = find_roles(table, named.roles, earlier.roles)
    named = replace(named, roles=roles)
    _check_names(table, named, earlier)
    if lines := find_names_below(table, roles.label):
        raise DataRefused(
            f"{table.shown} has names in {' and '.join(lines)} too, below those of its first line.",
            "They would be read as rows, and their names as values.",
            "Remove these lines, or join their names with those of the first line.",
        )
    shape = tuple(warn_of_long(table, roles)) if earlier.file is None else ()
    if shape and named.readings > 1:
        raise DataRefused(
            f"The readings of {table.shown} are one to a row.", shape[0], "Turn it, and import the result."
        )
    table = add_endings(table, roles, data_dir)
    missing = {name: entry.missing for name, entry in entries.items()}
    profile = profile_table(table, roles, missing)

    # The label, the group, and the other columns.
    check_label(profile, roles.label, earlier, are_codes)
    if earlier.is_first:
        check_first(profile, roles, noun, least)
    profile, named, warnings = _read_forms(table, profile, named, earlier, ask)
    if earlier.file is None or roles.text:
        described = describe_table(profile, named, ask)
    else:
        described = check_week(profile, earlier.file)
        named, described = _add_columns(data_dir, profile, named, described, ask)
    if earlier.file:
        described = replace(described, changed=describe_changes(earlier.file, named, data_dir))
    check_spelling(table.shown, profile.labels, earlier.labels)
    return Week(table, profile, named, earlier, described, noun, (*shape, *warnings))


def _read_forms(
    table: Table, profile: TableProfile, named: Named, earlier: Earlier, ask: Ask | None
) -> tuple[TableProfile, Named, tuple[str, ...]]:
    """Returns the profile with the forms of cells, the columns with a role, and a warning of a group.

    The table is read once more if a person names a group, or texts that stand for no reading.
    """
    file, roles = earlier.file, named.roles
    forms = file.forms if file else {}
    profile = profile.with_forms(named.decimal, forms, roles.time)
    is_open = file is None and not roles.text
    group = find_unnamed_group(table, profile, named) if is_open and not roles.group else None
    if group and ask and ask(group.question, _ANSWERS, _ANSWERS[0]) == _ANSWERS[0]:
        named = replace(named, roles=replace(roles, group=group.name))
    missing = find_missing(profile, named.roles, ask if is_open else None)
    if missing or named.roles != roles:
        known = {name: entry.missing for name, entry in file.columns.items()} if file else {}
        profile = profile_table(table, named.roles, {**known, **missing})
        profile = profile.with_forms(named.decimal, forms, roles.time)
    return profile, named, (group.warning,) if group and not ask else ()


def _add_columns(
    data_dir: Path, profile: TableProfile, named: Named, described: Described, ask: Ask | None
) -> tuple[Named, Described]:
    """Adds the columns that a person names, or is asked about since no earlier span has them."""
    if ask:
        known = {*described.file.columns, *named.add, *list_columns(data_dir)}
        answers = ask_for_new(profile, known, [name for name, _ in described.left_out], ask)
        named = replace(named, add=(*named.add, *answers), chosen={**named.chosen, **answers})
    if not named.add:
        return named, described
    lacking = count_lacking(data_dir, named.add)
    since = 1 + max((number for number, rows in lacking.items() if rows), default=0)
    described = add_columns(profile, named, described, name_span(since), ask)
    return named, replace(described, lacking=sum(lacking.values()))


def _open_source(src: str, scratch: Path, named: Named) -> Table:
    """Opens a table. Raises as `import_table` does."""
    roles = named.roles
    columns = [*replace(roles, time="").columns, *roles.time.split("+")] if roles.time else roles.columns
    table = open_table(src, scratch, columns, named.query, named.sheet, named.encoding)
    if not named.roles.text and is_json(table.path):
        raise UsageError(
            f"{src} has JSON lines, but no column of texts is named.",
            "Tables are read from CSV, .xlsx, Parquet and databases.",
            "Name the column with --text COLUMN, or write the table as CSV.",
        )
    return table


def _check_names(table: Table, named: Named, earlier: Earlier) -> None:
    """Refuses a table that lacks a named column, has one twice, or calls one like another feature.

    Raises DataRefused for the second, and UsageError for the others.
    """
    roles = named.roles
    check_columns(table, [*roles.columns, *named.chosen, *named.add])
    if not roles.text:
        used = [name for name, kind in named.chosen.items() if kind != Role.LEAVE_OUT]
        used += [*named.add, roles.time, "" if roles.group == "group" else roles.group]
        check_names(table.shown, used, list_reserved(named.readings))
    read = earlier.file.columns if earlier.file else {}
    names = [name for name, entry in read.items() if entry.role != Role.LEAVE_OUT]
    check_once(table.shown, table.header, [*roles.columns, *named.chosen, *named.add, *names], ())
