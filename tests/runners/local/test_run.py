"""Places where no run can work."""

import pytest

from edgeline.cli.main import main


@pytest.mark.parametrize("name", ["wo [1] rk", "a*b", "why?"])
def test_a_workspace_whose_path_is_a_pattern_is_refused(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--sample", "--workspace", name]) == 2
    assert "has the character" in capsys.readouterr().err and not list(tmp_path.iterdir())
