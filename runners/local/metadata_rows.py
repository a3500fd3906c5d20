"""The rows of ML Metadata that describe runs and artifacts which are gone.

Its library cannot delete, so this goes to its SQLite file, in one transaction: all of it or nothing.
"""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

from errors import EdgelineError

# Of ml-metadata 1.16 and 1.17 alike (its metadata_source_query_config.h, template for schema version 10).
_SCHEMA = 10
_COMPLETE, _OUTPUT = 3, 4  # of Execution.State and Event.Type in its metadata_store.proto
_OF_EVENTS = "artifact_id IN gone_artifact OR execution_id IN gone_execution"
# What refers to a row goes before it.
_ROWS = {
    "EventPath": f"event_id IN (SELECT id FROM Event WHERE {_OF_EVENTS})",
    "Event": _OF_EVENTS,
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
# An execution stays with its run, or with what it made: the cache finds an artifact by who made it.
_MARK = f"""
CREATE TEMP TABLE gone_artifact AS SELECT id FROM Artifact WHERE NOT stays(uri);
CREATE TEMP TABLE gone_execution AS SELECT id FROM Execution
    EXCEPT SELECT execution_id FROM Association JOIN Context ON Context.id = context_id
        JOIN Type ON Type.id = Context.type_id WHERE Type.name = 'pipeline_run' AND of_run(Context.name)
    EXCEPT SELECT execution_id FROM Event JOIN Execution ON Execution.id = execution_id
        WHERE type = {_OUTPUT} AND last_known_state = {_COMPLETE}
        AND artifact_id NOT IN gone_artifact;
CREATE TEMP TABLE gone_context AS SELECT id FROM Context
    EXCEPT SELECT context_id FROM Association WHERE execution_id NOT IN gone_execution;
"""


def remove(store: Path, stays: Callable[[str], bool], runs: Collection[str], dry_run: bool = False) -> int:
    """Removes all rows but those of artifacts that stay, by URI, and of these runs; returns how many.

    Raises:
        EdgelineError: The file cannot be read or written, or is of another version of ML Metadata.
    """
    if not store.is_file():
        return 0
    try:
        with closing(sqlite3.connect(store, timeout=10.0)) as rows, rows:
            (version,) = rows.execute("SELECT schema_version FROM MLMDEnv").fetchone()
            if version != _SCHEMA:
                raise EdgelineError(
                    f"{store} has schema {version} of ML Metadata.",
                    f"This code knows schema {_SCHEMA}, and removes no rows of another.",
                    "Update Edgeline on this machine.",
                )
            rows.create_function("stays", 1, lambda uri: stays(uri or ""))
            rows.create_function("of_run", 1, lambda name: name in runs)
            rows.executescript(f"PRAGMA temp_store = MEMORY;{_MARK}")
            counts = [
                rows.execute(f"SELECT count(*) FROM {table} WHERE {which}").fetchone()[0]
                for table, which in _ROWS.items()
            ]
            for table, which in () if dry_run else _ROWS.items():
                rows.execute(f"DELETE FROM {table} WHERE {which}")
            return sum(counts)
    except sqlite3.Error as error:
        raise EdgelineError(
            f"{store} cannot be used: {error}.",
            "It is ML Metadata's, and has the rows of what goes.",
            "Free some space on its disk or repair it, and run this again.",
        ) from error
