"""Reads and counts `served.csv` of spans: what phones answered. `data/importers/phone.py` has its columns.

A phone can be wrong about anything, and a span is worth more than this file: nothing in it stops a run.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from data.spans.corrections import correct_label, read_corrections
from data.spans.layout import Span, find_newest_spans
from data.spans.source import Row, load_source
from edgeline.errors import DataRefused
from edgeline.labels import find_fault
from edgeline.records.columns import DAY_S, parse_time
from edgeline.records.ingest import SERVED
from edgeline.records.served import Answer, Served, Truth, count_served
from edgeline.records.workload import Workload
from edgeline.store.locations import Location, list_names
from edgeline.tables.rows import read_lines
from edgeline.tables.sheets import unmark_cell

if TYPE_CHECKING:
    from data.settings import DataSettings

COLUMNS = ("example", "version", "variant", "said", "score", "captured_at", "device", "chosen")
_CHOSEN = ("random", "person", "")
_LARGEST_VERSION, _LONGEST = 10**9, 200
# Pandas writes the whole numbers of a column with an empty cell as `3.0`.
_VERSION = re.compile(r"(\d{1,30})(\.0)?", re.ASCII)


def read_served(span: Span) -> Iterator[Answer | str]:
    """Yields each answer of a span, or for a row that is none a sentence without its full stop."""
    if SERVED not in list_names(span.path):
        return
    header: list[str] = []
    separator = ","
    # Answers without example and time of day, which nothing tells apart.
    alike: Counter[Answer] = Counter()
    place = f"{span.name}/{SERVED}"
    try:
        # A row is a line, so that a stray quote costs no other one.
        for line, text in enumerate(read_lines(span.path / SERVED, (span.name,), "replace"), 1):
            try:
                if not header:  # a spreadsheet may have saved it
                    separator = max(",;\t", key=lambda mark: len({*COLUMNS} & {*_list_cells(text, mark)}))
                cells = _list_cells(text, separator)
            except csv.Error as error:
                yield f"{place}:{line} is not CSV ({error})"
                continue
            if not cells:
                continue
            if not header:
                header = cells
                if "\ufffd" in text:
                    yield f"{place} is not UTF-8"
                    return
                if missing := [name for name in COLUMNS if header.count(name) != 1]:
                    yield f"{place} does not have the column {', '.join(missing)} once"
                    return
            elif "\ufffd" in text:
                yield f"{place}:{line} is not UTF-8"
            elif len(cells) != len(header):
                yield f"{place}:{line} does not have {len(header)} cells"
            else:
                try:
                    answer = _parse(dict(zip(header, cells, strict=True)), span.name)
                except ValueError as error:
                    yield f"{place}:{line}: {error}"
                    continue
                if not answer.example and answer.at % DAY_S == 0:
                    alike[answer] += 1
                    answer = replace(answer, nth=alike[answer])
                yield answer
    except DataRefused as error:
        yield f"{place}, from there to its end: {error.found.rstrip('.')}"


def count_answers(data: Location, workload: Workload, settings: "DataSettings") -> Served | None:
    """Counts what phones answered in the spans that a run would read; None where no span has an answer.

    Labels are read, and no example is made: an example that a run would put in quarantine counts as checked,
    and classes are the only slices. Raises as the source does too.

    Args:
        data: The folder of spans, on a disk or in a store.
        workload: Names the source and the labels.
        settings: The window, and how the source reads rows.

    Raises:
        UsageError: There is no span.
        DataRefused: A span cannot be read, or all are excluded.
    """
    spans = find_newest_spans(data, settings.window, settings.until)
    answers = [row for span in spans for row in read_served(span)]
    if not answers:
        return None

    checked = {row.example for row in answers if isinstance(row, Answer) and row.chosen}
    truths: dict[str, Truth] = {}
    with closing(load_source(workload.source).open_source(workload, settings)) as source:
        for span in spans:
            if not any(example.startswith(f"{span.name}/") for example in checked):
                continue
            corrections = read_corrections(span)
            for row in source.rows(span):
                if isinstance(row, Row) and (example := f"{span.name}/{row.id}") in checked:
                    label = correct_label(row, corrections, workload.labels).label
                    truths[example] = Truth(label, row.group)
    return count_served(answers, truths, workload.noun)


def _list_cells(line: str, separator: str) -> list[str]:
    """Returns the values in a line without blanks around them; raises csv.Error if it is not CSV."""
    reader = csv.reader([line.replace("\0", "\1")], delimiter=separator, strict=True, skipinitialspace=True)
    return [unmark_cell(cell.strip()) for cell in next(reader, [])]


def _parse(row: Mapping[str, str], span: str) -> Answer:
    """Returns the answer in a row; raises ValueError if it is none."""
    for name in COLUMNS:
        # Labels and names of files have joiners and wide spaces, which are not printable to Python.
        is_text = name in ("example", "said")
        is_plain = not (row[name] and find_fault(row[name])) if is_text else row[name].isprintable()
        if len(row[name]) > _LONGEST or not is_plain:
            raise ValueError(f"{name} is longer than {_LONGEST} characters, or no plain text")
    if missing := [name for name in ("variant", "said", "device") if not row[name]]:
        raise ValueError(f"{missing[0]} is empty")
    version, score = row["version"], row["score"]
    if not ((number := _VERSION.fullmatch(version)) and 0 < int(number[1]) <= _LARGEST_VERSION):
        raise ValueError(f"version is {version!r}, not a version")
    try:
        probability = float(score.replace(",", "."))  # as a spreadsheet writes it
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise ValueError(f"score is {score!r}, not a probability")
    if row["chosen"] not in _CHOSEN:
        raise ValueError(f"chosen is {row['chosen']!r}, not random, person or empty")
    return Answer(
        example=f"{span}/{row['example']}" if row["example"] else "",
        version=int(number[1]),
        variant=row["variant"],
        said=row["said"],
        score=probability,
        at=parse_time(row["captured_at"]),
        device=row["device"],
        chosen=row["chosen"],  # type: ignore[arg-type]
    )
