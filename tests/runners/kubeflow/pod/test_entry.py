"""The end of a step on Kubeflow: its exit code, and the last lines of its log."""

import json
import math
import re
import sys

import pytest

from edgeline.records.evaluation import METRICS, Confusion, Metrics
from edgeline.records.outcome import Outcome, find_outcome
from edgeline.records.steps import name_helper
from edgeline.records.verdict import PUSH, VERDICT, Push, Verdict
from edgeline.release import store
from edgeline.store.locations import get_filesystem, list_files_below, locate
from runners.kubeflow.pod import entry as kubeflow_entry
from runners.kubeflow.pod import pages as kubeflow_pages
from runners.kubeflow.pod.handover import Locations
from tests.edgeline.release.candidates import make_candidate

ADMISSION = "components.release_gate.ReleaseGate_Executor"
GATE = "components.data_gate.DataGate_Executor"
SCHEMA = "components.import_schema_gen.ImportSchemaGen_Executor"
FOLDER = "minio://bucket/shelf/run-1"
OUTPUTS = {SCHEMA: {"schema": "tfx.Schema"}, GATE: {"accepted_data": "components.artifacts.AcceptedData"}}
PUSHED = {"pushed_model": "Pusher/pushed_model"}


def run_step(root, step, executor, parameters, *options, **inputs):
    """Runs a step through the entry point; each input is a folder that the launcher has copied."""
    return kubeflow_entry.main(make_args(root, step, executor, parameters, *options, **inputs), root)


def make_args(root, step, executor, parameters, *options, at=FOLDER, **inputs):
    """Returns the arguments of a container for the entry point; artifacts of the run are `at` a URI."""
    executor_input = {
        "inputs": {
            "parameterValues": parameters,
            "artifacts": {n: {"artifacts": [{"uri": f"{at}/{f}", "name": "7"}]} for n, f in inputs.items()},
        },
        "outputs": {
            "artifacts": {
                name: {"artifacts": [{"uri": f"{at}/{step}/{name}", "type": {"schemaTitle": title}}]}
                for name, title in OUTPUTS.get(executor, {}).items()
            },
            "outputFile": str(root / "output.json"),
        },
    }
    spec = {
        "artifacts": {name: {"artifactType": {"schemaTitle": "tfx.PushedModel"}} for name in inputs},
        "parameters": {name: {"parameterType": "STRING"} for name in parameters},
    }
    words = ["--records", str(root / "push/runs/shelf"), "--step", step]
    words += ["--module", "trainer_module.workloads.photos", "--source", "data.photos.source"]
    words += ["--executor_class_path", executor]
    words += ["--json_serialized_invocation_args", json.dumps(executor_input)]
    words += ["--json_serialized_inputs_spec_args", json.dumps(spec), "--direct_num_workers=1"]
    return [*options, *words]


def get_path(root, *parts):
    return root.joinpath("minio/bucket/shelf/run-1", *parts)


def admit(root, push, *options):
    PUSH.write(get_path(root, "Pusher/pushed_model"), push)
    return run_step(root, "ReleaseGate", ADMISSION, make_parameters(root), *options, **PUSHED)


def make_parameters(root, run="run-1"):
    """Returns the parameters of ReleaseGate."""
    places = {"push": f"{root}/push", "records": f"{root}/push/runs/shelf"}
    return {**places, "model_name": "shelf", "run": run}


def read_output(root, name):
    (artifact,) = json.loads((root / "output.json").read_text())["artifacts"][name]["artifacts"]
    return artifact


def test_a_step_that_ends_well_says_so_and_leaves_its_outputs_where_the_launcher_looks(tmp_path, capfd):
    schema = {"text": "feature { name: 'a' }"}
    assert run_step(tmp_path, "ImportSchemaGen", SCHEMA, schema, *make_alert_options(tmp_path)) == 0
    assert not (tmp_path / "alerts").exists()  # A run goes on.
    *_, line, sentence = capfd.readouterr().err.splitlines()
    assert sentence.startswith("Done: ImportSchemaGen in ")
    outcome = find_outcome([line], "ImportSchemaGen")
    assert (outcome.outcome, outcome.exit_code, outcome.version) == ("done", 0, None)
    assert get_path(tmp_path, "ImportSchemaGen/schema/schema.pbtxt").read_text() == "feature { name: 'a' }"
    schema = read_output(tmp_path, "schema")
    assert schema["uri"] == f"{FOLDER}/ImportSchemaGen/schema"
    assert schema["metadata"]["step_seconds"] >= 0


def test_a_run_that_is_held_back_ends_with_its_reason_in_one_line_and_no_traceback(tmp_path, capfd):
    reasons = ("Accuracy is 0.71;\n0.85 is needed.", "int8 is too large.")
    assert admit(tmp_path, Push("held", reasons=reasons)) == 3
    log = capfd.readouterr().err
    *_, why, do, last, sentence = log.splitlines()
    assert sentence == r"Held back: Accuracy is 0.71;\n0.85 is needed. int8 is too large."
    assert why and "`edgeline report latest --workload shelf --store DIR`" in do
    reason = sentence.removeprefix("Held back: ")
    assert find_outcome([last], "ReleaseGate") == Outcome("held", None, (reason,), do, "ReleaseGate", 3)
    assert "Traceback" not in log
    assert not (tmp_path / "output.json").exists()
    # RunReport has written the record of such a run already.
    assert not (tmp_path / "push").exists()


@pytest.mark.parametrize(("result", "count"), [("fail", 0), ("pass", 1)])
def test_the_shards_of_a_run_whose_data_is_refused_are_removed(tmp_path, bucket, result, count):
    shards = locate(f"{bucket}/shards")
    get_filesystem(shards).pipe_file(f"{shards.path}/run-1/Split-train/a.gz", b"examples")
    VERDICT.write(get_path(tmp_path, "data_verdict"), Verdict("data", result, ("Far too dark.",)))
    names = ("data_verdict", "statistics", "anomalies", "quarantine", "schema", "inferred")
    for name in names:
        get_path(tmp_path, name).mkdir(exist_ok=True)
    parameters = {**make_parameters(tmp_path), "data": "", "recorded": "{}", "source": ""}
    options = "--shards", f"{bucket}/shards"
    code = run_step(tmp_path, "DataGate", GATE, parameters, *options, **{name: name for name in names})
    assert (code, len(list_files_below(shards))) == (4 if result == "fail" else 0, count)


def test_an_error_of_ours_ends_with_its_three_parts_and_leaves_the_page_of_the_run(tmp_path, capfd):
    assert admit(tmp_path, Push("pushed", 3)) == 1
    *_, why, do, last, sentence = capfd.readouterr().err.splitlines()
    assert sentence.startswith("Failed: Version 3 of shelf is not in the release store")
    assert why and "edgeline verify" in do and "`edgeline kubeflow retry run-1`" in do
    outcome = find_outcome([last], "ReleaseGate")
    assert (outcome.outcome, outcome.exit_code, outcome.do) == ("failed", 1, do)
    record = tmp_path / "push/runs/shelf/run-1"
    facts = json.loads((record / "facts.json").read_text())["run"]
    assert (facts["id"], facts["workload"], facts["outcome"]) == ("run-1", "shelf", "failed")
    assert [step["name"] for step in facts["steps"]] == ["ReleaseGate"]
    assert "Version 3 of shelf is not in the release store" in (record / "report.html").read_text()


@pytest.mark.parametrize("word", ["pushed", "unchanged"])
def test_the_outcome_of_the_last_step_has_the_version(tmp_path, capfd, word):
    candidate = make_candidate(tmp_path / "candidate", run="run-1")
    version = store.push(str(tmp_path / "push"), "shelf", candidate).version
    assert admit(tmp_path, Push(word, version, ("Version 1 is new.",))) == 0
    outcome = find_outcome(capfd.readouterr().err.splitlines()[-2:], "ReleaseGate")
    assert outcome == Outcome(word, 1, ("Version 1 is new.",), step="ReleaseGate")


def test_any_other_error_ends_in_one_line_with_its_traceback_above_also_where_no_page_can_be_left(
    tmp_path, capfd, caplog
):
    (tmp_path / "push").touch()
    assert run_step(tmp_path, "ImportSchemaGen", SCHEMA, {}) == 1
    *_, do, _, sentence = capfd.readouterr().err.splitlines()
    assert sentence.startswith("Failed: The step ImportSchemaGen failed: ValueError: ")
    assert "'text'" in sentence
    assert "edgeline kubeflow retry" in do
    assert "Traceback" in caplog.text


def test_a_page_that_cannot_be_made_fails_no_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgeline.report.step_pages", None)  # like an image without it
    wanted = {"training": {"uri": "minio://bucket/page"}}
    outputs = kubeflow_pages.make_pages("Trainer", wanted, {}, Locations(tmp_path))
    assert [artifact["uri"] for artifact in outputs["training"]["artifacts"]] == ["minio://bucket/page"]
    assert "Its page could not be created" in (tmp_path / "minio/bucket/page").read_text()


def test_another_pod_of_the_training_ends_well_without_a_page(tmp_path):
    assert run_step(tmp_path, name_helper("ImportSchemaGen", 1), SCHEMA, {"text": ""}) == 0
    assert list(json.loads((tmp_path / "output.json").read_text())["artifacts"]) == ["schema"]


def test_figures_that_are_no_numbers_do_not_reach_the_ui(tmp_path):
    """A diverged training has them, and the launcher refuses them."""
    folder = tmp_path / "minio/bucket/evaluation"
    overall = {"all": {"accuracy": 0.5, "loss": math.nan, "example_count": 10.0}}
    candidate = {"overall": overall, "class": {"ok": {"accuracy": 0.5, "example_count": 10.0}}, "lane": {}}
    METRICS.write(folder, Metrics(candidate, confusion=Confusion(("ok", "bad"), ((4, 1), (2, 3)))))
    executor_input = {"inputs": {"artifacts": {"evaluation": {"artifacts": [{"uri": str(folder)}]}}}}
    pages = {name: {"uri": f"minio://bucket/{name}"} for name in ("metrics", "confusion")}
    outputs = kubeflow_pages.make_pages("RunReport", pages, executor_input, Locations(tmp_path))
    (figures,) = outputs["metrics"]["artifacts"]
    assert figures["uri"] == "minio://bucket/metrics"
    # With its ISO week: the cluster has names of its own for the runs that a schedule starts.
    assert re.fullmatch(r"Figures of RunReport, \d{4}-W\d\d", figures["metadata"].pop("display_name"))
    assert figures["metadata"] and all(math.isfinite(value) for value in figures["metadata"].values())
    (matrix,) = outputs["confusion"]["artifacts"]
    assert matrix["metadata"]["confusionMatrix"] == {
        "annotationSpecs": [{"displayName": "ok"}, {"displayName": "bad"}],
        "rows": [{"row": [4, 1]}, {"row": [2, 3]}],
    }


def make_alert_options(root):
    """Returns options with which a step sends alerts to a command, which appends them to a file."""
    return ("--alerts", json.dumps({"command": ["sh", "-c", f"cat >>{root}/alerts; echo >>{root}/alerts"]}))


def test_any_step_that_ends_a_run_sends_an_alert_and_the_last_one_also_the_all_clear(tmp_path):
    options = make_alert_options(tmp_path)
    assert run_step(tmp_path, "ImportSchemaGen", SCHEMA, {}, *options) == 1
    for _ in range(2):
        assert admit(tmp_path, Push("held", reasons=("Accuracy is 0.71.",)), *options) == 3
    candidate = make_candidate(tmp_path / "candidate", run="run-1")
    version = store.push(str(tmp_path / "push"), "shelf", candidate).version
    assert admit(tmp_path, Push("pushed", version), *options) == 0
    failed, held, over = map(json.loads, (tmp_path / "alerts").read_text().splitlines())
    assert "ImportSchemaGen failed: ValueError" in failed["text"]
    assert "edgeline kubeflow retry run-1" in failed["text"]
    assert held["troubles"][0]["what"].startswith("Held back") and "Accuracy is 0.71." in held["text"]
    assert over["troubles"] == [] and over["over"][0].startswith("Held back")
    assert "In production: version 1" in over["text"]


@pytest.mark.parametrize("alerts", ['{"command": ["/no/such/program"]}', "{"])
def test_an_alert_that_cannot_be_sent_changes_no_exit_code(tmp_path, capfd, alerts):
    held = Push("held", reasons=("Accuracy is 0.71.",))
    assert admit(tmp_path, held, "--alerts", alerts) == 3
    assert capfd.readouterr().err.splitlines()[-1] == "Held back: Accuracy is 0.71."


def test_a_pod_logs_its_devices_at_its_start(tmp_path, caplog):
    (tmp_path / "dev").mkdir()
    for device in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / device).touch()
    with caplog.at_level("INFO", logger="edgeline.kubeflow"):
        run_step(tmp_path, "SchemaGen", "no.such.Executor", {})
    assert re.search(r"This pod has \d+ CPU cores and nvidia0, nvidia1\.", caplog.text)
