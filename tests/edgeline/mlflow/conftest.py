from pathlib import Path

import pytest

from edgeline.mlflow.registry import Registry
from tests.shared import make_once


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> Path:
    """Makes a database with the tables of MLflow, once for all tests."""

    def make(folder: Path) -> Path:
        Registry(f"sqlite:///{folder}/mlflow.db", folder / "mlflow", "other")
        return folder / "mlflow.db"

    return make_once(tmp_path_factory, "mlflow", make)
