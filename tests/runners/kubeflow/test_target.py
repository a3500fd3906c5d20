"""Checks of a submission before anything is compiled."""

import pytest

from edgeline.release import store
from edgeline.release.signing import KEY_VARIABLE
from runners.shared.inputs import ROOT
from tests.edgeline.release.candidates import make_candidate, make_key

SIGNED = ("--set", f"kubeflow.secrets={{{KEY_VARIABLE}: signing/key}}")


def test_a_release_that_phones_would_refuse_is_refused_before_anything_is_compiled(
    server, edgeline, bucket, tmp_path
):
    candidate = make_candidate(tmp_path / "one", rollback_epoch=3, signing_key=make_key())
    store.push(bucket, "shelf", candidate)
    edgeline.write_settings(push=bucket)
    result = edgeline.type("kubeflow", "submit", *SIGNED)
    assert result.code == 2 and "Set push.rollback_epoch=3 " in result.err
    result = edgeline.type("kubeflow", "submit", "--set", "push.rollback_epoch=3")
    assert result.code == 2 and "shelf in production is signed" in result.err
    assert not server.pipelines and not server.runs


def test_a_pipeline_is_compiled_again_only_after_a_change(server, edgeline, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(edgeline.folder / "cache"))
    schema, workload = edgeline.folder / "schema.pbtxt", edgeline.folder / "workload.yaml"
    schema.write_text((ROOT / "schema" / "shelf.pbtxt").read_text())
    workload.write_text("name: crates\nkind: photos\nschema: schema.pbtxt\n")

    def submit(*settings):
        ended = edgeline.type("kubeflow", "submit", "--workload", str(workload), "--json", *settings)
        assert ended.code == 0, ended.err
        return "Compiling" in ended.err, ended.json["pipeline_version"]

    compiled, first = submit()
    assert compiled and submit() == (False, first)
    compiled, other = submit("--set", "trainer.epochs=2")
    assert compiled and other != first
    schema.write_text(schema.read_text() + "# Reviewed.\n")
    compiled, other = submit()
    assert compiled and other != first and len(server.versions) == 3


def test_a_pipeline_is_compiled_where_no_cache_can_be_written(edgeline, monkeypatch):
    (cache := edgeline.folder / "cache").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    ended = edgeline.type("kubeflow", "submit", "--json")
    assert ended.code == 0 and "Compiling" in ended.err


@pytest.mark.parametrize("command", [["submit"], ["schedule", "--cron", "0 0 3 * * 1"]])
def test_a_pipeline_of_another_workload_is_refused_before_anything_is_sent(server, edgeline, command):
    edgeline.write_package("sensor")
    result = edgeline(*command)
    assert result.code == 2 and "belongs to the workload sensor, not shelf" in result.err
    assert not server.pipelines and not server.runs and not server.recurring


@pytest.mark.parametrize("action", ["watch", "retry"])
def test_a_run_of_another_workload_is_neither_concluded_nor_recorded(server, edgeline, action):
    edgeline.write_package("sensor")
    edgeline("submit", "--workload", "sensor")
    [run] = server.runs
    result = edgeline(action, run)
    assert result.code == 2 and "belongs to the workload sensor, not shelf" in result.err
    assert edgeline("watch", run, "--workload", "sensor").code != 2


def test_workloads_whose_names_differ_by_an_underscore_share_no_pipeline(server, edgeline):
    """Kubeflow Pipelines accepts no underscore, so both pipelines have one name."""
    options = {}
    for name in ("a_b", "a-b"):
        path = edgeline.folder / f"{name}.yaml"
        path.write_text(f"name: {name}\nschema: {ROOT}/schema/shelf.pbtxt\n")
        options[name] = ("--workload", str(path))
    edgeline.write_package("a_b")
    assert edgeline("submit", *options["a_b"]).code == edgeline("submit", *options["a_b"]).code == 0
    assert "belongs to the workload a_b, not a-b" in edgeline("submit", *options["a-b"]).err
    result = edgeline("watch", next(iter(server.runs)), *options["a-b"])
    assert result.code == 2 and "belongs to the workload a_b, not a-b" in result.err
    edgeline.write_package("a-b")
    result = edgeline("submit", *options["a-b"])
    assert result.code == 2 and "'a-b' on" in result.err and "belongs to the workload a_b" in result.err
    assert len(server.runs) == 2


def test_a_run_whose_pipeline_version_was_deleted_cannot_be_retried(server, edgeline):
    edgeline("submit")
    server.versions.clear()
    result = edgeline("retry", next(iter(server.runs)))
    assert result.code == 1 and "no longer exists on" in result.err and "#/runs" in result.err
