import pytest

from edgeline.workspace.runs import RunFolder, discard_damaged, list_files
from tests.outputs import record_output


@pytest.fixture
def transform_graph(tmp_path):
    """Writes an artifact of two files that a run has recorded."""
    folder = tmp_path / "artifacts" / "Transform" / "transform_graph" / "9"
    (folder / "transform_fn").mkdir(parents=True)
    (folder / "transform_fn" / "saved_model.pb").write_bytes(b"x" * 1000)
    (folder / "metadata.txt").write_text("schema")
    run = RunFolder(tmp_path / "runs" / "20261005-091233")
    run.path.mkdir(parents=True)
    record_output(run, "Transform", "transform_graph", folder, list_files(str(folder)))
    return folder


def test_an_artifact_with_a_file_missing_or_truncated_is_removed_and_named_and_a_whole_one_stays(
    tmp_path, transform_graph
):
    assert discard_damaged(tmp_path) == []
    assert transform_graph.is_dir()
    (transform_graph / "transform_fn" / "saved_model.pb").write_bytes(b"x" * 999)
    (transform_graph / "metadata.txt").unlink()

    (message,) = discard_damaged(tmp_path)
    assert message == "Transform runs again: metadata.txt of its transform_graph is gone (and 1 more)."
    assert not transform_graph.exists()


def test_the_newest_record_of_an_artifact_counts(tmp_path, transform_graph):
    (transform_graph / "metadata.txt").write_text("another schema")
    later = RunFolder(tmp_path / "runs" / "20261006-091233")
    later.path.mkdir()
    files = list_files(str(transform_graph))
    record_output(later, "Transform", "transform_graph", transform_graph, files)

    assert discard_damaged(tmp_path) == []


def test_what_lies_outside_of_the_artifacts_is_never_removed(tmp_path, transform_graph):
    store = tmp_path / "push" / "serving"
    store.mkdir(parents=True)
    run = RunFolder(tmp_path / "runs" / "20261005-091233")
    record_output(run, "Importer", "model", store, {"gone.pb": 3})

    assert discard_damaged(tmp_path) == []
    assert store.is_dir()
