"""The tables of MLflow in the workspace's own database, which Edgeline migrates, and reads without MLflow."""

import logging
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from edgeline.errors import EdgelineError

RUN_ID = "edgeline.run"  # the tag with the id of a run

log = logging.getLogger(__name__)


def migrate_own_tables(uri: str, own: Path) -> None:
    """Creates or migrates the tables of the workspace's own SQLite database, and of no other database.

    MLflow by itself would migrate any database that lacks a table. Raises EdgelineError for tables of
    another MLflow, or, in the workspace's own database, of a newer one.
    """
    import sqlalchemy
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(uri)
    revision = utils._get_schema_version(engine)
    is_empty = utils._is_empty_database(engine)
    engine.dispose()
    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    is_own = uri == f"sqlite:///{own}"
    revisions = {entry.revision for entry in script.walk_revisions()}
    if revision == script.get_current_head() or (is_empty and not is_own):
        return
    if not is_empty and (revision not in revisions or not is_own):
        # MLflow itself says of newer tables only that it cannot locate their revision (mlflow/mlflow#6166).
        age = "an older" if revision in revisions else "a newer"
        raise EdgelineError(
            f"The tables of {uri} are of {age} MLflow ({revision}) than the installed {version('mlflow')}.",
            "Other programs may use them, so Edgeline does not change them.",
            f"Back them up and run `mlflow db upgrade {uri}`."
            if revision in revisions
            else "Install that version of MLflow, or set registry.uri to another place.",
        )
    # A copy is migrated, since SQLite would keep half of an interrupted migration.
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=own.parent) as scratch:
        copy = shutil.copy(own, scratch)
        engine = sqlalchemy.create_engine(f"sqlite:///{copy}")
        utils._initialize_tables(engine)
        engine.dispose()
        os.replace(copy, own)


def read_ids(uri: str) -> dict[str, str]:
    """Returns the ids of runs by MLflow's ids, read without MLflow, whose import takes seconds.

    Empty for a server, which keeps files by itself; empty, with a warning, where they cannot be read.
    """
    if uri.startswith("http"):
        return {}
    import sqlalchemy

    tags = sqlalchemy.table("tags", *map(sqlalchemy.column, ("run_uuid", "key", "value")))
    try:
        url = sqlalchemy.make_url(uri)
        if url.get_backend_name() == "sqlite" and not os.path.exists(url.database or ""):
            return {}
        query = sqlalchemy.select(tags.c.run_uuid, tags.c.value).where(tags.c.key == RUN_ID)
        with sqlalchemy.create_engine(url).connect() as database:
            return {row.run_uuid: row.value for row in database.execute(query)}
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        log.warning("The files of MLflow's runs stay, because %s cannot be read: %s", uri, error)
        return {}
