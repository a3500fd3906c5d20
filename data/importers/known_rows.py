"""The rows of a table that earlier spans hold already, so that a table imported twice adds nothing."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from data.spans.layout import Span, find_files, find_usable_spans
from data.spans.source import Rejected
from edgeline.tables.files import WHOLE
from edgeline.tables.rows import read_rows

# If a smaller share of a table's rows is distinct, equal rows are chance: only a whole table is recognised.
_DIFFERENT = 0.9
# Spans of one's own tools may have files that no import writes; records are not compared.
_TABLES, _RECORDS = (".csv", ".jsonl"), (".tfrecord", ".tfrecord.gz")


def find_known_rows(data_dir: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> Counter[bytes]:
    """Counts the `rows`, with cells of the columns `names`, that a usable span holds, by their digests.

    Raises DataRefused if an earlier span cannot be read.
    """
    spans = find_usable_spans(data_dir)
    if not spans:
        return Counter()
    new, held = Counter(map(digest_row, rows)), set[bytes]()
    for span in spans:
        cells = (row for row in read_span(span, names) if {*names} <= {*row})
        known = Counter(digest_row([row[name] for name in names]) for row in cells)
        if known == new:
            return new
        held |= known.keys()
    are_different = len(new) >= _DIFFERENT * new.total()
    return Counter({row: count for row, count in new.items() if are_different and row in held})


def read_span(span: Span, names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yields the cells of a span's rows, with at least those of `names` that it has; TFRecords are left out.

    Raises DataRefused if it has no files, or one cannot be read.
    """
    for path in find_files(span, *_TABLES, *_RECORDS):
        if not path.name.lower().endswith(_RECORDS):
            rows = read_rows(path, names, (span.name,))
            yield from (item[1] for item in rows if not isinstance(item, Rejected))


def digest_row(cells: Sequence[str]) -> bytes:
    """Returns a digest that equal rows share and different rows do not; 7 and 7.0 are equal."""
    plain = (cell[:-2] if cell.endswith(".0") and WHOLE.fullmatch(cell) else cell for cell in cells)
    return hashlib.blake2b("\0".join(plain).encode(errors="replace"), digest_size=10).digest()
