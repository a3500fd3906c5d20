from pathlib import Path

import pytest

from edgeline.errors import UsageError
from edgeline.store.locations import locate
from runners.shared.run_options import NamedSettings, RunOptions, find_own_workload


def test_the_default_workload_is_that_in_the_folder_of_the_data_or_the_shelf(tmp_path):
    def find(named, data=tmp_path):
        return RunOptions(NamedSettings(named, None, ()), data, tmp_path).named.workload

    assert find("", None) == find("") == "shelf"
    (tmp_path / "workload.yaml").write_text("name: mine")
    assert find("") == str(tmp_path / "workload.yaml") and find("sensor") == "sensor"


def test_a_name_finds_the_workload_and_the_data_that_were_imported_into_the_workspace(tmp_path):
    folder = tmp_path / "data" / "mine"
    (folder / "span-00001").mkdir(parents=True)
    (folder / "workload.yaml").write_text("name: mine")
    options = RunOptions(NamedSettings("mine", None, ()), None, tmp_path)
    assert (options.named.workload, options.data) == (str(folder / "workload.yaml"), folder)
    other = RunOptions(NamedSettings("mine", None, ()), tmp_path / "other", tmp_path)
    assert other.data == tmp_path / "other"
    assert RunOptions(NamedSettings("shelf", None, ()), None, tmp_path).data is None


def test_a_workload_in_a_store_has_to_be_named(bucket):
    data = locate(f"{bucket}/data")
    (data / "span-00001" / "labels.csv").write_text("")
    assert find_own_workload(data) == "shelf"
    (data / "workload.yaml").write_text("name: mine")
    with pytest.raises(UsageError, match=r"has a workload\.yaml, and --workload is not given"):
        RunOptions(NamedSettings("", None, ()), data, Path())
    assert RunOptions(NamedSettings("sensor", None, ()), data, Path()).named.workload == "sensor"
