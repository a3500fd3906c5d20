"""Import of what a phone's page exports: checked answers as examples, and served.csv, which has all of them.

release.json      the name of the model
labels.csv, photos/ | rows.csv | texts.csv      what a person checked
served.csv        example, version, variant, said, score, captured_at, device, chosen: how an answer came
                  to be checked, `random` or `person`; empty if it was not
"""

import csv
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from data.spans.layout import SERVED, Span, add_span
from data.tables.source import list_columns
from edgeline.errors import DataRefused
from edgeline.records.columns import write_cell
from edgeline.records.times import parse_time
from edgeline.records.workload import Workload

RELEASE, _PHOTOS, _ROWS, _TEXTS = "release.json", "labels.csv", "rows.csv", "texts.csv"
_MOST_BYTES = 2**31
_LABEL, _GROUP, _TIME = "edgeline.label", "edgeline.group", "edgeline.captured_at"


def is_export(source: Path) -> bool:
    """Tells whether a file was exported by the page."""
    if not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return {RELEASE, SERVED} <= set(archive.namelist())


@contextmanager
def unpack(source: Path) -> Iterator[tuple[Path, str]]:
    """Unpacks an export into a temporary folder; yields it, and the name of the model.

    Raises:
        DataRefused: It is damaged, too large, or has a name that leads out of the folder.
    """
    with TemporaryDirectory() as scratch, zipfile.ZipFile(source) as archive:
        try:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
            if odd := [name for name in archive.namelist() if ".." in PurePosixPath(name).parts]:
                raise ValueError(f"it has the name {odd[0]!a}")
            archive.extractall(scratch)
            model = str(json.loads(Path(scratch, RELEASE).read_bytes())["model"])
        except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile, RuntimeError) as error:
            raise DataRefused(
                f"{source} cannot be read: {error}.",
                "It is not as a phone exported it.",
                "Export it again, and copy it whole.",
            ) from error
        yield Path(scratch), model


def import_export(
    folder: Path, data_dir: Path, find: Callable[[], Workload], photos: Callable[..., Any]
) -> list[str]:
    """Imports an unpacked export as one new span; returns what was done, a sentence a line.

    Rows get the columns of the workload. Photos that a span has already are not added again.

    Args:
        folder: The unpacked export.
        data_dir: The folder of spans.
        find: Returns the workload of these spans; it is called for rows only.
        photos: `import_photos` with its settings, called with a manifest and `data_dir`.

    Raises:
        DataRefused: Nothing was checked, or the columns do not fit. Others as `import_photos`.
    """
    span: Span | None
    if (folder / _PHOTOS).is_file():
        _check_some(folder / _PHOTOS)
        report = photos(folder / _PHOTOS, data_dir)
        span, sentences = report.span, report.sentences()
        if span:
            shutil.copy(folder / SERVED, Path(str(span.path), SERVED))
        return sentences
    name = _ROWS if (folder / _ROWS).is_file() else _TEXTS
    rows = _check_some(folder / name)
    if name == _ROWS:
        workload = find()
        rows = [_fit(row, workload) for row in rows]

    def fill(target: Path) -> None:
        shutil.copy(folder / SERVED, target / SERVED)
        with (target / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    span = add_span(data_dir, fill)
    return [f"{span.path} holds {len(rows)} rows that a person checked on a phone."]


def _check_some(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise DataRefused(
            "No answer was checked on this phone.",
            "Only what a person checked can be learned from.",
            "Check answers on the page, then export again.",
        )
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
