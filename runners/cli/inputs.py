"""What `edgeline predict` is given, as the examples that a model's preprocessing.json asks for."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.importers.source import PHOTO_SUFFIXES
from data.spans.rejection import RowRejected
from data.spans.rows import check_once, read_header, read_rows
from data.spans.source import Rejected
from errors import UsageError
from locations import read_bytes

_TABLES = (".csv", ".jsonl", ".ndjson")
# A photo or text above this is none.
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Input:
    """One example: where it stands, and what `edge.runtime.preprocess` takes, or why there is nothing."""

    place: str
    content: Any = None
    problem: str = ""


def find_inputs(given: Path, contract: Mapping[str, Any]) -> list[Path]:
    """The files that are meant: a file itself, of a folder all below it that the model can read, by name.

    Raises:
        UsageError: There is none.
    """
    kind = contract.get("kind", "image")
    suffixes = {"image": sorted(PHOTO_SUFFIXES), "row": [".csv"], "tokens": [*_TABLES, ".txt"]}.get(kind, [])
    if not given.is_dir():
        return [given]
    found = sorted(path for path in given.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not found:
        raise UsageError(
            f"{given} holds no {', '.join(suffixes)} file.",
            "The model reads nothing else.",
            "Name another folder, or a file.",
        )
    return found


def read_inputs(path: Path, contract: Mapping[str, Any]) -> Iterator[Input]:
    """The examples of a file: a photo; a text, or one a row of a table; a row, or the rows up to it.

    Raises:
        DataRefused: A table cannot be read, see `data.spans.rows`.
        UsageError: A table lacks a column.
        OSError: The file cannot be read.
    """
    kind = contract.get("kind", "image")
    if kind == "row":
        yield from _rows(path, contract)
    elif kind == "tokens" and path.suffix.lower() in _TABLES:
        name = str(contract["input"])
        _check_header(path, [name])
        for found in read_rows(path, [name]):
            if isinstance(found, Rejected):
                yield Input(found.id, problem=found.detail)
            else:
                yield Input(found[0], found[1][name])
    else:
        yield Input(str(path), read_bytes(path, _MOST_BYTES))


def _rows(path: Path, contract: Mapping[str, Any]) -> Iterator[Input]:
    from data.tables.source import parse_number

    numbers, categories = ([each["name"] for each in contract[key]] for key in ("numbers", "categories"))
    recent: deque[list[float]] = deque(maxlen=contract["readings"])
    _check_header(path, [*numbers, *categories])
    for found in read_rows(path, [*numbers, *categories]):
        if isinstance(found, Rejected):
            yield Input(found.id, problem=found.detail)
            continue
        place, cells = found
        try:
            recent.append([parse_number(name, cells[name]) for name in numbers])
        except RowRejected as error:
            yield Input(place, problem=error.detail)
            continue
        if len(recent) == recent.maxlen:
            readings = dict(zip(numbers, map(list, zip(*recent, strict=True)), strict=True))
            yield Input(place, readings | {name: cells[name].strip() for name in categories})


def _check_header(path: Path, names: list[str]) -> None:
    header = read_header(path)
    check_once(path, header, names, ())
    if missing := [name for name in names if name not in header]:
        raise UsageError(
            f"{path} has no column {', '.join(map(repr, missing))}; found: {', '.join(header)[:300]}.",
            "The model was trained on them.",
            "Name the columns as the training data has them; other columns may be there.",
        )
