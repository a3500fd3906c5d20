"""Weekly spans of labelled data, DIR/span-00042 each, on a disk or in an object store.

Spans are read from both, and written only to a disk. Their content depends on the workload.
"""

import errno
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data.spans.exclusions import Decision, find_excluded_spans, read_decisions
from edgeline.errors import DataRefused, UsageError
from edgeline.records.ingest import SPAN_NAME, WITHOUT_EXAMPLES, describe_spans, name_span
from edgeline.store.locations import Location, add_path_to_errors, list_folders, list_names, write_atomically

# A labels file of a million rows has a third of this; a larger file is not one.
MOST_TEXT_BYTES = 256 * 2**20
_LAST_NUMBER = 99_999
_SCRATCH = ".writing-"
_SCRATCH_MAX_AGE_S = 24 * 3600


@dataclass(frozen=True)
class Span:
    """One week of labelled data."""

    number: int
    path: Location

    @cached_property  # it takes a while for a place in a store
    def name(self) -> str:
        """Returns the folder's name, such as `span-00042`."""
        return self.path.name


def find_spans(data_dir: Location) -> tuple[Span, ...]:
    """Returns all spans in `data_dir`, oldest first; none if the folder is missing."""
    matches = (SPAN_NAME.fullmatch(name) for name in sorted(list_folders(data_dir)))
    return tuple(Span(int(match[1]), data_dir / match[0]) for match in matches if match)


def find_usable_spans(data_dir: Location) -> tuple[Span, ...]:
    """Returns all spans that are not excluded, oldest first. Raises as `read_decisions` does."""
    spans = find_spans(data_dir)
    excluded = find_excluded_spans(data_dir)
    return tuple(span for span in spans if span.name not in excluded)


def find_next_number(data_dir: Path, count: int = 1) -> int:
    """Returns the number after the last span, counting removed spans that were ever excluded.

    Raises UsageError if fewer than `count` numbers are left.
    """
    spans = find_spans(data_dir)
    decided = (int(decision.span.removeprefix("span-")) for decision in read_decisions(data_dir))
    last = max([0, *(span.number for span in spans), *decided])
    if last + count > _LAST_NUMBER:
        raise UsageError(
            f"{data_dir} has or had {name_span(last)}.",
            f"The number of a span has five digits: {name_span(_LAST_NUMBER)} is the last one.",
            "Rename spans with high numbers to lower ones, or begin a new data folder.",
        )
    return last + 1


def find_newest_spans(data_dir: Location, window: int, until: str | None = None) -> tuple[Span, ...]:
    """Returns the newest `window` spans that are not excluded, oldest first; none is newer than `until`.

    Args:
        data_dir: The folder of spans, on a disk or in a store.
        window: The most spans, at least 1; fewer if there are fewer.
        until: The name of the last span that counts; None for the newest.

    Raises:
        UsageError: There is no span at all, or none named `until`.
        DataRefused: All spans are excluded.
    """
    every = find_spans(data_dir)
    excluded = find_excluded_spans(data_dir)
    names = [span.name for span in every]
    place = shlex.quote(str(data_dir))
    if every and until and until not in names:
        raise UsageError(
            f"data.until is {until}, and {data_dir} has no span of that name.",
            "It names the last span that a run reads.",
            f"Name one of {describe_spans(names)}, or leave it out.",
        )
    every = tuple(span for span in every if not until or span.name <= until)
    spans = tuple(span for span in every if span.name not in excluded)[-window:]
    if every and not spans:
        raise DataRefused(
            f"Every span of {data_dir}{f' up to {until}' if until else ''} is excluded:"
            f" {describe_spans([span.name for span in every])}.",
            "There is nothing to train on.",
            f"Read the reasons with `edgeline data list --data {place}`; include a span again with"
            f" `edgeline data exclude {every[-1].name} --undo --reason R --data {place}`, or import more.",
        )
    if not spans:
        missing = isinstance(data_dir, Path) and not data_dir.is_dir()
        raise UsageError(
            f"{data_dir} {'is not a folder' if missing else 'has no span-NNNNN folder'}.",
            "There is nothing to train on, so no run began.",
            "Name the folder of your spans, import your own data with"
            f" `edgeline data import SRC --data {place}`, or generate a sample with"
            f" `edgeline data generate --data {place}`.",
        )
    return spans


def find_excluded_in_window(
    data_dir: Location, spans: Sequence[Span], window: int, until: str | None = None
) -> list[Decision]:
    """Returns the exclusions that made `find_newest_spans` return these `spans`, oldest span first.

    Args:
        data_dir: The folder of spans, on a disk or in a store.
        spans: At least one, oldest first.
        window: The one that these were found with; with fewer spans, all earlier exclusions count.
        until: The one that these were found with.
    """
    excluded = find_excluded_spans(data_dir)
    oldest = spans[0].name if len(spans) == window else ""
    names = (span.name for span in find_spans(data_dir))
    return [
        excluded[name]
        for name in names
        if name in excluded and oldest < name and (not until or name <= until)
    ]


def add_span(data_dir: Path, fill: Callable[[Path], None]) -> Span:
    """Writes the next span, whose content `fill` writes: all of it or nothing. Never changes an existing one.

    Raises UsageError if no number is left for it, or something else has its name.
    """
    _find_next_path(data_dir)  # raises before anything is written
    with add_path_to_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(data_dir)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=data_dir))
        try:
            fill(scratch)
            scratch.chmod(0o755)
            return _move_into_place(scratch, data_dir)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file atomically, and replaces an existing one."""
    with write_atomically(path) as file:
        os.chmod(file.fileno(), 0o644)
        file.write(content)


def _find_next_path(data_dir: Path) -> tuple[int, Path]:
    number = find_next_number(data_dir)
    path = data_dir / name_span(number)
    if os.path.lexists(path) and not path.is_dir():
        raise UsageError(
            f"{path} is a file, or a link that leads to no folder.",
            "The next span gets that name, and nothing is overwritten.",
            "Move it away, and run the same command again.",
        )
    return number, path


def _move_into_place(scratch: Path, data_dir: Path) -> Span:
    while True:
        number, path = _find_next_path(data_dir)
        try:
            scratch.rename(path)
        except OSError as error:
            # Another writer may take the number before the move.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return Span(number, path)


def _remove_abandoned(data_dir: Path) -> None:
    """Removes the folders of killed writers after a day, when no writer can still use them."""
    for folder in data_dir.glob(f"{_SCRATCH}*"):
        with suppress(FileNotFoundError):  # its writer may move it into place meanwhile
            if time.time() - folder.stat().st_mtime > _SCRATCH_MAX_AGE_S:
                shutil.rmtree(folder, ignore_errors=True)


def find_files(span: Span, *suffixes: str) -> list[Location]:
    """Returns the files of a span that hold examples and have these suffixes, sorted by name.

    Raises DataRefused without any.
    """
    present = (name for name in list_names(span.path) if name not in WITHOUT_EXAMPLES)
    names = sorted(name for name in present if not name.startswith("."))
    if files := [span.path / name for name in names if name.lower().endswith(suffixes)]:
        return files
    raise DataRefused(
        f"{span.path} has no {' or '.join(suffixes[:2])} file.",
        "A span has one or more of them.",
        "Write one, or import your data with `edgeline data import`.",
        (span.name,),
    )
