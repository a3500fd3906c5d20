"""What ExampleGen leaves of quarantined photos: a list with reasons, and thumbnails to look at."""

import csv
import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from components.photo_shards import Quarantined
from data.photos.checks import MOST_BYTES
from data.photos.decoder_process import DecoderProcess
from data.photos.thumbnails import thumbnail
from data.spans.layout import Span
from data.spans.rejection import RowRejected
from errors import EdgelineError
from records.ingest import INGEST, THUMBNAILS, Ingest, Thumbnail

_MOST_THUMBNAILS = 24
# Many photos that cannot be opened, in a store that is slow, must not hold up the run.
_MOST_TRIES = 100
# Of CPU time and memory for one thumbnail, which is worth less than the photo.
_SECONDS, _GIGABYTES = 2, 2
# How a formula begins (OWASP, CSV Injection), the full-width signs of some languages among it, and our mark.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")

log = logging.getLogger("edgeline.ingest")


def write_quarantine(
    folder: Path, photos: Sequence[Quarantined], spans: Sequence[Span], summary: Ingest
) -> None:
    """Writes quarantine.csv, ingest.json, thumbnails.json and thumbnails/NN.jpg.

    In quarantine.csv, what a spreadsheet would take for a formula, or what begins with ', has a ' before it.

    Args:
        folder: The artifact.
        photos: The photos that were quarantined.
        spans: The window, oldest first.
        summary: What the window holds, for ingest.json.
    """
    with (folder / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("span", "photo", "reason", "detail"))
        rows = sorted((a.span, a.photo, a.reason, a.detail) for a in photos)
        writer.writerows([_as_text(cell) for cell in row] for row in rows)
    INGEST.write(folder, summary)
    (folder / "thumbnails").mkdir(exist_ok=True)
    kept: list[Thumbnail] = []
    for item, small in itertools.islice(_thumbnails(photos, spans), _MOST_THUMBNAILS):
        name = f"thumbnails/{len(kept) + 1:02d}.jpg"
        (folder / name).write_bytes(small)
        kept.append(Thumbnail(name, item.span, item.photo, item.reason, item.detail))
    THUMBNAILS.write(folder, tuple(kept))


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _thumbnails(photos: Sequence[Quarantined], spans: Sequence[Span]) -> Iterator[tuple[Quarantined, bytes]]:
    """The photos that can be opened with their thumbnails, in the order in which a person should see them."""
    by_name = {span.name: span for span in spans}
    with closing(DecoderProcess(thumbnail, _SECONDS, _GIGABYTES)) as make:
        for item in itertools.islice(_by_interest([a for a in photos if a.reason != "unsafe"]), _MOST_TRIES):
            try:
                small = make(by_name[item.span].read(item.photo, MOST_BYTES))
            except RowRejected:
                continue
            except EdgelineError as error:  # The run can do without pictures.
                log.warning("No more thumbnails of photos that were quarantined: %s", error)
                return
            if small is not None:
                yield item, small


def _by_interest(photos: Sequence[Quarantined]) -> Iterator[Quarantined]:
    """Each photo once: those of the newest span first, and of a span one of each reason in turn."""
    once = {
        (item.span, item.photo): item for item in sorted(photos, key=lambda a: (a.span, a.photo, a.reason))
    }
    for span in sorted({item.span for item in once.values()}, reverse=True):
        by_reason: dict[str, list[Quarantined]] = {}
        for item in once.values():
            if item.span == span:
                by_reason.setdefault(item.reason, []).append(item)
        rounds = itertools.zip_longest(*(by_reason[reason] for reason in sorted(by_reason)))
        yield from (item for one_round in rounds for item in one_round if item is not None)
