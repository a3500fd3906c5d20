from pathlib import Path

import pytest

from edgeline.errors import UsageError
from edgeline.store.locations import locate
from runners.shared.run_options import NamedSettings, RunOptions, find_own_workload


@pytest.mark.parametrize(("named", "expected"), [("", "workload.yaml"), ("sensor", "sensor")])
def test_a_workload_that_is_not_named_is_the_one_in_the_folder_of_the_data(tmp_path, named, expected):
    (tmp_path / "workload.yaml").write_text("name: mine")
    options = RunOptions(NamedSettings(named, None, ()), tmp_path, tmp_path)
    assert options.named.workload.endswith(expected)


def test_without_a_workload_in_the_folder_of_the_data_it_is_the_shelf(tmp_path):
    for data in (None, tmp_path):
        assert RunOptions(NamedSettings("", None, ()), data, tmp_path).named.workload == "shelf"


def test_a_workload_in_a_store_is_neither_taken_nor_passed_over(bucket):
    data = locate(f"{bucket}/data")
    (data / "span-00001" / "labels.csv").write_text("")
    assert find_own_workload(data) == "shelf"
    (data / "workload.yaml").write_text("name: mine")
    with pytest.raises(UsageError, match=r"has a workload\.yaml, and --workload is not given"):
        RunOptions(NamedSettings("", None, ()), data, Path())
    assert RunOptions(NamedSettings("sensor", None, ()), data, Path()).named.workload == "sensor"
