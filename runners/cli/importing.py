"""The import of a source, for `edgeline data import` and `edgeline run SRC`: its options and questions."""

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeline.cli.options import Decorator
from edgeline.errors import DataRefused, UsageError
from edgeline.store.locations import is_url
from edgeline.workspace.workloads import WORKLOAD
from runners.shared.progress import Progress, show_progress

if TYPE_CHECKING:
    from data.importers.import_report import ImportReport, PhoneReport, TableReport
    from data.importers.table_roles import Named
    from edgeline.records.workload import Workload
    from edgeline.tables.decoder_process import DecoderProcess
    from pipeline.settings import Settings

_Result = TypeVar("_Result")

# The options that name the kind of a column.
_KINDS = ("category", "number", "leave-out")
_SOURCES = (
    "photos: a folder per class, a .zip or .tar of it, a CSV or JSONL manifest, TFRecord files; a table: CSV,"
    " .xlsx, Parquet, TFRecords, or the URL of a database; texts: the same, or JSONL; what a phone's page"
    " exported"
)
# Limits of the process that describes photos, which no photo can reach: their pixels are decoded already.
_SECONDS, _GIGABYTES = 3600, 10**6


def _option(metavar: str | None, text: str, default: Any = "", kind: click.ParamType | None = None) -> Any:
    """Returns a field of `ImportOptions` that is an option of a command; one with a tuple may be repeated."""
    if default == ():
        text = f"{text}; may be repeated"
    return field(default=default, metadata={"metavar": metavar, "help": text, "type": kind})


@dataclass(frozen=True)
class ImportOptions:
    """The options that say how a table or texts are read; empty for those that were not given."""

    label: str = _option("COLUMN", "the column of a table or of texts to learn")
    text: str = _option("COLUMN", "the column of texts; no other column is then read")
    group: str = _option("COLUMN", "the column whose values stay in one split: customer, author")
    time: str = _option("COLUMN", "the column of dates or times of a table, best in ISO 8601")
    query: str = _option("SQL", "the SELECT that returns the rows of a database")
    sheet: str = _option("NAME", "the sheet of a workbook to read")
    encoding: str = _option("NAME", "the encoding of a text file, such as cp1251, where it cannot be found")
    readings: int | None = _option(
        "N",
        "rows of a group, in the order of --time, that make an example: sensors (1)",
        None,
        click.IntRange(1, 4096),
    )
    decimal: str | None = _option(
        None, "the decimal separator, where the cells are ambiguous", None, click.Choice((",", "."))
    )
    category: tuple[str, ...] = _option("COLUMN", "a column of codes or names", ())
    number: tuple[str, ...] = _option("COLUMN", "a column of numbers, or of dates to learn from", ())
    leave_out: tuple[str, ...] = _option("COLUMN", "a column to hide from the model", ())
    # Columns that are not as in earlier spans.
    add: tuple[str, ...] = _option(
        "COLUMN", "a column that earlier spans do not have, for the model from now on", ()
    )
    rename: tuple[str, ...] = _option(
        "OLD=NEW", "the name that a column of earlier spans has from now on", ()
    )
    drop: tuple[str, ...] = _option("COLUMN", "a column of earlier spans that is missing from now on", ())

    def list_kinds(self) -> list[tuple[str, str]]:
        """Returns the options that name the kind of a column, each with the column."""
        pairs = []
        for option in _KINDS:
            pairs += [(option, name) for name in getattr(self, option.replace("-", "_"))]
        return pairs

    def to_named(self) -> "Named":
        """Returns the options as the import of a table takes them."""
        from data.importers.table_file import Roles
        from data.importers.table_roles import Named

        roles = Roles(self.label, self.group, self.time, self.text)
        chosen = {name: option.replace("-", " ") for option, name in self.list_kinds()}
        return Named(
            roles,
            self.readings or 0,
            self.decimal or "",
            chosen,
            self.query,
            self.sheet,
            self.encoding,
            self.add,
            _parse_renames(self.rename),
            self.drop,
        )

    def list_words(self) -> list[str]:
        """Returns the options as the words of a command."""
        words = []
        for name, value in vars(self).items():
            given = value if isinstance(value, tuple) else [value]
            for each in filter(None, given):
                words += [f"--{name.replace('_', '-')}", str(each)]
        return words

    def find_first(self) -> str:
        """Returns the name of the first option that was given; empty if none was."""
        return next((name.replace("_", "-") for name, value in vars(self).items() if value), "")


IMPORT: Sequence[Decorator] = tuple(
    click.option(
        f"--{option.name.replace('_', '-')}",
        default=option.default,
        multiple=option.default == (),
        **option.metadata,
    )
    for option in fields(ImportOptions)
)


def _parse_renames(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        old, _, new = pair.partition("=")
        if not old or not new:
            raise UsageError(
                f"--rename is {pair!r}.",
                "It has the name of a column in earlier spans, and its name from now on.",
                "Write it as --rename OLD=NEW.",
            )
    return dict(pair.split("=", 1) for pair in pairs)


def make_source_argument(required: bool) -> Decorator:
    """Returns the argument that names what to import."""
    metavar, text = "SRC", _SOURCES
    if not required:
        metavar = "[SRC]"
        text = (
            f"what to import first, into WORKSPACE/data/NAME; if nothing is new, --if-changed holds; {text}"
        )
    add: Decorator = click.argument("source", metavar=metavar, required=required, help=text)
    return add


def import_source(
    source: str, data: Path, options: ImportOptions, as_json: bool
) -> "ImportReport | TableReport | PhoneReport":
    """Imports a source into a folder of spans, and shows its progress; asks for what is missing.

    Args:
        source: A path, or the URL of a database.
        data: The folder of spans, made if it is missing; settings are those of its workload, if it has one.
        options: They say how a table or texts are read; if none is given, the source may have photos.
        as_json: Standard output gets JSON: then nothing is asked, even on a terminal.

    Raises:
        UsageError: It cannot be imported like that, or there is no terminal to ask on.
        DataRefused: Nothing in it can be imported.
    """
    from data.importers import archives, phone

    path = Path(source)
    with show_progress(f"importing {source}") as progress:
        if path.is_file() and phone.is_export(path):
            return _import_from_phone(path, data)
        if path.is_file() and not options.find_first() and archives.holds_photos(path):
            with archives.unpack_photos(path) as folder:
                return replace(_import_photos(folder, data), source=path)

        on_terminal = not as_json and sys.stdin.isatty() and sys.stderr.isatty()
        options = _complete(source, data, options, progress if on_terminal else None)
        if not options.label:
            return _import_photos(path, data)

        from data.importers.tables import import_table
        from runners.cli.asking import ask_choice

        settings = _load_settings(data / WORKLOAD)
        least, vocabulary = settings.gate.min_examples_per_class, settings.model.vocabulary
        ask = partial(ask_choice, progress) if on_terminal else None

        def read(options: ImportOptions) -> "TableReport":
            return import_table(source, data, options.to_named(), least, vocabulary, ask)

        return _settle_changes(read, options, progress if on_terminal else None)


def inspect_source(source: str, data: Path, options: ImportOptions, explain: str) -> Sequence[str]:
    """Reads a table once, and writes how each of its columns is read; asks for what is missing.

    Args:
        source: A path, or the URL of a database.
        data: The folder of spans, in which `table.yaml` is written; earlier spans there count.
        options: They say how the table is read.
        explain: A column whose rules are explained, and then nothing is written; empty for the whole table.

    Returns:
        Sentences about it.

    Raises:
        UsageError: It has photos, cannot be read like that, or there is no terminal to ask on.
        DataRefused: Nothing in it can be imported.
    """
    from data.importers.manifest import SUFFIXES, inspect_manifest
    from data.importers.tables import inspect_table
    from runners.cli.asking import ask_choice

    with show_progress(f"inspecting {source}") as progress:
        on_terminal = sys.stdin.isatty() and sys.stderr.isatty()
        options = _complete(source, data, options, progress if on_terminal else None)
        if not options.label and Path(source).suffix.lower() in SUFFIXES and not explain:
            return list(inspect_manifest(Path(source), data))
        if not options.label:
            raise UsageError(
                f"{source} has photos.",
                "Only the columns of a table are inspected.",
                f"Import it: `edgeline data import {shlex.quote(source)} --data {shlex.quote(str(data))}`.",
            )
        ask = partial(ask_choice, progress) if on_terminal and not explain else None

        def read(options: ImportOptions) -> Sequence[str]:
            return list(inspect_table(source, data, options.to_named(), ask, explain))

        return _settle_changes(read, options, progress if on_terminal else None)


def _settle_changes(
    read: Callable[[ImportOptions], _Result], options: ImportOptions, progress: Progress | None
) -> _Result:
    """Returns what `read` does, with the answers about columns that changed if it asks for any.

    Raises UsageError with the whole command without `progress`, where there is no terminal to ask on.
    """
    from data.importers.changed_columns import ColumnsChanged
    from runners.cli.asking import ask_changes

    try:
        return read(options)
    except ColumnsChanged as changed:
        rename, drop = ask_changes(changed, progress)
    return read(replace(options, rename=(*options.rename, *rename), drop=(*options.drop, *drop)))


def _import_photos(source: Path, data: Path) -> "ImportReport":
    from data.importers.importing import import_photos

    settings = _load_settings(data / WORKLOAD)
    with _start_describing() as describe:
        return import_photos(source, data, settings.gate.min_examples_per_class, describe, settings.data)


def _complete(source: str, data: Path, options: ImportOptions, progress: Progress | None) -> ImportOptions:
    """Returns the options with the columns to learn and of texts: those of earlier spans, or else as asked.

    The label stays empty for photos. Without `progress`, there is no terminal to ask on.
    """
    from data.importers.guesses import guess_columns
    from data.importers.table_roles import read_roles
    from data.importers.tfrecords import holds_photos
    from data.importers.workload_files import read_schema
    from runners.cli.asking import ask_columns

    # A file without photos is a table, or a manifest of them.
    is_readable = is_url(source) or (Path(source).is_file() and not holds_photos(Path(source)))
    roles = read_roles(data) if options.find_first() or is_readable else None
    if roles and not options.label:
        options = replace(options, label=roles.label, text=options.text or roles.text)
    if not options.label and (options.find_first() or is_readable):
        guess = guess_columns(source, options.query, options.sheet, read_schema(data)[1], options.encoding)
        if options.find_first() or not guess.lists_photos:
            with progress.pause() if progress else nullcontext():
                label, text = ask_columns(guess, options.text, on_terminal=progress is not None)
            options = replace(options, label=label, text=text)
    if options.label:
        _check_uses(options)
    return options


def _check_uses(options: ImportOptions) -> None:
    """Refuses a kind for a column that another option names. Raises UsageError."""
    uses = dict[str, str]()
    for option, name in (
        ("label", options.label),
        ("group", options.group),
        ("time", options.time),
        *options.list_kinds(),
    ):
        earlier = uses.get(name, option)
        # The numbers of a label may be codes.
        if option in _KINDS and earlier != option and (earlier, option) != ("label", "category"):
            raise UsageError(
                f"--{earlier} and --{option} are both {name}.",
                "A column is read in one way.",
                "Remove one of the two.",
            )
        uses[name] = option


def _import_from_phone(source: Path, data: Path) -> "PhoneReport":
    """Imports what a phone's page exported, for the workload in the folder, or else the built-in one."""
    from data.importers import phone
    from data.importers.import_report import PhoneReport
    from data.importers.importing import import_photos
    from pipeline.workloads import find_workload, with_features

    with phone.unpack(source) as (folder, model), _start_describing() as describe:
        own = data / WORKLOAD

        def find() -> "Workload":
            workload = with_features(find_workload(str(own) if own.is_file() else model))
            if workload.name != model:
                raise DataRefused(
                    f"{source} was exported from {model}, and {data} is of {workload.name}.",
                    "Its answers are those of another model, and would count as this one's.",
                    "Pass the folder of its model with --data.",
                )
            return workload

        photos = partial(import_photos, describe=describe, limits=_load_settings(own).data)
        return PhoneReport(source, phone.import_export(folder, data, find, photos))


def _start_describing() -> "closing[DecoderProcess]":
    """Returns a process that describes photos: the run after an import needs the memory, and may fork."""
    from edgeline.tables.decoder_process import DecoderProcess
    from trainer_module.networks.photo_features import describe_photo

    return closing(DecoderProcess(describe_photo, _SECONDS, _GIGABYTES))


def _load_settings(workload: Path) -> "Settings":
    """Returns the settings of runs on the data, as far as its workload file sets them."""
    from pipeline.settings import load_settings
    from pipeline.workloads import find_workload

    return load_settings(find_workload(str(workload)).settings if workload.is_file() else {})
