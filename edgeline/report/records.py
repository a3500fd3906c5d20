"""The lasting record of a run: `report.html` and `facts.json`, in a folder or an object store."""

import logging
import shutil
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edgeline.journal import format_utc
from edgeline.records.json_file import UNREADABLE, decode, encode
from edgeline.report.facts import About, Facts
from edgeline.store.locations import (
    Location,
    get_filesystem,
    list_folders,
    measure_size,
    read_bytes,
    write_atomically,
)
from edgeline.store.store_errors import explain_errors, ignore_absent

log = logging.getLogger(__name__)

PAGE, FACTS = "report.html", "facts.json"

# Many readers, since a store answers in tens of milliseconds, and a year has 52 records.
_READERS = 16
# A killed run of a cluster stays `running` in its record; after this time it counts as ended.
_LONGEST = timedelta(days=14)


def write(folder: Location, facts: Facts, page: str) -> Location:
    """Writes the facts and the page of a run, each whole or not at all; returns the place of the page.

    Raises:
        EdgelineError: The store cannot be written.
        OSError: The folder cannot be written.
    """
    for name, content in ((FACTS, encode(facts) + b"\n"), (PAGE, page.encode())):
        write_file(folder / name, content)
    return folder / PAGE


def write_file(path: Location, content: bytes) -> None:
    """Writes a file whole or not at all, and makes its folder. Raises as `write` does."""
    if not isinstance(path, Path):
        # A store shows an object only when it is complete.
        with explain_errors(path):
            get_filesystem(path).pipe_file(path.path, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as file:
        file.write(content)


def read(folder: Location) -> Facts | None:
    """Reads the facts of a run; None where there are none, or, with a warning, where they are unreadable.

    Raises:
        EdgelineError: The store cannot be read.
    """
    try:
        facts: Facts = decode(read_bytes(folder / FACTS), Facts)
        return facts
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.warning("%s cannot be read: %s", folder / FACTS, error)
        return None


def read_all(root: Location) -> list[tuple[Location, Facts]]:
    """Returns the folder and facts of every run below `root`, in the order of the runs.

    Raises:
        EdgelineError: The store cannot be read.
    """
    folders = [root / name for name in list_folders(root)]
    with ThreadPoolExecutor(_READERS) as pool:
        pairs = zip(folders, pool.map(read, folders), strict=True)
        known = [(folder, facts) for folder, facts in pairs if facts is not None]
    return sorted(known, key=lambda item: _order(item[1].about))


def find_old(
    known: Sequence[tuple[Location, Facts]], keep: int, stay: Collection[str]
) -> dict[Location, int]:
    """Returns the folders of old records with their sizes in bytes.

    The newest `keep`, those with an id in `stay`, and those of runs that go on are no old ones. `known` is
    ordered as by `read_all`.
    """
    earliest = format_utc(datetime.now(timezone.utc) - _LONGEST)
    return {
        folder: measure_size(folder)
        for folder, facts in known[:-keep]
        if facts.about.run not in stay
        and not (facts.about.outcome == "running" and facts.about.started_at > earliest)
    }


def remove(folder: Location) -> None:
    """Removes a record, the page first, since facts alone are still a record. Raises as `write` does."""
    if isinstance(folder, Path):
        (folder / PAGE).unlink(missing_ok=True)
        shutil.rmtree(folder)
        return
    for path in (folder / PAGE, folder / FACTS):
        with ignore_absent(path):
            get_filesystem(path).rm_file(path.path)


def number_of(run: str, known: Iterable[Facts]) -> int:
    """Returns the number of a run among those with known records: its own, or the next free one."""
    numbers = {facts.about.run: facts.about.number for facts in known}
    return numbers.get(run) or max(numbers.values(), default=0) + 1


def before(about: About, newest_first: Iterable[Facts]) -> Facts | None:
    """Returns the run to compare with: the model's newest earlier run that got as far as its data."""
    earlier = (known for known in newest_first if _order(known.about) < _order(about))
    return next(
        (known for known in earlier if known.about.model == about.model and known.data is not None), None
    )


def _order(about: About) -> tuple[int, str, str]:
    """Returns the key that sorts runs in the order in which they were made."""
    return about.number, about.started_at, about.run
