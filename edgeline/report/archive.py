"""The lasting record of a run: `report.html` and `facts.json`, in a folder or an object store."""

import logging
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote

from edgeline.journal import format_utc
from edgeline.records.json_file import UNREADABLE, decode, encode
from edgeline.records.run import Run
from edgeline.report.collect import collect_facts, read_pictures
from edgeline.report.facts import Facts, Written
from edgeline.report.next_steps import find_production, list_unlike
from edgeline.report.page import render_run
from edgeline.report.sources import Sources
from edgeline.store import objects
from edgeline.store.locations import Location, list_folders, measure_size, read_bytes

log = logging.getLogger(__name__)

PAGE, FACTS = "report.html", "facts.json"

# Many readers, since a store answers in tens of milliseconds, and a year has 52 records.
READERS = 16
# A killed run of a cluster stays `running` in its record; after this time it counts as ended.
_LONGEST = timedelta(days=14)


def write(folder: Location, facts: Facts, page: str, with_run: bool = True) -> Location:
    """Writes facts and page of a run, each whole or not at all, or raises EdgelineError or OSError.

    Args:
        folder: The run's own; older facts and an older page in it are replaced.
        facts: They have the whole record of the run, whatever `with_run` is.
        page: The HTML of `render_run`.
        with_run: False where the run's record is a file of its own: the facts then have its id alone.

    Returns:
        The place of the page.
    """
    written = vars(facts) | {"run": facts.run if with_run else facts.run.id}
    for name, content in ((FACTS, encode(written) + b"\n"), (PAGE, page.encode())):
        objects.write_bytes(folder / name, content)
    return folder / PAGE


def read(folder: Location, run: Run | None = None) -> Facts | None:
    """Reads the facts of a run; None where there are none, or, with a warning, where they are unreadable.

    `run` is its record, where that is a file of its own. Raises EdgelineError if the store cannot be read.
    """
    try:
        content = read_bytes(folder / FACTS)
        if run is not None:
            return Facts(**vars(decode(content, Written)) | {"run": run})
        facts: Facts = decode(content, Facts)
        return facts
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.warning("%s cannot be read: %s", folder / FACTS, error)
        return None


def read_all(root: Location) -> list[tuple[Location, Facts]]:
    """Returns folder and facts of every run below `root`, in the order of the runs. Raises as `read` does."""
    folders = [root / name for name in list_folders(root)]
    with ThreadPoolExecutor(READERS) as pool:
        pairs = zip(folders, pool.map(read, folders), strict=True)
        records = [(folder, facts) for folder, facts in pairs if facts is not None]
    return sorted(records, key=lambda item: item[1].run.order)


def find_old(
    records: Sequence[tuple[Location, Facts]], keep: int, stay: Collection[str]
) -> dict[Location, int]:
    """Returns the folders of old records with their sizes in bytes; those of runs that go on are not old.

    Args:
        records: Those of one model with their folders, oldest first, as by `read_all`.
        keep: The number of the newest records that are not old, at least 1.
        stay: Ids of runs whose records are not old at any age.
    """
    earliest = format_utc(datetime.now(timezone.utc) - _LONGEST)
    return {
        folder: measure_size(folder)
        for folder, facts in records[:-keep]
        if facts.run.id not in stay
        and not (facts.run.outcome == "running" and facts.run.started_at > earliest)
    }


def remove(folder: Location) -> None:
    """Removes a record, the page first, since facts alone are still a record. Raises as `write` does."""
    if isinstance(folder, Path):
        (folder / PAGE).unlink(missing_ok=True)
        shutil.rmtree(folder)
        return
    for name in (PAGE, FACTS):
        objects.remove(folder / name)


def choose_number(run: str, records: Iterable[Facts]) -> int:
    """Returns the number of a run among those with known records: its own, or the next free one."""
    numbers = {facts.run.id: facts.run.number for facts in records}
    return numbers.get(run) or max(numbers.values(), default=0) + 1


def make(
    run: Run, sources: Sources, newest_first: Iterable[Facts], folder: Path | None = None
) -> tuple[Facts, str]:
    """Collects the facts of a run, and renders its page.

    It is compared with the model's newest earlier run that got as far as its data, and its settings with
    those of the run that made production.

    Args:
        run: Its record, as far as it got.
        sources: The folders of its artifacts; the facts of missing ones are left out.
        newest_first: Read only as far as needed; later runs and those of other models are skipped.
        folder: Where the page will be; the page links to what lies around it. None: it has no links.
    """
    facts = collect_facts(sources, run)
    before = None
    production = find_production(facts)
    for earlier in newest_first:
        if earlier.run.workload != run.workload or earlier.run.order >= run.order:
            continue
        if before is None and earlier.data is not None:
            before = earlier
        if earlier.run.outcome == "pushed" and earlier.run.version == production:
            unlike = list_unlike(run.settings, earlier.run.settings)
            facts, production = replace(facts, unlike_production=unlike), None
        if before is not None and production is None:
            break
    return facts, render_run(facts, read_pictures(sources), before, _find_links(run, before, folder))


def _find_links(run: Run, before: Facts | None, folder: Path | None) -> dict[str, str]:
    """Returns the relative URLs of what the page of a run in `folder` can lead to, as far as it is there.

    The page of all runs is written after that of the run.
    """
    if folder is None:
        return {}
    names = {"Log": "run.log"}
    if before is not None:
        names["The run before"] = f"../{before.run.id}/{PAGE}"
    local = (artifact.uri for artifact in run.artifacts if os.path.isabs(artifact.uri))
    names |= {uri: os.path.relpath(uri, folder) for uri in local}
    existing = {name: path for name, path in names.items() if (folder / path).exists()}
    links = {"All runs": f"../index-{run.workload}.html", **existing}
    return {name: quote(path) for name, path in links.items()}
