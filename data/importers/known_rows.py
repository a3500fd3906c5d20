"""The rows of a table that earlier spans hold already, so that a table imported twice adds nothing."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from data.spans.layout import Span, find_files, find_usable_spans
from data.spans.source import Rejected
from edgeline.records.columns import MISSING, parse_cell
from edgeline.store.locations import Location
from edgeline.tables.files import WHOLE
from edgeline.tables.rows import read_header, read_rows

# If a smaller share of a table's rows is distinct, equal rows are chance: only a whole table is recognised,
# or one that has grown at its end.
_DIFFERENT = 0.9
_TEXT = {"text": ""}
# Spans written by other tools may have files that no import writes; records are not compared.
_TABLES, _RECORDS = (".csv", ".jsonl"), (".tfrecord", ".tfrecord.gz")


def find_known_rows(
    data_dir: Path, forms: Mapping[str, str], rows: Iterable[Sequence[str]]
) -> Counter[bytes]:
    """Counts the rows that a usable span holds, by their digests.

    A table that begins with the rows of all spans has grown; else, if its rows differ, each is looked up.

    Args:
        data_dir: The folder of spans.
        forms: The form of each column that is compared, by its name.
        rows: Those of the table, with the cells of these columns in this order.

    Raises:
        DataRefused: An earlier span cannot be read.
    """
    spans = find_usable_spans(data_dir)
    if not spans:
        return Counter()
    digests = [digest_row(row, forms) for row in rows]
    earlier = list[bytes]()
    new = Counter(digests)
    for span in spans:
        cells = (row for row in read_span(span, list(forms)) if forms.keys() <= row.keys())
        existing = [digest_row([row[name] for name in forms], forms) for row in cells]
        if Counter(existing) == new:
            return new
        earlier += existing
    if digests[: len(earlier)] == earlier:
        return Counter(earlier)
    known = {*earlier} if len(new) >= _DIFFERENT * new.total() else set()
    return Counter({row: count for row, count in new.items() if row in known})


def count_relabelled(data_dir: Path, labels: Iterable[tuple[str, str]]) -> int:
    """Counts the texts, each with its label, that usable spans have under other labels alone.

    Raises DataRefused if an earlier span cannot be read.
    """
    spans = find_usable_spans(data_dir)
    new = {digest_row([text], _TEXT): _read_plain(label, "") for text, label in labels} if spans else {}
    alike, different = set[bytes](), set[bytes]()
    for span in spans:
        for row in read_span(span, ["text", "label"]):
            digest = digest_row([row.get("text", "")], _TEXT)
            label = row.get("label", "").strip()
            if label and digest in new:
                (alike if _read_plain(label, "") == new[digest] else different).add(digest)
    return len(different - alike)


def count_lacking(data_dir: Path, names: Sequence[str]) -> dict[int, int]:
    """Counts the rows of each span, by its number, that lack one of the columns `names`.

    Raises DataRefused if a span cannot be read.
    """
    return {
        span.number: sum(any(name not in row for name in names) for row in read_span(span, ()))
        for span in find_usable_spans(data_dir)
    }


def list_columns(data_dir: Path) -> set[str]:
    """Returns the columns that any span's table has. Raises DataRefused if one cannot be read."""
    names = set[str]()
    for span in find_usable_spans(data_dir):
        names.update(*map(read_header, _list_tables(span)))
    return names


def read_span(span: Span, names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yields the cells of a span's rows, with at least those of `names` that it has; TFRecords are left out.

    Raises DataRefused if it has no files, or one cannot be read.
    """
    for path in _list_tables(span):
        rows = read_rows(path, names, (span.name,))
        yield from (item[1] for item in rows if not isinstance(item, Rejected))


def _list_tables(span: Span) -> list[Location]:
    """Returns the files of a span but TFRecords. Raises DataRefused if it has no files."""
    paths = find_files(span, *_TABLES, *_RECORDS)
    return [path for path in paths if not path.name.lower().endswith(_RECORDS)]


def digest_row(cells: Iterable[str], forms: Mapping[str, str]) -> bytes:
    """Returns a digest that rows of equal values share; texts have no form, further cells do not count."""
    plain = "\0".join(map(_read_plain, cells, forms.values()))
    return hashlib.blake2b(plain.encode(errors="replace"), digest_size=10).digest()


@lru_cache(maxsize=2**16)
def _read_plain(cell: str, form: str) -> str:
    """Returns one text for all spellings of a value: 2026-01-05 06:00 and 2026-01-05T06:00Z, 7.5 and 7.50."""
    if not form:
        return cell[:-2] if cell.endswith(".0") and WHOLE.fullmatch(cell) else cell
    with suppress(ValueError):
        return "" if cell.lower() in MISSING else repr(parse_cell(cell, form))
    return cell
