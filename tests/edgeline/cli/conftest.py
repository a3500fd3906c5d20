import pytest

from runners.cli.main import main


@pytest.fixture
def call(capsys):
    """Runs `edgeline` in this process; returns its exit code and what it printed on both streams."""
    return lambda *arguments: (main([*map(str, arguments)]), *capsys.readouterr())


@pytest.fixture
def edgeline(call, tmp_path):
    """Runs a command on the workspace of the test; returns its exit code and what it printed."""

    def run(*arguments):
        code, out, err = call(*arguments, "--workspace", tmp_path / "workspace")
        return code, out + err

    return run
