"""The SQLite file of ML Metadata beyond its library: a check, free ids, and the removal of rows.

Rows of removed runs and artifacts are removed, or those of one step of a run. Its library cannot delete, so
this edits the file, in one transaction.
"""

import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from edgeline.errors import EdgelineError

METADATA = "metadata.sqlite"  # the ML Metadata of a workspace

# ml-metadata 1.16 and 1.17 both have it (metadata_source_query_config.h, template for schema version 10).
_SCHEMA = 10
_GONE_EVENT = "artifact_id IN gone_artifact OR execution_id IN gone_execution"
# Seconds to wait for another program that writes to the file.
_PATIENCE_S = 10.0
# Errors of SQLite that say nothing of the file's content.
_AWAY = re.compile("locked|full|readonly|I/O|unable to open|interrupted")
# Rows that refer to another row are removed before it.
_ROWS = {
    "EventPath": f"event_id IN (SELECT id FROM Event WHERE {_GONE_EVENT})",
    "Event": _GONE_EVENT,
    "Attribution": "artifact_id IN gone_artifact OR context_id IN gone_context",
    "Association": "execution_id IN gone_execution OR context_id IN gone_context",
    "ParentContext": "context_id IN gone_context OR parent_context_id IN gone_context",
    "ArtifactProperty": "artifact_id IN gone_artifact",
    "ExecutionProperty": "execution_id IN gone_execution",
    "ContextProperty": "context_id IN gone_context",
    "Artifact": "id IN gone_artifact",
    "Execution": "id IN gone_execution",
    "Context": "id IN gone_context",
}
_MARK = Path(__file__).with_name("mark_gone.sql")
# A run finds the executions of its steps through its own context and the step's.
_CONTEXTS = "SELECT Context.id FROM Context JOIN Type ON Type.id = Context.type_id WHERE Type.name"
_FORGET = f"""
DELETE FROM Association WHERE context_id IN ({_CONTEXTS} = 'pipeline_run' AND Context.name = ?)
    AND execution_id IN (SELECT execution_id FROM Association
        WHERE context_id IN ({_CONTEXTS} = 'node' AND Context.name = ?))
"""
# The text of SQLite's own error may quote damaged bytes, which Python cannot decode.
_DAMAGES = (sqlite3.Error, UnicodeDecodeError)


def check_database(store: Path) -> None:
    """Reads a store whole, as SQLite checks it; one that does not exist, or is empty, is made by a run.

    Raises EdgelineError, with the command that puts it aside, if it is damaged or cannot be read.
    """
    if not os.path.lexists(store):
        return
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(store))}?mode=rw", uri=True, timeout=_PATIENCE_S)
        ) as rows:
            (finding,) = rows.execute("PRAGMA integrity_check(1)").fetchone()
            tables = {name for (name,) in rows.execute("SELECT name FROM sqlite_master")}
    except _DAMAGES as error:
        raise _make_error(store, error) from error
    if finding != "ok":
        raise _make_damage_error(store, " ".join(finding.rpartition("***")[2].split()))
    if tables and not {*_ROWS, "Type", "MLMDEnv"} <= tables:
        raise _make_damage_error(store, "it lacks tables of ML Metadata")


def skip_used_ids(store: Path, artifacts: Path) -> None:
    """Lets the ids of executions go on above those of all folders of outputs, ARTIFACTS/STEP/OUTPUT/ID.

    A store that is new, or was copied back from a backup, would give the ids of earlier runs again, whose
    outputs are in these folders, and stay there. Raises EdgelineError if the store cannot be written.
    """
    folders = chain(artifacts.glob("*/[!.]*/*"), artifacts.glob("*/.system/executor_execution/*"))
    used = max((int(path.name) for path in folders if path.name.isdecimal()), default=0)
    if not used:
        return
    if not store.exists() or not store.stat().st_size:
        import ml_metadata
        from ml_metadata.proto import metadata_store_pb2

        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(store)
        ml_metadata.MetadataStore(connection)  # makes its tables
    with _open(store) as rows:
        (last,) = rows.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'Execution'").fetchone()
        if used > (last or 0):
            rows.execute("DELETE FROM sqlite_sequence WHERE name = 'Execution'")
            rows.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('Execution', ?)", (used,))


def remove(store: Path, stays: Callable[[str], bool], runs: Collection[str], dry_run: bool = False) -> int:
    """Removes the rows of all artifacts whose URI does not stay, and of all runs but `runs`; counts the rows.

    Args:
        store: The file; if it is missing, there is nothing to remove.
        stays: Called with the URI of each artifact, empty where it has none.
        runs: The ids of the runs that stay.
        dry_run: Counts without removing.

    Raises:
        EdgelineError: The file cannot be read or written, or is of another version of ML Metadata.
    """
    if not store.is_file():
        return 0
    with _open(store) as rows:
        rows.create_function("stays", 1, lambda uri: stays(uri or ""))
        rows.create_function("of_run", 1, lambda name: name in runs)
        rows.executescript(f"PRAGMA temp_store = MEMORY;{_MARK.read_text()}")
        counts = [
            rows.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0]
            for table, condition in _ROWS.items()
        ]
        if dry_run:
            return sum(counts)
        for table, condition in _ROWS.items():
            rows.execute(f"DELETE FROM {table} WHERE {condition}")
        return sum(counts)


def copy_without_step(store: Path, copy: Path, run: str, step: str) -> None:
    """Copies a store to a new file in which the step has not run yet in that run, so that TFX runs it again.

    Raises as `remove` does.

    Args:
        store: The file of the workspace; a run may write to it meanwhile.
        copy: The new file.
        run: The id of the run.
        step: The node's context, `<pipeline>.<step>`.
    """
    with _open(store) as rows, closing(sqlite3.connect(copy)) as target:
        rows.backup(target)
    with _open(copy) as rows:
        rows.execute(_FORGET, (run, step))


@contextmanager
def _open(store: Path) -> Iterator[sqlite3.Connection]:
    """Yields the store in one transaction, with its errors in three parts."""
    try:
        with closing(sqlite3.connect(store, timeout=_PATIENCE_S)) as rows, rows:
            (version,) = rows.execute("SELECT schema_version FROM MLMDEnv").fetchone()
            if version != _SCHEMA:
                raise EdgelineError(
                    f"{store} has schema {version} of ML Metadata.",
                    f"This code edits only schema {_SCHEMA}.",
                    "Update Edgeline on this machine.",
                )
            yield rows
    except _DAMAGES as error:
        raise _make_error(store, error) from error


def _make_error(store: Path, error: Exception) -> EdgelineError:
    if not _AWAY.search(str(error)):
        return _make_damage_error(store, str(error))
    return EdgelineError(
        f"{store} cannot be used: {error}.",
        "It is the database of ML Metadata, which says which steps are done.",
        "Free some space on its disk, or wait for the program that uses it, and run the same command again.",
    )


def _make_damage_error(store: Path, finding: str) -> EdgelineError:
    command = f"mv {shlex.quote(str(store))} {shlex.quote(f'{store}.damaged')}"
    return EdgelineError(
        f"{store} is damaged: {finding}.",
        "It is the database of ML Metadata, which says which steps are done. Runs, reports and releases do"
        " not need it: without it, each step runs once more.",
        f"Put it aside with `{command}`, and run the same command again.",
    )
