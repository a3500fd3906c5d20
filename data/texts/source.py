"""Labelled texts as a source: rows of CSV and JSON lines, each checked before it becomes an example.

DIR/span-00042/*.csv      columns text, label, optionally source and group, in any order among others
DIR/span-00042/*.jsonl    an object a line with the same names
"""

import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from data.settings import DataSettings
from data.spans.layout import Span, find_files
from data.spans.rule_counts import RuleChecker, RuleCounts
from data.spans.source import Example, Rejected, Row, Source
from edgeline.errors import DataRefused
from edgeline.labels import find_fault
from edgeline.records.edge import Content
from edgeline.records.rejection import RowRejected, check_label, check_text, repair_text
from edgeline.records.words import split_words
from edgeline.records.workload import Workload
from edgeline.store.locations import Location
from edgeline.tables.rows import Cells, check_once, read_header, read_rows

_REQUIRED, _OPTIONAL = ("text", "label"), ("source", "group")
_SUFFIXES = (".csv", ".jsonl")
UNKNOWN_SOURCE = "unknown"
# The most words of a text in each band.
LENGTH_BANDS: Mapping[str, int] = {"short": 12, "medium": 30}
LONGEST_BAND = "long"
_SHOWN = 300
# Enough words to show a change of vocabulary; without a limit a long text would be stored twice.
_MOST_WORDS = 200


def open_source(workload: Workload, settings: DataSettings) -> "TextSource":
    """Returns the source of a workload's texts."""
    return TextSource(workload, settings.max_characters)


def check(span: Span, workload: Workload) -> None:
    """Reads the first rows of each file. Raises DataRefused for a file that is not a table of texts."""
    for file in find_files(span, *_SUFFIXES):
        next(_read_file(span, file), None)


def count(span: Span) -> int:
    """Counts the rows of all files. Raises as `TextSource.rows` does."""
    return sum(1 for _ in _read_files(span))


def _read_file(span: Span, file: Location) -> Iterator[Cells | Rejected]:
    header = read_header(file, (span.name,))
    names = (*_REQUIRED, *_OPTIONAL)
    spans = (span.name,)
    check_once(file, header, names, spans)
    if missing := [name for name in _REQUIRED if name not in header]:
        raise DataRefused(
            f"{file} has no column {', '.join(missing)}; found: {', '.join(header)[:_SHOWN]}.",
            "Each text needs a label.",
            f"Name the columns {' and '.join(_REQUIRED)}.",
            spans,
        )
    return read_rows(file, names, spans)


def _read_files(span: Span) -> Iterator[Cells | Rejected]:
    for file in find_files(span, *_SUFFIXES):
        yield from _read_file(span, file)


class TextSource(Source):
    """A source of texts, which keeps nothing between rows. See `Source`."""

    spread = False

    def __init__(self, workload: Workload, max_characters: int) -> None:
        self._workload, self._max_characters = workload, max_characters

    def rows(self, span: Span) -> Iterator[Row | Rejected | RuleCounts]:
        """Yields the rows of the files, in the order of the files' names."""
        checker = RuleChecker(self._workload)
        for item in _read_files(span):
            if isinstance(item, Rejected):
                yield item
                continue
            row_id, cells = item
            try:
                row = self._make_row(span, row_id, cells)
                checker.check(row_id, cells)
                yield row
            except RowRejected as rejected:
                yield Rejected(row_id, rejected.reason, rejected.detail, cells["text"][:_SHOWN])
        if self._workload.rules:
            yield checker.summarize()

    def example(self, span: Span, row: Row) -> Example:
        """Returns the text with its features; copies have one digest whatever their case and spacing."""
        text, source = row.content
        words = len(text.split())
        features = {
            "text": text,
            "source": source,
            "length": words,
            "length_band": next((band for band, most in LENGTH_BANDS.items() if words <= most), LONGEST_BAND),
            "words": split_words(text)[:_MOST_WORDS],
        }
        return Example(features, digest_text(text))

    def originals(self, span: Span, ids: Collection[str]) -> Iterator[tuple[str, bytes | Content]]:
        """Yields the cells of the texts, as they are in the files."""
        for item in _read_files(span):
            if not isinstance(item, Rejected) and item[0] in ids:
                yield item[0], item[1]["text"]

    def show(self, features: Mapping[str, Any]) -> bytes | str:
        """Returns the text, cut to 300 characters."""
        text: str = features["text"][0].decode()
        return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"

    def _make_row(self, span: Span, row_id: str, cells: Mapping[str, str]) -> Row:
        text = cells["text"]
        label = cells["label"].strip()
        source, group = (cells.get(name, "").strip() for name in ("source", "group"))
        if len(text) > self._max_characters:  # first, since the other checks read all of it
            limit = f"{self._max_characters:,} are allowed"
            raise RowRejected("oversized", f"The text has {len(text):,} characters; {limit}.")
        check_text(text)
        for name, cell in (("source", source), ("group", group)):
            if cell and (fault := find_fault(cell)):
                raise RowRejected("control-character", f"The {name} is {cell[:_SHOWN]!a}: {fault}.")
        if not label:
            raise RowRejected("unlabelled", "The text has no label.")
        check_label(label, self._workload.labels, "The text")
        content = (unicodedata.normalize("NFC", repair_text(text)), source or UNKNOWN_SOURCE)
        return Row(row_id, label, group or f"{span.name}/{row_id}", content)


def digest_text(text: str) -> str:
    """Returns the hexadecimal SHA-256 of a text, which texts share that differ in case and spacing alone."""
    plain = " ".join(unicodedata.normalize("NFC", repair_text(text).casefold()).split())
    return hashlib.sha256(plain.encode(errors="replace")).hexdigest()
