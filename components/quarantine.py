"""What PhotoIngest leaves of the photos that it set aside: a list with reasons, and thumbnails to look at."""

import csv
import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from components.photo_shards import SetAside
from data.photos.checks import PhotoLimits
from data.photos.decoder_process import DecoderProcess
from data.photos.thumbnails import thumbnail
from data.spans.layout import Span
from data.spans.rejection import PhotoRejected
from errors import EdgelineError

_MOST_THUMBNAILS = 24
# Many photos that cannot be opened, in a store that is slow, must not hold up the run.
_MOST_TRIES = 100
# Of CPU time and memory for one thumbnail, which is worth less than the photo.
_SECONDS, _GIGABYTES = 2, 2
# How a formula begins (OWASP, CSV Injection), the full-width signs of some languages among it, and our mark.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")

log = logging.getLogger("edgeline.ingest")


def write_quarantine(
    folder: Path, aside: Sequence[SetAside], spans: Sequence[Span], summary: Mapping[str, Any]
) -> None:
    """Writes quarantine.csv, ingest.json, thumbnails.json and thumbnails/NN.jpg.

    In quarantine.csv, what a spreadsheet would take for a formula, or what begins with ', has a ' before it.

    Args:
        folder: The artifact.
        aside: The photos that were set aside.
        spans: The window, oldest first.
        summary: What the window holds, for ingest.json.
    """
    with (folder / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("span", "photo", "reason", "detail"))
        rows = sorted((a.span, a.photo, a.reason, a.detail) for a in aside)
        writer.writerows([_as_text(cell) for cell in row] for row in rows)
    (folder / "ingest.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    (folder / "thumbnails").mkdir(exist_ok=True)
    records: list[dict[str, str]] = []
    for item, small in itertools.islice(_thumbnails(aside, spans), _MOST_THUMBNAILS):
        name = f"thumbnails/{len(records) + 1:02d}.jpg"
        (folder / name).write_bytes(small)
        records.append({"file": name, **vars(item)})
    text = json.dumps(records, indent=1, ensure_ascii=False)
    (folder / "thumbnails.json").write_text(text, encoding="utf-8")


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _thumbnails(aside: Sequence[SetAside], spans: Sequence[Span]) -> Iterator[tuple[SetAside, bytes]]:
    """The photos that can be opened with their thumbnails, in the order in which a person should see them."""
    by_name = {span.name: span for span in spans}
    with closing(DecoderProcess(thumbnail, _SECONDS, _GIGABYTES)) as make:
        for item in itertools.islice(_by_interest([a for a in aside if a.reason != "unsafe"]), _MOST_TRIES):
            try:
                small = make(by_name[item.span].read(item.photo, PhotoLimits.max_bytes))
            except PhotoRejected:
                continue
            except EdgelineError as error:  # The run can do without pictures.
                log.warning("No more thumbnails of photos that were set aside: %s", error)
                return
            if small is not None:
                yield item, small


def _by_interest(aside: Sequence[SetAside]) -> Iterator[SetAside]:
    """Each photo once: those of the newest span first, and of a span one of each reason in turn."""
    once = {
        (item.span, item.photo): item for item in sorted(aside, key=lambda a: (a.span, a.photo, a.reason))
    }
    for span in sorted({item.span for item in once.values()}, reverse=True):
        by_reason: dict[str, list[SetAside]] = {}
        for item in once.values():
            if item.span == span:
                by_reason.setdefault(item.reason, []).append(item)
        rounds = itertools.zip_longest(*(by_reason[reason] for reason in sorted(by_reason)))
        yield from (item for one_round in rounds for item in one_round if item is not None)
