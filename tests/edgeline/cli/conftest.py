import pytest

from edgeline.cli.main import main


@pytest.fixture
def call(capsys):
    """Runs `edgeline` in this process; returns its exit code and what it printed on both streams."""
    return lambda *arguments: (main([*map(str, arguments)]), *capsys.readouterr())
