"""The whole DAG as Kubeflow runs it: the compiled YAML through our entry point, without a cluster."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.shelf import renderer
from edgeline.edge import first_run
from edgeline.records.outcome import Outcome
from edgeline.records.steps import STEPS
from edgeline.release import store
from edgeline.report import archive
from pipeline.settings import load_settings
from pipeline.workloads import find_workload, with_features
from runners.cli.main import main
from runners.kubeflow.compiler import compile_pipeline
from tests.e2e.conftest import SMALL
from tests.e2e.test_own_workload import find_largest, write_files, write_span
from tests.runners.cli.process import python
from tests.runners.kubeflow.backend import Backend
from tests.warm import fork_conversions
from trainer_module.export import convert

pytestmark = pytest.mark.e2e

PLATFORM = (
    "kubeflow.image=edgeline:1",
    "kubeflow.pipeline_root=minio://mlpipeline/v2",
    "kubeflow.data=pvc://weeks/photos",
    "kubeflow.push=pvc://releases/push",
    "kubeflow.checkpoints=pvc://releases/checkpoints",
)
# The only trial is the best one.
SEARCH = ("tune.max_trials=1", "tune.space.trainer.learning_rate=[0.002]")
# A model that always answers `damaged`, which is right for a tenth of the photos.
USELESS = ("trainer.class_weights={damaged: 1000.0, ok: 0.001, misplaced: 0.001}", "trainer.batch_size=4")


@dataclass(frozen=True)
class Cluster:
    """One cluster with its claims, on which runs follow one another."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "claims" / "weeks" / "photos"

    @property
    def push(self) -> Path:
        return self.folder / "claims" / "releases" / "push"

    def run(self, name: str, *settings: str, version: str = "2.0.5", **parameters: float) -> Backend:
        workload = with_features(find_workload("shelf"))
        pipeline = self.folder / f"{name}.yaml"
        compile_pipeline(
            workload, load_settings(workload.settings, None, [*SMALL, *PLATFORM, *settings]), pipeline
        )
        run = Backend(pipeline, self.folder, name, version, parameters)
        run.go_on()
        return run


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    workers = os.cpu_count() or 1
    renderer.generate(cluster.data, weeks=2, per_week=120, seed=20, faults={}, workers=workers)
    with pytest.MonkeyPatch.context() as patch:
        # One process for each file, not five: the median is not tested here.
        patch.setattr(first_run, "_PROCESSES", 1)
        patch.setattr(convert, "subprocess", fork_conversions())
        yield cluster


@pytest.fixture(scope="module")
def first(cluster):
    return cluster.run("run-1", *SEARCH)


def get_errors(run):
    return {step: result.log for step, result in run.results.items() if result.code}


def test_every_step_ends_well_and_a_release_with_its_record_is_in_production(cluster, first):
    assert not get_errors(first)
    assert set(first.results) == set(first.tasks)
    words = {step: result.sentence.split()[0] for step, result in first.results.items()}
    assert words.pop("ReleaseGate") == "Pushed:" and set(words.values()) == {"Done:"}
    release = store.current(cluster.push, "shelf")
    assert (release.version, release.manifest.run) == (1, "run-1")
    assert {len(release.manifest.code.digest), len(release.manifest.code.lock_digest)} == {64}
    assert store.verify(cluster.push, "shelf") == []
    facts = archive.read(cluster.push / "runs" / "shelf" / "run-1")
    assert facts.run.used_settings["trainer.learning_rate"] == 0.002
    assert [trial.values for trial in facts.search.trials] == [{"trainer.learning_rate": 0.002}]


def test_each_step_shows_a_page_and_the_measured_ones_their_figures(first):
    pages = {
        step: output for (step, name), output in first.outputs.items() if name == STEPS[step].page_output
    }
    assert set(pages) == {"DataValidator", "Tuner", "Trainer", "RunReport"}
    for step, output in pages.items():
        page = first.locate(output["uri"]).read_text()
        assert "<section" in page and "could not be created" not in page, step
    assert first.outputs["DataValidator", "metrics"]["metadata"]["passed"] == 1
    figures = first.outputs["RunReport", "metrics"]["metadata"]
    assert (figures["pushed"], figures["held_back"]) == (1, 0)
    assert 0 <= figures["model_worst_class_accuracy"] <= figures["model_accuracy"] <= 1
    confusion = first.outputs["RunReport", "confusion"]["metadata"]
    matrix = confusion["confusionMatrix"]
    assert [item["displayName"] for item in matrix["annotationSpecs"]] == ["ok", "misplaced", "damaged"]
    assert [len(item["row"]) for item in matrix["rows"]] == [3, 3, 3]
    first_point, *_, last = confusion["confidenceMetrics"]
    assert (first_point["recall"], last["recall"], last["falsePositiveRate"]) == (0, 1, 1)


@pytest.mark.exhaustive
def test_a_worse_model_is_held_back_at_the_last_step_with_a_reason(cluster, first):
    """The backend is the newest one, so that both forms are tested with every step but the Tuner."""
    run = cluster.run("run-2", *USELESS, version="2.17", epochs=1, seed=21)
    assert set(get_errors(run)) == {"ReleaseGate"}
    gate = run.results["ReleaseGate"]
    assert gate.code == 3
    assert gate.sentence.startswith("Held back: ")
    assert "below the model in production" in gate.sentence
    assert "Traceback" not in gate.log
    assert run.outputs["RunReport", "metrics"]["metadata"]["held_back"] == 1
    facts = archive.read(cluster.push / "runs" / "shelf" / "run-2")
    assert (facts.run.settings["trainer"]["epochs"], facts.run.settings["seed"]) == (1, 21)
    assert len(facts.training.epochs) == 1
    assert store.current(cluster.push, "shelf").version == 1


def test_a_parameter_that_no_setting_allows_ends_the_first_step_with_a_reason(first):
    wrong = Backend(first.pipeline, first.folder, "run-4", "2.17", {"epochs": 0})
    result = wrong.run_step("ExampleGen")
    assert result.code == 2
    assert result.sentence.startswith("Failed: One setting is wrong: trainer.epochs: 0 is not a whole number")
    assert "Start another run with valid parameters" in result.log and "kubeflow retry" not in result.log


def test_the_same_settings_give_the_same_bytes_in_every_process(tmp_path, monkeypatch):
    sets = [part for setting in PLATFORM for part in ("--set", setting)]
    arguments = ["kubeflow", "compile", *sets, "-o"]
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # The command has to choose it.
    result = python("-m", "runners.cli", *arguments, "there.yaml", cwd=tmp_path, PYTHONHASHSEED="1")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Wrote there.yaml: shelf, 17 steps, ")
    assert main([*arguments, str(tmp_path / "here.yaml")]) == 0
    assert (tmp_path / "here.yaml").read_bytes() == (tmp_path / "there.yaml").read_bytes()


def test_a_step_as_its_container_starts_it(first, tmp_path):
    """Folders take the place of URIs; the entry point leaves them as they are."""
    executor_input = first.make_executor_input("ReleaseGate", tmp_path)
    (pushed,) = executor_input["inputs"]["artifacts"]["pushed_model"]["artifacts"]
    pushed["uri"] = str(first.locate(pushed["uri"]))
    arguments = first.make_arguments("ReleaseGate", executor_input)
    result = python("-m", "runners.kubeflow.pod.entry", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (expiry,) = set(re.findall(r"Valid until \S+Z\.", result.stderr))
    (outlook,) = set(re.findall(r"After this push, a phone that trusts [^\"]*?, until \S+Z\.", result.stderr))
    reasons = ("Version 1 of shelf went into production.", expiry, outlook)
    outcome = Outcome("pushed", 1, reasons, step="ReleaseGate")
    assert result.stderr.splitlines()[-2:] == [outcome.to_line(), f"Pushed: {' '.join(reasons)}"]
    assert "executor_class_path" not in result.stderr


def test_a_workload_and_a_component_of_ones_own_lie_in_no_room_of_the_project_and_a_bad_week_is_refused(
    tmp_path, monkeypatch
):
    """Both modules are found by their names alone, as in an image on the project's; up to Transform."""
    write_files(tmp_path / "gestures")
    monkeypatch.syspath_prepend(tmp_path / "gestures")
    cluster = Cluster(tmp_path / "cluster")
    for week in (1, 2):
        write_span(cluster.data / f"span-0000{week}", week)
    workload = with_features(find_workload(str(tmp_path / "gestures" / "workload.yaml")))
    limit = str(tmp_path / "gestures" / "limit.yaml")
    settings = load_settings(workload.settings, limit, [*PLATFORM, "gate.min_examples_per_class=5"])
    pipeline = tmp_path / "gestures.yaml"
    compile_pipeline(workload, settings, pipeline)

    run = Backend(pipeline, cluster.folder, "run-1", "2.17")
    run.go_on(until="Transform")

    assert not get_errors(run)
    assert run.results["Limit"].sentence.startswith("Done: Limit in ")
    assert {"DataGate", "Transform"} <= set(run.results) and "Trainer" not in run.results
    limited, whole = (
        find_largest(run.locate(run.outputs[step, name]["uri"]))
        for step, name in (("Limit", "limited"), ("ExampleGen", "examples"))
    )
    assert limited == 8.0 < whole

    # A bad week ends at its gate.
    write_span(cluster.data / "span-00003", 3, broken=200)
    run = Backend(pipeline, cluster.folder, "run-2", "2.17")
    run.go_on()
    assert set(get_errors(run)) == {"DataGate"}
    assert run.results["DataGate"].code == 4
    assert run.results["DataGate"].sentence.startswith("Data refused: ")
    assert run.outputs["DataValidator", "metrics"]["metadata"]["passed"] == 0
    assert not {"Limit", "Transform", "Trainer", "Pusher"} & set(run.results)
