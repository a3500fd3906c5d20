"""Reads files into the examples that a model's preprocessing.json asks for, and answers them."""

import os
import shutil
import sys
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgeline.bundle import Answer, Bundle
from edgeline.edge.contracts import row
from edgeline.edge.interpreter import KINDS
from edgeline.errors import EdgelineError, UsageError
from edgeline.records.columns import ISO, MISSING, CellError, parse_cell
from edgeline.records.ingest import WITHOUT_EXAMPLES
from edgeline.records.rejection import Rejected
from edgeline.store.locations import check_size, read_bytes
from edgeline.tables.files import align_names, find_endings, open_table
from edgeline.tables.rows import check_once
from edgeline.tables.unpacking import HIDDEN, PHOTO_SUFFIXES, TABLES, decode_text

# A larger photo or text is refused.
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Input:
    """One example: its place, and its content for `Bundle.predict`, or why it has none."""

    place: str
    content: Any = None
    problem: str = ""
    fault: str = ""  # a short code, equal for equal kinds of problem
    clipped: tuple[str, ...] = ()  # numbers of a row, the newest of a window, beyond those of training


def check_kind(bundle: Bundle) -> None:
    """Refuses a model of a custom kind, whose inputs only its owner can prepare. Raises UsageError."""
    kind = bundle.contract.get("kind", "image")
    manifest = bundle.manifest
    if kind not in KINDS:
        raise UsageError(
            f"{manifest.model} {manifest.version} reads inputs of the kind {kind!r}.",
            f"Only models of the kinds {', '.join(KINDS)} are predicted here.",
            f"Run its file in a program of your own: edge/{manifest.model}/{manifest.version}/"
            f"{manifest.default.file} in the release store, beside its preprocessing.json.",
        )


def find_sources(name: str, contract: Mapping[str, Any], scratch: Path) -> list[Path | Input]:
    """Returns the sources of examples that a name of a command line stands for.

    They are the files of `find_inputs`, a text where there is no such file and the model reads texts, or what
    the standard input has: rows of a table, or one photo or text.

    Args:
        name: A file, a folder, a text, or `-` for the standard input.
        contract: The content of preprocessing.json.
        scratch: A folder for the rows of the standard input, needed until they are read.

    Raises:
        UsageError: As for `find_inputs`.
        OSError: The standard input has too many bytes.
    """
    kind = contract.get("kind", "image")
    if name == "-" and kind == "row":
        path = scratch / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return [path]
    if name == "-":
        content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        check_size(len(content), _MOST_BYTES, Path("stdin"))
        return [_make_input("stdin", content, kind)]
    if kind == "tokens" and not os.path.exists(name) and not _is_like_path(name):
        return [Input(name, name)]
    return [*find_inputs(Path(name), contract)]


def _is_like_path(text: str) -> bool:
    """Returns whether a text that names no file may be a misspelt path."""
    has_suffix = text.lower().endswith((*TABLES, ".txt"))
    return not text or has_suffix or (os.sep in text and not any(map(str.isspace, text)))


def find_inputs(place: Path, contract: Mapping[str, Any]) -> list[Path]:
    """Returns the given file, or all files below a folder that the model can read, by path.

    Hidden files, and those of a span that hold no examples, are left out.

    Raises UsageError if the folder has no such file.
    """
    kind = contract.get("kind", "image")
    suffixes = {"image": sorted(PHOTO_SUFFIXES), "row": TABLES, "tokens": (*TABLES, ".txt")}[kind]
    if not place.is_dir():
        return [place]
    files = sorted(
        path
        for path in place.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and path.name not in WITHOUT_EXAMPLES
        and not any(part.startswith(HIDDEN) for part in path.relative_to(place).parts)
    )
    if not files:
        raise UsageError(
            f"{place} has no {', '.join(suffixes)} file.",
            "The model reads only such files.",
            "Pass another folder, or a file.",
        )
    return files


def read_inputs(path: Path | Input, contract: Mapping[str, Any], encoding: str = "") -> Iterator[Input]:
    """Yields the examples of a file: a photo; one text, or one a row of a table; a row with those before it.

    Args:
        path: The file; an example that was read already is yielded as it is.
        contract: How the model's inputs are made.
        encoding: That of a table or text, as Python names it; empty finds it by the content.

    Raises:
        DataRefused: A table cannot be read, see `edgeline.tables.files`.
        UsageError: A table lacks a column.
        EdgelineError: The contract cannot be followed.
        OSError: The file cannot be read.
    """
    kind = contract.get("kind", "image")
    if isinstance(path, Input):
        yield path
    elif kind == "row":
        names = row.list_columns(contract)
        recent: deque[list[Any]] = deque(maxlen=contract["readings"])
        # A category is the text that an import writes, whatever type its source has.
        numbers = {*names} - {column["name"] for column in contract["categories"]}
        # As the import of another week has them.
        endings = find_endings(
            (column["name"], value) for column in contract["categories"] for value in column["vocabulary"]
        )
        for record in _read_rows(path, names, encoding, typed=numbers, endings=endings):
            if record.problem:
                yield record
                continue
            try:
                clipped = tuple(row.find_beyond(record.content, contract))
            except CellError as error:
                yield Input(record.place, problem=error.found, fault=error.kind)
                continue
            recent.append([record.content[name] for name in names])
            if len(recent) == recent.maxlen:
                content = dict(zip(names, map(list, zip(*recent, strict=True)), strict=True))
                yield Input(record.place, content, clipped=clipped)
    elif kind == "tokens" and path.suffix.lower() != ".txt":
        # The column of texts has one name in spans, and another in the file that they were imported from.
        column = contract.get("column", contract["input"])
        for record in _read_rows(path, [column], encoding, contract["input"]):
            yield record if record.problem else Input(record.place, *record.content.values())
    else:
        yield _make_input(str(path), read_bytes(path, _MOST_BYTES), kind, encoding)


def _make_input(place: str, content: bytes, kind: str, encoding: str = "") -> Input:
    """Returns the example of a photo's or a text's bytes."""
    if kind != "tokens":
        return Input(place, content)
    try:
        return Input(place, decode_text(content, encoding))
    except UnicodeError as error:
        return Input(place, problem=f"Its text cannot be decoded: {error}.")


def answer(example: Input, bundle: Bundle) -> tuple[Input, Answer | None]:
    """Returns an example with its answer, or with the problem because of which there is none."""
    if example.problem:
        return example, None
    try:
        return example, bundle.predict(example.content)
    except EdgelineError as error:
        return replace(example, problem=error.found), None


def _read_rows(
    path: Path,
    names: list[str],
    encoding: str,
    instead: str = "",
    typed: Collection[str] = (),
    endings: Mapping[str, str] | None = None,
) -> Iterator[Input]:
    """Yields each row of a table, with its cells by column.

    The column `instead`, if the table has it, is read for each of `names` that is missing; `endings` are
    those of `Table`.
    """
    with TemporaryDirectory() as scratch:
        table = align_names(open_table(str(path), Path(scratch), names, encoding=encoding), [*names, instead])
        table = replace(table, endings=endings or {})
        if instead and instead in table.header:  # pandas' index is a column without a name
            names = [name if name in table.header else instead for name in names]
        check_once(path, table.header, names, ())
        if missing := [name for name in names if name not in table.header]:
            raise UsageError(
                f"{path} has no column {', '.join(map(repr, missing))};"
                f" found: {', '.join(table.header)[:300]}.",
                "The model was trained on these columns.",
                "Name the columns as in the training data; additional columns are ignored.",
            )
        for row_or_fault in table.rows(names):
            if isinstance(row_or_fault, Rejected):
                yield Input(row_or_fault.id, problem=row_or_fault.detail, fault=row_or_fault.reason)
            else:
                types = {name: kind for name, kind in table.types.items() if name in typed}
                place, cells = row_or_fault
                yield Input(place, {name: _convert(cell, types.get(name)) for name, cell in cells.items()})


def _convert(cell: str, kind: str | None) -> Any:
    """Converts the text of a cell to the type that its source has for it, if any."""
    if cell.lower() in MISSING:
        return cell
    if kind == "number":
        return float(cell)
    if kind == "time":
        with suppress(ValueError):  # the year 1, as databases have it, is not a time
            return datetime.fromtimestamp(parse_cell(cell, ISO), timezone.utc)
    return cell
