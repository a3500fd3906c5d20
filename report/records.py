"""The record of a run that outlives it: `report.html` and `facts.json`, in a folder or an object store."""

import logging
import shutil
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

from journal import utc_text
from locations import Location, filesystem, folders_in, read_bytes, size_below, whole
from records.json_file import UNREADABLE, decode, encode
from report.facts import About, Facts
from store_errors import explained, if_there

log = logging.getLogger(__name__)

PAGE, FACTS = "report.html", "facts.json"

# A store answers in tens of milliseconds, and a year has 52 weeks.
_READERS = 16
# A run of a cluster that was killed stays `running` in its record.
_LONGEST = timedelta(days=14)


def write(folder: Location, facts: Facts, page: str) -> Location:
    """Writes both, each whole or not at all; returns where the page is.

    Raises:
        EdgelineError: The store cannot be written.
        OSError: The folder cannot be written.
    """
    for name, content in ((FACTS, encode(facts) + b"\n"), (PAGE, page.encode())):
        write_file(folder / name, content)
    return folder / PAGE


def write_file(path: Location, content: bytes) -> None:
    """Writes a file whole or not at all, and its folder where that is not there. Raises as `write` does."""
    if not isinstance(path, Path):
        # An object appears when it is whole.
        with explained(path):
            filesystem(path).pipe_file(path.path, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write(content)


def read(folder: Location) -> Facts | None:
    """The facts of a run; None where there are none, or, with a warning, none that can be read.

    Raises:
        EdgelineError: The store cannot be read.
    """
    try:
        found: Facts = decode(read_bytes(folder / FACTS), Facts)
        return found
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.warning("%s cannot be read: %s", folder / FACTS, error)
        return None


def read_all(root: Location) -> list[tuple[Location, Facts]]:
    """The folder and facts of every run below `root`, in the order in which they were made.

    Raises:
        EdgelineError: The store cannot be read.
    """
    folders = [root / name for name in folders_in(root)]
    with ThreadPoolExecutor(_READERS) as pool:
        read_here = zip(folders, pool.map(read, folders), strict=True)
        found = [(folder, facts) for folder, facts in read_here if facts is not None]
    return sorted(found, key=lambda item: _order(item[1].about))


def find_old(
    found: Sequence[tuple[Location, Facts]], keep: int, stay: Collection[str]
) -> dict[Location, int]:
    """The records but the newest `keep`, those of runs that `stay`, by id, and of runs that go on; in bytes.

    They come as `read_all` has them.
    """
    begun = utc_text(datetime.now(timezone.utc) - _LONGEST)
    return {
        folder: size_below(folder)
        for folder, facts in found[:-keep]
        if facts.about.run not in stay
        and not (facts.about.outcome == "running" and facts.about.started_at > begun)
    }


def remove(folder: Location) -> None:
    """Removes a record, the page first: facts alone are a record still. Raises as `write` does."""
    if isinstance(folder, Path):
        (folder / PAGE).unlink(missing_ok=True)
        shutil.rmtree(folder)
        return
    for path in (folder / PAGE, folder / FACTS):
        with if_there(path):
            filesystem(path).rm_file(path.path)


def number_of(run: str, known: Iterable[Facts]) -> int:
    """The place of a run in the order of those whose records are known: the one that it has, or the next."""
    numbers = {facts.about.run: facts.about.number for facts in known}
    return numbers.get(run) or max(numbers.values(), default=0) + 1


def before(about: About, newest_first: Iterable[Facts]) -> Facts | None:
    """Returns the run to compare with: the newest of the model made before that got as far as its data."""
    earlier = (known for known in newest_first if _order(known.about) < _order(about))
    return next(
        (known for known in earlier if known.about.model == about.model and known.data is not None), None
    )


def _order(about: About) -> tuple[int, str, str]:
    """Sorts runs as they were made."""
    return about.number, about.started_at, about.run
