import pytest

from data.spans.source import load_source
from edgeline.errors import UsageError


def test_a_module_that_is_no_source_is_refused_with_what_it_lacks():
    with pytest.raises(UsageError, match="json has no open_source and no check and no count"):
        load_source("json")


def test_a_source_that_raises_when_imported_is_refused_with_what_it_raised(tmp_path, monkeypatch):
    (tmp_path / "raising_source.py").write_text("raise RuntimeError('no such sensor')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="raising_source cannot be imported: RuntimeError: no such sensor"):
        load_source("raising_source")
