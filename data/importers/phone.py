"""Import of what a phone's page exports: checked answers as examples, and served.csv, which has all of them.

release.json      the name of the model
labels.csv, photos/ | rows.csv | texts.csv      what a person checked
served.csv        example, version, variant, said, score, captured_at, device, chosen: how an answer came
                  to be checked, `random` or `person`; empty if it was not
"""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from data.importers.import_report import NOTHING_NEW, ImportReport
from data.importers.workload_files import WORKLOAD, check_kind
from data.spans.layout import Span, add_span, find_usable_spans, replace_file
from data.spans.served import read_served
from data.spans.source import Rejected
from data.tables.source import list_columns
from edgeline.errors import DataRefused, EdgelineError
from edgeline.labels import format_count, join_names
from edgeline.records.columns import parse_time, write_cell
from edgeline.records.ingest import SERVED
from edgeline.records.served import Answer
from edgeline.records.workload import Workload
from edgeline.tables.rows import read_header, read_lines, read_rows
from edgeline.tables.sheets import mark_cell, unmark_cell
from edgeline.tables.unpacking import open_zip

RELEASE, _PHOTOS, _ROWS, _TEXTS = "release.json", "labels.csv", "rows.csv", "texts.csv"
# The kinds of workloads whose examples each table has.
_KINDS = {_PHOTOS: ("photos",), _ROWS: ("table", "sensor"), _TEXTS: ("text",)}
# Limits for all files of an export, and for each that is no photo: these are read into memory.
_MOST_BYTES, _MOST_TABLE_BYTES = 2**31, 2**25
_LABEL, _GROUP, _TIME = "edgeline.label", "edgeline.group", "edgeline.captured_at"


def is_export(source: Path) -> bool:
    """Tells whether a file was exported by the page; False for one that cannot be read."""
    with suppress(OSError, ValueError, zipfile.BadZipFile), open_zip(source) as archive:
        return {RELEASE, SERVED} <= set(archive.namelist())
    return False


@contextmanager
def unpack(source: Path) -> Iterator[tuple[Path, str]]:
    """Unpacks an export into a temporary folder; yields it, and the name of the model.

    Raises DataRefused if it is damaged or too large, or nothing in it was checked.
    """
    with TemporaryDirectory() as scratch:
        try:
            with open_zip(source) as archive:
                _check_sizes(archive)
                archive.extractall(scratch)  # never outside of the folder
            model = str(json.loads(Path(scratch, RELEASE).read_bytes())["model"])
            _read(Path(scratch, SERVED))
            table = Path(scratch, _find_table(Path(scratch)))
            rows = [
                {unmark_cell(name): unmark_cell(cell) for name, cell in row.items()} for row in _read(table)
            ]
            if not rows:
                raise ValueError("no answer in it was checked by a person")
            # The page exports a sheet for people; from here on it is data. served.csv stays a sheet.
            with table.open("w", encoding="utf-8", newline="") as file:
                _write(file, rows, "\r\n")
        except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile, RuntimeError) as error:
            raise DataRefused(
                f"{source} cannot be imported: {error}.",
                "It has to be as a phone's page exports it, with answers that a person checked.",
                "Check answers on the page, export them again, and copy the file whole.",
            ) from error
        yield Path(scratch), model


def import_export(
    folder: Path,
    data_dir: Path,
    find: Callable[[], Workload],
    import_photos: Callable[[Path, Path], ImportReport],
) -> list[str]:
    """Imports an unpacked export as one new span; returns what was done, a sentence a line.

    Args:
        folder: The unpacked export.
        data_dir: The folder of spans.
        find: Returns the workload of these spans, whose columns rows get.
        import_photos: That of `importing.py`, with its settings.

    Raises:
        DataRefused: The columns, the kind of examples or a label do not fit; else as `import_photos`.
    """
    name = _find_table(folder)
    rows = _read(folder / name)
    check_kind(data_dir, f"The export has {name}", *_KINDS[name])
    if name == _PHOTOS:
        report = import_photos(folder / _PHOTOS, data_dir)
        spans = [report.span] if report.span else find_usable_spans(data_dir)[-1:]
        return [*report.sentences(), *(_add_served(folder / SERVED, span) for span in spans)]
    if name == _ROWS or (data_dir / WORKLOAD).is_file():
        workload = find()
        label_column = "label"
        if name == _ROWS:
            label_column = workload.label_column
            rows = [_fit(row, workload) for row in rows]
        _check_labels({row[label_column] for row in rows}, workload)
    rows = _leave_out_known(folder, name, rows, data_dir)
    if not rows:
        added = [_add_served(folder / SERVED, span) for span in find_usable_spans(data_dir)[-1:]]
        return [NOTHING_NEW, *added]

    def fill(target: Path) -> None:
        shutil.copy(folder / SERVED, target / SERVED)
        with (target / name).open("w", encoding="utf-8", newline="") as file:
            _write(file, rows)

    span = add_span(data_dir, fill)
    return [f"{span.path} holds {format_count(len(rows), 'row')} that a person checked on a phone."]


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuses an export that would fill the disk or the memory. Raises ValueError."""
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if sum(sizes.values()) > _MOST_BYTES:
        raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
    for name in (RELEASE, SERVED, _PHOTOS, _ROWS, _TEXTS):
        if sizes.get(name, 0) > _MOST_TABLE_BYTES:
            raise ValueError(f"its {name} has more than {_MOST_TABLE_BYTES:,} bytes")


def _leave_out_known(
    folder: Path, name: str, rows: list[dict[str, str]], data_dir: Path
) -> list[dict[str, str]]:
    """Returns the rows of an export that no usable span has already: a phone exports all that it holds.

    In served.csv, the answers on the others are left out, and those on new rows name their new lines.
    """
    columns = list(rows[0])

    def make_key(cells: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(cells.get(column, "").strip() for column in columns)

    known_rows = set[tuple[str, ...]]()
    known_answers = set[Answer]()
    for span in find_usable_spans(data_dir):
        if (path := Path(str(span.path), name)).is_file():
            items = read_rows(path, columns, (span.name,))
            known_rows.update(make_key(item[1]) for item in items if not isinstance(item, Rejected))
            known_answers.update(answer for _, answer in _list_checked(span))
    checked = dict(_list_checked(Span(0, folder)))
    new = list[dict[str, str]]()
    moved = dict[str, str]()
    line = 2
    waiting = list[dict[str, str]]()
    for item, row in zip(read_rows(folder / name, ()), rows, strict=False):
        waiting.append(row)  # the last row of a window names it
        if (place := item.id if isinstance(item, Rejected) else item[0]) not in checked:
            continue
        moved[place] = ""
        if checked[place] not in known_answers or not known_rows.issuperset(map(make_key, waiting)):
            for record in waiting:
                moved[place] = f"{name}:{line}"
                line += 1 + sum(cell.count("\n") for cell in record.values())
            new += waiting
        waiting = []
    new += waiting
    if len(new) < len(rows):
        with (folder / SERVED).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            answers = [answer for answer in reader if moved.get(answer.get("example", ""), True)]
        with (folder / SERVED).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, reader.fieldnames or (), extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            for answer in answers:
                example = answer.get("example", "")
                writer.writerow(answer | {"example": moved.get(example, example)})
    return new


def _list_checked(span: Span) -> Iterator[tuple[str, Answer]]:
    """Yields the place of each example that phones had answered, and the answer without it."""
    for answer in read_served(span):
        if isinstance(answer, Answer) and answer.example:
            yield answer.example.partition("/")[2], replace(answer, example="")


def _find_table(folder: Path) -> str:
    """Returns the name of the table of an unpacked export. Raises ValueError if it has not exactly one."""
    (name,) = (name for name in (_PHOTOS, _ROWS, _TEXTS) if (folder / name).is_file())
    return name


def _check_labels(labels: set[str], workload: Workload) -> None:
    if unknown := sorted(labels - {"", *workload.labels}):
        raise DataRefused(
            f"The export has the label {join_names(unknown)}, which {workload.name} does not have.",
            "A run would quarantine the examples with it.",
            "Import it into the data that the model on the phone was trained on.",
        )


def _add_served(source: Path, span: Span) -> str:
    """Adds the answers that a span lacks, of all that a phone holds; returns a sentence."""
    target = Path(str(span.path), SERVED)
    file = io.StringIO(newline="")
    lines = read_lines(target, (span.name,), "surrogateescape") if target.is_file() else ()
    old_lines = [text for line in lines if (text := line.rstrip("\r\n"))]  # without the `sep=,` of Excel
    old_lines, old_set = old_lines or source.read_text("utf-8").splitlines()[:1], {*old_lines}
    header = [name.strip() for name in next(csv.reader(old_lines))]  # an app's own may be in another order
    writer = csv.DictWriter(file, header, extrasaction="ignore", lineterminator="\n")
    answers = _read(source)  # which reads a sheet
    writer.writerows({name: mark_cell(cell) for name, cell in answer.items()} for answer in answers)
    new = [line for line in file.getvalue().splitlines() if line not in old_set]
    content = "".join(f"{line}\n" for line in (*old_lines, *new))
    replace_file(target, content.encode(errors="surrogateescape"))  # a row that is not UTF-8 stays as it is
    return f"{span.name}/{SERVED} has {format_count(len(old_lines) + len(new) - 1, 'answer')} of phones."


def _write(file: TextIO, rows: Sequence[Mapping[str, str]], end: str = "\n") -> None:
    writer = csv.DictWriter(file, list(rows[0]), lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)


def _read(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a file. Raises ValueError if it is no table, or a row has more or fewer cells."""
    rows = list[dict[str, str]]()
    try:
        read_header(path)
        for item in read_rows(path, ()):
            if isinstance(item, Rejected):
                raise ValueError(f"{item.id}: {item.detail.rstrip('.')}")
            rows.append(dict(item[1]))
    except EdgelineError as error:
        raise ValueError(error.found.replace(str(path), path.name).rstrip(".")) from None
    return rows


def _fit(row: dict[str, str], workload: Workload) -> dict[str, str]:
    """Returns a row with the columns of a workload; label, group and time come from the page."""
    own = {workload.label_column: row[_LABEL], workload.group_column: row[_GROUP]}
    if time := workload.time_column:
        own[time] = write_cell(parse_time(row[_TIME]), workload.column(time).form)
    if missing := [name for name in list_columns(workload) if name not in row | own]:
        raise DataRefused(
            f"The export has no column {', '.join(missing)}.",
            f"The workload {workload.name} reads other columns than the model on the phone.",
            "Import it into the data that this model was trained on.",
        )
    # A column that the model reads too, such as the machine, is as it was entered.
    return {name: (own | row)[name] for name in list_columns(workload)}
