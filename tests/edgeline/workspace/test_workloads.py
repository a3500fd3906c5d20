"""A workload is named by its file, by data in the workspace, or by the model of an earlier run."""

import pytest

from edgeline.errors import UsageError
from edgeline.workspace.workloads import find_workload_file, locate_data, resolve_model
from tests.outputs import write_run


def write_workload(folder, text="name: mine\n"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "workload.yaml").write_text(text)
    return folder / "workload.yaml"


def test_a_name_stands_for_the_data_in_the_workspace_and_a_path_for_its_file_which_need_not_exist(tmp_path):
    data = write_workload(locate_data(tmp_path, "my_photos"))
    file = write_workload(tmp_path / "elsewhere")
    for named, found in (("my_photos", data), (str(file), file)):
        assert find_workload_file(named, tmp_path) == found
        assert resolve_model(named, tmp_path) == "mine"
    assert find_workload_file("gone/workload.yaml", tmp_path) is not None


def test_a_name_stands_for_the_workload_of_the_last_run_of_that_model(tmp_path, make_run):
    file = write_workload(tmp_path / "elsewhere")
    write_run(tmp_path, make_run(workload="mine", workload_source=str(file)))
    assert find_workload_file("mine", tmp_path) == file
    file.unlink()
    assert find_workload_file("mine", tmp_path) is None and resolve_model("mine", tmp_path) == "mine"


def test_another_name_is_that_of_a_model(tmp_path):
    write_workload(tmp_path / "data" / "a")
    for named in ("shelf", "../data/a", str(tmp_path / "data" / "a"), ""):
        assert find_workload_file(named, tmp_path) is None and resolve_model(named, tmp_path) == named


@pytest.mark.parametrize(
    ("text", "why"), [("a: b", "It has no `name`"), ("a: *b", "it has an alias"), (None, "No such file")]
)
def test_a_file_without_a_model_is_refused(tmp_path, text, why):
    if text is not None:
        write_workload(tmp_path, text)
    with pytest.raises(UsageError, match=why):
        resolve_model(str(tmp_path / "workload.yaml"), tmp_path)
