"""What ExampleGen leaves of quarantined rows: a list with reasons, and some to look at."""

import csv
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from data.spans.layout import Span
from data.spans.rejection import RowRejected
from data.spans.source import Source
from errors import EdgelineError
from records.ingest import INGEST, MOST_LISTED, THUMBNAILS, Ingest, Quarantined, Thumbnail

_MOST_SHOWN = 24
# Many photos that cannot be opened, in a store that is slow, must not hold up the run.
_MOST_TRIES = 100
# How a formula begins (OWASP, CSV Injection), the full-width signs of some languages among it, and our mark.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")

log = logging.getLogger("edgeline.ingest")


def listed(
    rows: Iterable[Quarantined], tried_again: Iterable[Quarantined] = ()
) -> tuple[list[Quarantined], Counter[tuple[str, str]]]:
    """The first rows of each span and reason by id, as many as are listed; and how many there are.

    `tried_again` may have a row more than once, as the engine tries some of its work again.

    Returns:
        Rows by span and id, and counts by span and reason.
    """
    counts: Counter[tuple[str, str]] = Counter()
    kept: dict[tuple[str, str], list[Quarantined]] = {}
    for row in itertools.chain(rows, _once(tried_again)):
        key = row.span, row.reason
        counts[key] += 1
        some = kept.setdefault(key, [])
        some.append(row)
        if len(some) > 2 * MOST_LISTED:
            some.sort(key=_place)
            del some[MOST_LISTED:]
    first = (row for some in kept.values() for row in sorted(some, key=_place)[:MOST_LISTED])
    return sorted(first, key=_place), counts


def _once(rows: Iterable[Quarantined]) -> Iterator[Quarantined]:
    seen = set()  # Their hashes alone: rows would take ten times as much memory.
    for row in rows:
        if (known := hash(row)) not in seen:
            seen.add(known)
            yield row


def _place(row: Quarantined) -> tuple[str, str, str, str]:
    return row.span, row.id, row.reason, row.detail


def write_quarantine(
    folder: Path, rows: Sequence[Quarantined], spans: Sequence[Span], source: Source, summary: Ingest
) -> None:
    """Writes quarantine.csv, ingest.json, thumbnails.json and thumbnails/NN.jpg.

    In quarantine.csv, what a spreadsheet would take for a formula, or what begins with ', has a ' before it.
    `rows` are what `listed` gives, `spans` come oldest first; `source` is what they were read by.
    """
    with (folder / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("span", summary.noun, "reason", "detail"))
        for row in rows:
            cells = (row.span, row.id, row.reason, row.detail)
            writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    INGEST.write(folder, summary)
    (folder / "thumbnails").mkdir(exist_ok=True)
    kept: list[Thumbnail] = []
    for item, small in itertools.islice(_shown(rows, spans, source), _MOST_SHOWN):
        name = ""
        if isinstance(small, bytes):
            name = f"thumbnails/{len(kept) + 1:02d}.jpg"
            (folder / name).write_bytes(small)
        kept.append(Thumbnail(name, item.span, item.id, item.reason, item.detail, item.text))
    THUMBNAILS.write(folder, tuple(kept))


def _shown(
    rows: Sequence[Quarantined], spans: Sequence[Span], source: Source
) -> Iterator[tuple[Quarantined, bytes | None]]:
    """Rows with a text or a thumbnail, in the order in which a person should see them."""
    by_name = {span.name: span for span in spans}
    with closing(source):
        for item in itertools.islice(_by_interest([q for q in rows if q.reason != "unsafe"]), _MOST_TRIES):
            if item.text:
                yield item, None
                continue
            try:
                small = source.thumbnail(by_name[item.span], item.id)
            except RowRejected:
                continue
            except EdgelineError as error:  # The run can do without pictures.
                log.warning("No more thumbnails of what was quarantined: %s", error)
                return
            if small is not None:
                yield item, small


def _by_interest(rows: Sequence[Quarantined]) -> Iterator[Quarantined]:
    """Each row once: those of the newest span first, and of a span one of each reason in turn."""
    once = {(item.span, item.id): item for item in sorted(rows, key=lambda q: (q.span, q.id, q.reason))}
    for span in sorted({item.span for item in once.values()}, reverse=True):
        by_reason: dict[str, list[Quarantined]] = {}
        for item in once.values():
            if item.span == span:
                by_reason.setdefault(item.reason, []).append(item)
        rounds = itertools.zip_longest(*(by_reason[reason] for reason in sorted(by_reason)))
        yield from (item for one_round in rounds for item in one_round if item is not None)
