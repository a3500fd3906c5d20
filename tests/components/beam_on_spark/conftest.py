import importlib.util
import shutil

import pytest

missing = [
    *([] if importlib.util.find_spec("pyspark") else ["pyspark (make scale)"]),
    *([] if shutil.which("java") else ["a Java of 17 or newer"]),
]


@pytest.fixture(scope="session", autouse=True)
def skip_without_spark():
    if missing:
        pytest.skip(f"Spark needs {' and '.join(missing)}")
