"""ProductionModel and Pusher, on either side of the release store."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from msgspec import structs
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import (
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
    PushedModel,
    TunerResults,
)

from components.artifacts import AcceptedData, EdgeModels, Quarantine, Verdict
from components.production_model import ProductionModel
from components.pusher import Pusher
from components.release_gate import ReleaseGate
from edgeline.errors import EdgelineError
from edgeline.records.edge import EDGE_FILES, PREPROCESSING, EdgeFiles, FileReport, TensorContract, Variant
from edgeline.records.evaluation import METRICS, Metrics
from edgeline.records.served import PUSHED, SERVED, Served, ServedVersion, Tally
from edgeline.records.source import Source
from edgeline.records.training import SEARCH, Search, Trial
from edgeline.records.verdict import VERDICT
from edgeline.records.verdict import Verdict as Found
from edgeline.release import store, upkeep
from edgeline.release.settings import PushSettings
from edgeline.release.signing import KEY_VARIABLE, PRIVATE, PUBLIC, load_public_key, make_pair
from edgeline.release.state import Unvouched
from pipeline.settings import Settings
from tests.components.steps import artifact, execute
from tests.edgeline.gates.test_edge import GOOD
from tests.edgeline.release.candidates import make_candidate, read_signed, snapshot
from tests.examples import serialize, write_records

VARIANTS = ("fp16", "int8")

SPANS = {"span-00035": "a" * 64, "span-00042": "b" * 64}
FILE_REPORT = FileReport({"CONV_2D": 2}, (), (), (), (), {}, {}, {"CONV_2D": 3}, "2.3")

SOURCE = Source("ab" * 20, "main", True, "ef" * 32)

Outcome = tuple[str, int, list[str]]


@pytest.fixture
def push(tmp_path):
    return tmp_path / "push"


@dataclass
class Run:
    """The outputs of the steps before the pusher in a run; the model's files begin with `content`."""

    folder: Path
    content: str = "first"
    evaluation: str = "pass"
    edge: str = "pass"
    failed_variants: tuple[str, ...] = ()
    labels: str = "ok\nmisplaced\ndamaged\n"
    searched: Mapping[str, int] | None = None  # the best settings of a search
    run: str = "run-1"
    compared_with: int | None = None  # the production version when it was judged; the current one by default

    def write_inputs(self, production: int) -> dict[str, Artifact]:
        candidate = make_candidate(self.folder / "made", self.content)
        model = artifact(Model, self.folder / "model")
        (self.folder / "model").mkdir()
        candidate.saved_model.rename(self.folder / "model" / "Format-Serving")
        bundle = self.folder / "made" / "bundle"
        (bundle / "labels.txt").write_text(self.labels)
        PREPROCESSING.write(bundle, {"version": 1, "kind": "image", "image_size": 128})
        for gate, result in (("evaluation", self.evaluation), ("edge", self.edge)):
            VERDICT.write(self.folder / gate, Found(gate, result, (f"The {gate} says {result}.",)))
        version = production if self.compared_with is None else self.compared_with
        metrics = Metrics({"overall": {"all": {"accuracy": 0.94}}}, baseline_version=version)
        METRICS.write(self.folder / "evaluation", metrics)
        edge_files = EdgeFiles(self._passed[0], 100, tuple(map(self._variant, VARIANTS)))
        EDGE_FILES.write(self.folder / "edge", edge_files)
        (self.folder / "edge" / "golden").mkdir()
        (self.folder / "edge" / "golden" / "01.jpg").write_text("a photo")
        search = {}
        if self.searched:
            SEARCH.write(self.folder / "search", Search("val_loss", 1, (Trial(1, self.searched, score=0.2),)))
            search = {"search": artifact(TunerResults, self.folder / "search")}
        window = {"first_span": 35, "last_span": 42, "window": "f" * 64, "spans": json.dumps(SPANS)}
        return {
            "examples": artifact(Examples, self.folder / "examples", **window),
            "model": model,
            "evaluation": artifact(ModelEvaluation, self.folder / "evaluation"),
            "blessing": artifact(ModelBlessing, self.folder / "evaluation"),
            "edge_models": artifact(EdgeModels, bundle),
            "edge_verdict": artifact(Verdict, self.folder / "edge"),
            "model_run": artifact(ModelRun, self.folder / "model_run"),
            "quarantine": artifact(Quarantine, self.folder / "quarantine"),
            "accepted_data": artifact(AcceptedData, self.folder / "accepted"),
            **search,
        }

    @property
    def _passed(self) -> list[str]:
        return [name for name in VARIANTS if name not in self.failed_variants]

    def _variant(self, name: str) -> Variant:
        file, reasons = f"model_{name}.tflite", () if name in self._passed else ("It is too large.",)
        tensor = TensorContract("image", (1, 16, 16, 1), "float32", None, None)
        inspected = replace(FILE_REPORT, inputs=(tensor,), outputs=(replace(tensor, shape=(1, 3)),))
        return Variant(name, file, reasons, inspected, structs.replace(GOOD, file=file, accuracy=0.93))

    def push_to(self, root: Path, **settings: object) -> Outcome:
        current, pushed = store.current(root, "shelf"), artifact(PushedModel, self.folder / "pushed")
        inputs = self.write_inputs(current.version if current else 0)
        execute(
            Pusher,
            inputs,
            {"pushed_model": pushed},
            self.folder,
            labels=json.dumps(["ok", "misplaced", "damaged"]),
            push=str(root),
            model_name="shelf",
            settings=Settings(push=PushSettings(**settings)).of("Pusher"),
            code="c" * 64,
            lock="d" * 64,
            source=SOURCE.to_json(),
            run=self.run,
        )
        record = json.loads((self.folder / "pushed" / "push.json").read_text())
        assert record["outcome"] == pushed.get_string_custom_property("outcome")
        assert record["version"] == pushed.get_int_custom_property("version")
        return record["outcome"], record["version"], record["reasons"]


@pytest.fixture(scope="module")
def store_with_release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushed")
    assert Run(folder / "1").push_to(folder / "push")[:2] == ("pushed", 1)
    return folder / "push"


@pytest.fixture
def first_release(store_with_release, push):
    """Copies a store that has one release."""
    return shutil.copytree(store_with_release, push, symlinks=True)


def run_production_model(root, folder, served=None):
    model, quarantine = artifact(Model, folder), artifact(Quarantine, folder.with_name("ingested"))
    examples = artifact(Examples, folder.with_name("examples"))
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    if served:
        SERVED.write(Path(quarantine.uri), served)
    execute(
        ProductionModel,
        {"examples": examples, "quarantine": quarantine},
        {"model": model},
        folder,
        push=str(root),
        model_name="shelf",
        labels=json.dumps(["ok", "misplaced", "damaged"]),
        settings="",
        code="",
        production="",
    )
    return model


def test_an_empty_store_gives_an_artifact_without_a_model_that_is_no_empty_folder(push, tmp_path):
    model = run_production_model(push, tmp_path / "model")
    assert model.get_int_custom_property("has_model") == 0
    assert model.get_int_custom_property("version") == 0
    assert any(path.is_file() for path in Path(model.uri).iterdir())
    assert not push.exists()


@pytest.mark.parametrize(
    ("column", "mismatch"),
    [("size", ""), ("height", "It reads the feature size (float), which these examples do not have.")],
)
def test_a_model_that_reads_a_column_that_was_renamed_is_put_out_with_the_reason(
    column, mismatch, push, tmp_path
):
    import tensorflow as tf

    candidate, module = make_candidate(tmp_path / "1"), tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
    def serve(examples):
        size = tf.io.FixedLenFeature([1], tf.float32)
        return {"probabilities": tf.io.parse_example(examples, {"size": size})["size"]}

    tf.saved_model.save(module, str(candidate.saved_model), {"serving_default": serve})
    store.push(push, "shelf", candidate)
    write_records(tmp_path / "examples/Split-eval/data-0.gz", [serialize({column: 1.5, "newest_span": 1})])
    model = run_production_model(push, tmp_path / "model")
    assert model.get_string_custom_property("mismatch") == mismatch


def test_a_saved_model_that_somebody_replaced_is_no_baseline(first_release, push, tmp_path):
    model = push / "serving/shelf/1/saved_model.pb"
    model.write_bytes(model.read_bytes()[::-1])
    with pytest.raises(EdgelineError, match="shelf 1, in production, is damaged: serving/shelf/1/saved_mo"):
        run_production_model(push, tmp_path / "model")


def test_served_versions_in_the_store_are_put_out_with_their_eval_accuracy(first_release, push, tmp_path):
    served = Served(tuple(ServedVersion(version, Tally(9, 0.9)) for version in (7, 1)))
    model = run_production_model(push, tmp_path / "model", served)
    ((version, release),) = PUSHED.read(Path(model.uri)).items()
    assert (version, release.accuracy_of("lane", "lane-01")) == (1, 0.94)
    assert release.created == store.current(push, "shelf").manifest.created


def test_a_model_that_passed_both_gates_goes_into_production_with_its_provenance(push, tmp_path):
    outcome, version, _ = Run(tmp_path / "1", evaluation="no_baseline").push_to(push)
    assert (outcome, version) == ("pushed", 1)
    manifest = store.current(push, "shelf").manifest
    assert manifest.default_variant == "fp16"
    assert [variant.ops for variant in manifest.variants] == [{"CONV_2D": 2}] * 2
    assert [variant.least_runtime for variant in manifest.variants] == ["2.3"] * 2
    assert manifest.default.op_versions == {"CONV_2D": 3}
    assert manifest.metrics["overall"]["all"]["accuracy"] == 0.94
    assert (manifest.data.first_span, manifest.data.last_span) == (35, 42)
    assert manifest.data.spans == SPANS
    assert manifest.data.fingerprint == "f" * 64
    assert (manifest.run, manifest.code.digest) == ("run-1", "c" * 64)
    assert (manifest.code.lock_digest, manifest.code.source) == ("d" * 64, SOURCE)
    assert {"python", "tensorflow", "tfx"} <= set(manifest.versions)
    assert "edge/shelf/1/golden/01.jpg" in {entry.path for entry in manifest.files}
    assert store.current(push, "shelf").read("golden/01.jpg") == b"a photo"
    assert store.verify(push, "shelf") == []


def test_card_provenance_and_bill_of_materials_are_of_the_run_and_its_search(push, tmp_path):
    Run(tmp_path / "1").push_to(push)
    Run(tmp_path / "2", "second", searched={"model.hidden": 32}).push_to(push, licence="MIT")
    release = store.current(push, "shelf")
    card = release.read("model_card.html").decode()
    assert "Model card: shelf, version 2" in card and "Made by run run-1" in card and "MIT" in card
    assert "<th>model.hidden</th><td><code>32</code>" in card
    build = json.loads(release.read("provenance.json"))["predicate"]["buildDefinition"]
    assert build["internalParameters"]["tuned"] == {"model.hidden": 32}
    settings = Settings().model_dump(mode="json")
    public = build["externalParameters"]["settings"]
    assert public == {name: settings[name] for name in public} and {"seed", "data", "trainer"} <= {*public}
    assert SOURCE.sentence in card
    (commit,) = (item for item in build["resolvedDependencies"] if item["name"] == "source")
    assert commit["digest"] == {"gitCommit": SOURCE.commit}
    assert commit["annotations"] == {"branch": "main", "dirty": True, "difference": SOURCE.difference}
    # Nobody else needs to know where releases and the key are.
    assert "push" not in public
    assert '"tensorflow"' in release.read("mlbom.cdx.json").decode()


def test_a_release_has_the_values_of_the_settings_and_is_signed_with_their_key(push, tmp_path):
    make_pair(tmp_path / "keys")
    private = tmp_path / "keys" / PRIVATE
    values = {"min_app_version": "2.4.0", "rollback_epoch": 3, "licence": "MIT", "data_statement": "Ours."}
    key = str(private)
    assert Run(tmp_path / "1").push_to(push, expires_days=7, key=key, **values)[:2] == ("pushed", 1)
    manifest = store.current(push, "shelf").manifest
    assert {name: getattr(manifest, name) for name in values} == values
    reasons = Run(tmp_path / "2", "second").push_to(push, rollback_epoch=4, key=key)[2]
    assert reasons[1] == f"Valid until {store.current(push, 'shelf').manifest.expires}."
    assert "epoch 4" in reasons[2] and f"a phone that trusts {manifest.signed_by[:16]}" in reasons[3]
    assert f"switches to version 2, signed with {manifest.signed_by}, until 20" in reasons[3]
    assert manifest.signed_by == load_public_key(str(tmp_path / "keys" / PUBLIC))
    assert store.verify(push, "shelf") == []
    secret = private.read_text().splitlines()[1].encode()
    files = [path for path in (*push.rglob("*"), *(tmp_path / "1").rglob("*")) if path.is_file()]
    assert files and not any(secret in path.read_bytes() for path in files)


def test_a_push_with_another_key_in_the_environment_than_before_needs_the_first_to_be_trusted(
    push, tmp_path, monkeypatch
):
    signers = [make_pair(tmp_path / name) for name in ("one", "two")]
    for name in ("one", "two"):
        monkeypatch.setenv(KEY_VARIABLE, (tmp_path / name / PRIVATE).read_text())
        if name == "two":
            with pytest.raises(Unvouched, match=f"it is signed with {signers[0]}. Expected {signers[1]}"):
                Run(tmp_path / "2", "model two").push_to(push)
        Run(tmp_path / name, f"model {name}").push_to(push, trusted_keys=signers[:1])
    assert read_signed(push)[1] == signers[1] and store.verify(push, "shelf") == []


def test_a_variant_that_failed_is_not_in_the_bundle(push, tmp_path):
    Run(tmp_path / "1", failed_variants=("fp16",)).push_to(push)
    release = store.current(push, "shelf")
    assert release.manifest.default_variant == "int8"
    assert [path.name for path in release.edge.glob("*.tflite")] == ["model_int8.tflite"]


@pytest.mark.parametrize(
    ("evaluation", "edge", "reasons"),
    [
        ("fail", "pass", ["The evaluation says fail."]),
        ("pass", "fail", ["The edge says fail."]),
        ("fail", "fail", ["The evaluation says fail.", "The edge says fail."]),
    ],
)
def test_a_model_that_failed_a_gate_is_held_back_and_production_stays(
    first_release, push, tmp_path, evaluation, edge, reasons
):
    before = snapshot(push)
    outcome = Run(tmp_path / "2", "second", evaluation, edge).push_to(push)
    assert outcome == ("held", 0, reasons)
    assert snapshot(push) == before


def test_a_step_that_is_repeated_after_its_push_reports_the_push(first_release, push, tmp_path):
    before = snapshot(push)
    assert Run(tmp_path / "again").push_to(push)[:2] == ("pushed", 1)
    assert Run(tmp_path / "2", run="run-2").push_to(push)[:2] == ("unchanged", 1)
    assert snapshot(push) == before


def test_a_model_that_was_rolled_back_does_not_come_back_by_itself(first_release, push, tmp_path):
    assert Run(tmp_path / "2", "second").push_to(push)[:2] == ("pushed", 2)
    store.rollback(push, "shelf", "phones crash on it")
    outcome, version, (reason,) = Run(tmp_path / "3", "second", run="run-3").push_to(push)
    assert (outcome, version) == ("unchanged", 2)
    assert "edgeline promote 2" in reason and "phones crash on it" in reason
    assert store.current(push, "shelf").version == 1


@pytest.mark.parametrize(
    ("before", "action", "canary"),
    [(1, "compared its model with version 1", 10), (0, "judged its model by itself", None)],
)
def test_a_model_that_was_compared_with_an_older_version_than_production_is_held(
    push, tmp_path, before, action, canary
):
    for number in range(before + 1):
        Run(tmp_path / f"{number}", f"week {number}").push_to(push)
    state, late = snapshot(push), Run(tmp_path / "late", "late", compared_with=before)
    assert late.push_to(push, canary_percent=canary) == (
        "held",
        before + 1,
        [
            f"Version {before + 1} came into production since this run {action}.",
            f"Its model may be worse than version {before + 1}.",
            f"Start a new run, which compares its model with version {before + 1}.",
        ],
    )
    assert snapshot(push) == state


def test_labels_that_are_not_those_of_the_schema_and_the_model_are_not_pushed(first_release, push, tmp_path):
    before = snapshot(push)
    with pytest.raises(EdgelineError, match=r"labels\.txt does not fit the model"):
        Run(tmp_path / "2", "second", labels="ok\ndamaged\nmisplaced\n").push_to(push)
    assert snapshot(push) == before


def admit(push: tuple[str, int], root: Path, folder: Path, run: str = "run-1") -> None:
    """Runs ReleaseGate after a pusher that wrote an outcome and a version."""
    folder.mkdir(parents=True)
    record = {"outcome": push[0], "version": push[1], "reasons": ["The int8 file is too large."]}
    (folder / "push.json").write_text(json.dumps(record))
    execute(
        ReleaseGate,
        {"pushed_model": artifact(PushedModel, folder)},
        {},
        folder,
        push=str(root),
        model_name="shelf",
        run=run,
        records="",
    )


def test_a_run_that_pushed_is_admitted_also_after_production_moved_on(push, tmp_path):
    outcome, version, _ = Run(tmp_path / "1").push_to(push)
    admit((outcome, version), push, tmp_path / "pushed")
    other = make_candidate(tmp_path / "other", "other", preprocessing={"kind": "image"})
    store.push(push, "shelf", other)
    admit((outcome, version), push, tmp_path / "pushed later")
    admit(("unchanged", version), push, tmp_path / "unchanged", run="run-2")


def test_a_run_whose_model_was_rolled_back_and_collected_ends_as_unchanged(push, tmp_path):
    for name in ("first", "second"):
        store.push(push, "shelf", make_candidate(tmp_path / name, name))
    store.rollback(push, "shelf", "phones crash on it")
    for name in ("third", "fourth"):
        store.push(push, "shelf", make_candidate(tmp_path / name, name))
    assert 2 in upkeep.collect_releases(push, "shelf", keep=1)

    outcome, version, (reason,) = Run(tmp_path / "again", "second").push_to(push)
    assert (outcome, version) == ("unchanged", 2) and "garbage-collected" in reason
    admit((outcome, version), push, tmp_path / "pushed")


@pytest.mark.parametrize(
    ("result", "run"), [(("pushed", 2), "run-1"), (("unchanged", 2), "run-1"), (("pushed", 1), "another run")]
)
def test_a_release_that_is_not_in_the_store_as_the_pusher_says_ends_the_run(
    first_release, push, tmp_path, result, run
):
    """A pod that is deleted during its push may count as done."""
    with pytest.raises(EdgelineError, match=f"Version {result[1]} of shelf is not in the release store"):
        admit(result, push, tmp_path / "pushed", run)


def test_a_model_that_was_compared_with_a_version_rolled_back_since_is_pushed(push, tmp_path):
    for name in ("first", "second"):
        Run(tmp_path / name, name).push_to(push)
    store.rollback(push, "shelf", "phones crash on it")
    assert Run(tmp_path / "third", "third", compared_with=2).push_to(push)[:2] == ("pushed", 3)
