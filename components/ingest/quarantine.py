"""The output of ExampleGen for quarantined rows: a list with reasons, and some to look at."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from data.spans.layout import Span
from data.spans.source import Source
from edgeline.errors import EdgelineError
from edgeline.records.ingest import INGEST, MOST_LISTED, THUMBNAILS, Ingest, Quarantined
from edgeline.records.rejection import RowRejected
from edgeline.tables.sheets import write_rows

_MOST_SHOWN = 24
# Many photos that cannot be opened, in a store that is slow, must not hold up the run.
_MOST_TRIES = 100

log = logging.getLogger("edgeline.ingest")


def select_listed(
    rows: Iterable[Quarantined], tried_again: Iterable[Quarantined] = ()
) -> tuple[list[Quarantined], Counter[tuple[str, str]]]:
    """Selects the rows to list, the first by id of each span and reason, and counts all rows.

    `tried_again` may contain a row more than once, since the engine tries some of its work again.

    Returns:
        Rows by span and id, and counts by span and reason.
    """
    counts: Counter[tuple[str, str]] = Counter()
    groups: dict[tuple[str, str], list[Quarantined]] = {}
    for row in itertools.chain(rows, _skip_repeats(tried_again)):
        key = row.span, row.reason
        counts[key] += 1
        same_key = groups.setdefault(key, [])
        same_key.append(row)
        if len(same_key) > 2 * MOST_LISTED:
            same_key.sort(key=_sort_key)
            del same_key[MOST_LISTED:]
    first = (row for same_key in groups.values() for row in sorted(same_key, key=_sort_key)[:MOST_LISTED])
    return sorted(first, key=_sort_key), counts


def _skip_repeats(rows: Iterable[Quarantined]) -> Iterator[Quarantined]:
    hashes = set()  # the rows themselves would take ten times as much memory
    for row in rows:
        if (digest := hash(row)) not in hashes:
            hashes.add(digest)
            yield row


def _sort_key(row: Quarantined) -> tuple[str, str, str, str]:
    return row.span, row.id, row.reason, row.detail


def write_quarantine(
    folder: Path, rows: Sequence[Quarantined], spans: Sequence[Span], source: Source, summary: Ingest
) -> None:
    """Writes quarantine.csv, ingest.json, thumbnails.json and thumbnails/NN.jpg.

    Args:
        folder: The folder of the artifact, which exists.
        rows: Those that `select_listed` chose.
        spans: Those of the window, oldest first.
        source: The one that read the rows, which makes the thumbnails; it is closed.
        summary: The counts of the window, with the noun for its examples.
    """
    with (folder / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        header = "span", summary.noun, "reason", "detail"
        write_rows(file, [header, *((row.span, row.id, row.reason, row.detail) for row in rows)])
    INGEST.write(folder, summary)
    (folder / "thumbnails").mkdir(exist_ok=True)
    listed: list[Quarantined] = []
    for item, thumbnail in itertools.islice(_choose_shown(rows, spans, source), _MOST_SHOWN):
        name = ""
        if isinstance(thumbnail, bytes):
            name = f"thumbnails/{len(listed) + 1:02d}.jpg"
            (folder / name).write_bytes(thumbnail)
        listed.append(replace(item, file=name))
    THUMBNAILS.write(folder, tuple(listed))


def _choose_shown(
    rows: Sequence[Quarantined], spans: Sequence[Span], source: Source
) -> Iterator[tuple[Quarantined, bytes | None]]:
    """Yields rows with a text or a thumbnail, in the order in which a person should see them."""
    by_name = {span.name: span for span in spans}
    with closing(source):
        for item in itertools.islice(
            _order_by_interest([q for q in rows if q.reason != "unsafe"]), _MOST_TRIES
        ):
            if item.text:
                yield item, None
                continue
            try:
                thumbnail = source.thumbnail(by_name[item.span], item.id)
            except RowRejected:
                continue
            except EdgelineError as error:  # the run can do without pictures
                log.warning("No more thumbnails of quarantined rows are made: %s", error)
                return
            if thumbnail is not None:
                yield item, thumbnail


def _order_by_interest(rows: Sequence[Quarantined]) -> Iterator[Quarantined]:
    """Yields each row once: the newest span first, and within a span one of each reason in turn."""
    unique = {(item.span, item.id): item for item in sorted(rows, key=lambda q: (q.span, q.id, q.reason))}
    for span in sorted({item.span for item in unique.values()}, reverse=True):
        by_reason: dict[str, list[Quarantined]] = {}
        for item in unique.values():
            if item.span == span:
                by_reason.setdefault(item.reason, []).append(item)
        rounds = itertools.zip_longest(*(by_reason[reason] for reason in sorted(by_reason)))
        yield from (item for item in itertools.chain.from_iterable(rounds) if item is not None)
