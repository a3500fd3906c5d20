from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas
import pytest

import edgeline.reading
from edgeline import project
from edgeline.errors import EdgelineError, UsageError
from edgeline.records.edge import LABELS_FILE_NAME, PREDICTIONS, Prediction
from edgeline.records.evaluation import LABEL_ISSUES_CSV
from edgeline.records.run import Run
from edgeline.release import store
from edgeline.report import archive
from edgeline.report.facts import Evaluation, Facts, Slice
from edgeline.store.locations import locate
from edgeline.workspace.known_runs import KnownRun
from edgeline.workspace.runs import RunFolder
from runners.cli.main import main
from runners.local import one_step
from tests.conftest import make_workspace
from tests.edgeline.cli.test_predict import ROW, SHAPES, TOKENS, tflite
from tests.edgeline.cli.test_verify import push_with_golden
from tests.edgeline.release.candidates import make_candidate
from tests.edgeline.report.runs import a_run, spans
from tests.outputs import leave, record_output

ANSWERS = [
    Prediction("a.jpg", "dark", (0.9, 0.1), {"lane": "l1"}, 1, "g1"),
    Prediction("b.jpg", "bright", (0.7, 0.3), {"lane": "l2"}, 1, "g2"),
]


@pytest.fixture
def history(workspace):
    return edgeline.open(workspace)


def a_past_run(facts):
    return edgeline.reading.PastRun(None, KnownRun(facts, Path(), Path()))


def test_answers_of_phones_are_rows_beside_the_accuracy_on_eval():
    rows = a_past_run(a_run()).served()

    (overall,) = (row for row in rows if row["version"] == 2 and row["kind"] == "overall")
    assert (overall["answers"], overall["drawn"], overall["doubted"]) == (100, 50, 50)
    assert (overall["checked"], overall["on_eval"]) == (50, 0.93)
    assert overall["low"] < overall["accuracy"] < overall["high"]
    assert overall["expected"] == pytest.approx(0.9)
    assert {row["kind"] for row in rows} == {"overall", "class", "lane", "variant", "device", "week"}


def test_the_age_of_production_is_rows_too(history, monkeypatch):
    window = spans(3, ("ok",))
    facts = [
        replace(
            (run := a_run(id=f"r{number}", version=number)),
            data=replace(run.data, spans=window[:number]),
            evaluation=Evaluation((Slice("span", str(number), 50, 0.9, before=0.8),), before),
        )
        for number, before in ((1, None), (3, 1))
    ]
    monkeypatch.setattr(edgeline.reading.History, "runs", lambda self: [*map(a_past_run, facts[::-1])])
    (row,) = history.decay()
    assert row == {
        **{"run": "r3", "version": 1, "weeks": 2, "examples": 50, "released": 0.8, "retrained": 0.9}
    }


@pytest.fixture
def past_run(workspace):
    """Writes the answers of a run to two eval examples; returns the run."""
    folder = RunFolder(next((workspace / "runs").iterdir()))
    header = b"example,label,suggested,probability,probability_of_label,corrected"
    issues = header + b"\nb.jpg,bright,dark,0.97,0.01,\n"
    leave(folder, "EdgeValidator", "verdict", PREDICTIONS, ANSWERS)
    leave(folder, "EdgeConverter", "edge_models", LABELS_FILE_NAME, b"dark\nbright\n")
    leave(folder, "ModelValidator", "evaluation", LABEL_ISSUES_CSV, issues)
    return edgeline.open(workspace).run()


def test_runs_are_listed_newest_first_and_found_by_the_beginning_of_an_id(workspace, make_run):
    make_workspace(workspace, make_run, id="20261012-000000", number=1)
    history = edgeline.open(workspace)

    assert [run.id for run in history.runs()] == ["20261012-000000", "20261005-091233"]
    assert history.run("2026101").id == "20261012-000000"
    with pytest.raises(UsageError, match="2 runs begin with '2026'"):
        history.run("2026")


def test_a_run_gives_the_model_that_it_pushed_and_no_other_of_that_version(tmp_path, workspace, make_run):
    push_with_golden(tmp_path)
    mine, others = "20261012-000000", "20261019-000000"
    settings = {"push": {"destination": None}}
    fields = {"outcome": "pushed", "version": 1, "settings": settings}
    make_workspace(workspace, make_run, id=mine, **fields)
    make_workspace(workspace, make_run, id=others, **fields | {"workload": "bottles"})
    manifest = store.get(workspace / "push", "shelf").manifest
    with pytest.raises(
        UsageError, match=f"Version 1 of shelf comes from run {manifest.run}, not from {mine}"
    ):
        edgeline.open(workspace).run(mine).model()
    make_workspace(workspace, make_run, id=manifest.run, **fields)
    assert edgeline.open(workspace).run(manifest.run).model().labels == ("dark", "bright")
    with pytest.raises(UsageError, match="has no model 'bottles'"):
        edgeline.open(workspace).run(others).model()


def test_figures_are_rows_with_their_interval_and_settings_have_their_types():
    overall = Slice("overall", "all", 40, 0.9, 0.8, 0.95, measures={"recall": 0.7}, groups=8)
    settings = {"trainer": {"flip": False, "epochs": 3}, "push": {"destination": None}}
    run = Run(id="r", workload="shelf", settings=settings, tuned={"trainer.epochs": 4})
    past_run = a_past_run(Facts(run, evaluation=Evaluation((overall,))))

    assert past_run.settings == {"trainer.flip": False, "trainer.epochs": 4, "push.destination": None}
    assert past_run.metrics() == [
        {
            **{"slice": "all", "kind": "overall", "examples": 40, "groups": 8, "accuracy": 0.9},
            **{"low": 0.8, "high": 0.95, "before": None, "recall": 0.7},
        }
    ]


def test_answers_have_the_label_and_the_predicted_one_and_probable_label_errors_are_rows(past_run):
    first, second = past_run.predictions()

    assert first == {
        **{"example": "a.jpg", "label": "dark", "predicted": "dark", "probability": 0.9},
        **{"group": "g1", "span": 1, "lane": "l1", "dark": 0.9, "bright": 0.1},
    }
    assert (second["label"], second["predicted"]) == ("bright", "dark")
    assert past_run.label_issues() == [
        {
            **{"example": "b.jpg", "label": "bright", "suggested": "dark", "corrected": ""},
            **{"probability": 0.97, "probability_of_label": 0.01},
        }
    ]
    # A class with the name of a key leaves the key as it is.
    (past_run.known.sources.edge_models / LABELS_FILE_NAME).write_text("label\nlane\n")
    first, _ = past_run.predictions()
    assert (first["label"], first["predicted"], first["lane"]) == ("dark", "label", "l1")


def test_the_model_in_production_answers_as_on_a_phone_and_everything_is_printed_in_a_line(
    tmp_path, workspace, history
):
    push_with_golden(tmp_path)
    model, run = history.model(), history.run()
    assert repr(model) == "<model shelf version 1: dark, bright>"
    for value in (history, run, run.facts, run.step("Trainer"), model.bundle):
        assert len(repr(value)) < 200 and str(value).startswith("<")

    (tmp_path / "rows.csv").write_text("celsius\n21.5\n30\n")
    answer = model.predict({"celsius": ["21.5", "30"]})

    assert list(answer["probabilities"]) == ["bright", "dark"]
    [row] = history.model(variant="int8").predict_file(tmp_path / "rows.csv")
    assert row == {"input": "rows.csv:3", **answer, "problem": None}
    assert edgeline.open(workspace / "push").model(version=1).labels == ("dark", "bright")
    assert edgeline.open(f"file://{workspace / 'push'}").model(version=1).labels == ("dark", "bright")
    with pytest.raises(UsageError, match="celsius"):
        model.predict({"kelvin": ["21.5", "30"]})
    with pytest.raises(UsageError, match=r"shelf has no release 99\. Existing releases: 1\."):
        history.model(version=99)


def push_model(workspace, labels, preprocessing, file):
    """Pushes a release with a file and its contract."""
    candidate = make_candidate(workspace.parent / "candidate", labels=labels, preprocessing=preprocessing)
    for path in candidate.edge_files.values():
        path.write_bytes(file)
    store.push(workspace / "push", "shelf", candidate)


def test_a_text_or_photo_that_is_not_there_is_an_error_of_edgeline(tmp_path, workspace, history, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    push_model(workspace, ("dark", "bright"), TOKENS, tflite(SHAPES["tokens"], "int32", 0.5))
    with pytest.raises(EdgelineError, match=rf"{tmp_path}/none\.txt") as caught:
        list(history.model().predict_file("~/none.txt"))
    assert caught.value.why and caught.value.do


def test_a_model_of_another_kind_names_its_file(tmp_path, workspace, history, capsys):
    push_model(workspace, ("a", "b"), {"kind": "gesture"}, tflite(SHAPES["row"], "float32", 0.0))

    model = history.model()
    for ask in (lambda: model.predict({"samples": [0.1]}), lambda: list(model.predict_file(tmp_path))):
        with pytest.raises(UsageError, match=r"inputs of the kind 'gesture'\..* edge/shelf/1/model_"):
            ask()
    assert main(["predict", str(tmp_path), "--store", str(workspace / "push")]) == 2
    assert "reads inputs of the kind 'gesture'" in capsys.readouterr().err


def test_calls_that_need_the_project_say_so_without_it_and_a_store_has_no_inputs(
    history, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    in_store = edgeline.reading.History(replace(history.place, store="s3://bucket/push"))
    run = edgeline.reading.PastRun(in_store, history.run().known)
    step = edgeline.reading.PastStep("Trainer", "done", 1.0, {}, run)
    with pytest.raises(UsageError, match=r"s3://bucket/push does not have the inputs of Trainer in run 2026"):
        step.again()
    monkeypatch.setattr(project, "ROOT", tmp_path)

    assert hasattr(edgeline, "pipeline")
    for call in (lambda: edgeline.pipeline("shelf", data="spans"), lambda: step.again("trainer.epochs=2")):
        with pytest.raises(UsageError, match="needs the project, and only its package is installed here"):
            call()


def test_a_tilde_is_the_folder_of_the_user(history, workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(one_step, "run_step", lambda options: (options.out, {"out": str(options.out)}, 0.0))

    with pytest.raises(UsageError, match=f"{tmp_path}/spans is not a folder"):
        edgeline.pipeline("shelf", data="~/spans", workspace="~/own")
    step = edgeline.reading.PastStep("Trainer", "done", 1.0, {}, history.run())
    assert step.again(out="~/again").artifacts == {"out": str(tmp_path / "again")}
    assert not (workspace / "~").exists()


def test_the_pipeline_of_a_folder_has_the_workload_in_it(tmp_path):
    (tmp_path / "workload.yaml").write_text("kinds: photos\n")
    with pytest.raises(UsageError, match=r"workload\.yaml"):
        edgeline.pipeline(data=tmp_path, workspace=tmp_path / "workspace")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"workload": Path("none.yaml")}, r"none\.yaml"),
        ({"profile": Path("none.yaml")}, r"none\.yaml: no readable file"),
        ({"settings": "trainer.epoch=2"}, r"is wrong:\s+trainer\.epoch: there is no such setting"),
    ],
)
def test_the_pipeline_takes_paths_and_a_single_setting(tmp_path, given, problem):
    with pytest.raises(UsageError, match=problem):
        edgeline.pipeline(workspace=tmp_path / "workspace", data=tmp_path, **given)


def test_a_list_of_the_runs_of_a_bucket_fetches_no_files(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive.write(locate(bucket) / "runs/shelf/a-run", a_run(id="a-run"), "<p>its page")

    (run,) = edgeline.open(bucket).runs()
    assert run.id == "a-run" and not any(tmp_path.iterdir())
    assert run.report().path.read_text() == "<p>its page"


@pytest.fixture(scope="module")
def by_kind():
    """Makes a file with the probabilities of the one-hot of a category with one known value."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 1, 2))])
    def answer(row):
        return tf.nn.softmax(row[0])

    return tf.lite.TFLiteConverter.from_concrete_functions([answer.get_concrete_function()], answer).convert()


@pytest.fixture
def pumps(by_kind, workspace, history):
    kind = {"name": "kind", "vocabulary": ["pump"]}
    contract = {**ROW, "readings": 1, "numbers": [], "categories": [kind], "vocabulary_size": 1}
    push_model(workspace, ("other", "pump"), contract, by_kind)
    return history.model()


@pytest.mark.parametrize(
    "row",
    [
        *({"kind": cells} for cells in ("pump", ["pump"], np.array("pump"))),
        pandas.Series({"kind": "pump"}),
        pandas.DataFrame({"kind": ["pump"]}),
    ],
    ids=lambda row: f"{type(row).__name__} {row!r}"[:60],
)
def test_a_cell_is_the_same_in_each_container_of_python(pumps, row):
    assert pumps.predict(row)["label"] == "pump"


@pytest.mark.parametrize("example", ["kind", None, [{"kind": "pump"}]])
def test_an_example_that_is_no_row_is_refused_by_a_model_of_rows(pumps, example):
    with pytest.raises(UsageError, match="not cells by column") as caught:
        pumps.predict(example)
    assert caught.value.why and caught.value.do


def test_an_error_names_the_parameters_of_python(workspace):
    history = edgeline.open(workspace, model="shelff")
    for ask, words in (
        (history.run, "Pass one of these with model=..."),
        (history.model, "the place with place=..., or"),
        (edgeline.open(workspace.parent).run, "another workspace with place=..."),
        (
            lambda: edgeline.pipeline("shelf", data=workspace / "gone[", workspace=workspace / "["),
            "another folder with workspace=...",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            ask()
        assert words in caught.value.do and "--" not in str(caught.value)


def test_the_package_lists_what_it_has():
    assert {"open", "pipeline", "__version__"} <= {*dir(edgeline)}
    assert edgeline.__version__ == version("edgeline")


def test_missing_outputs_steps_models_and_folders_are_named(workspace, history):
    next(workspace.rglob("report.html")).unlink()
    run = history.run()
    for ask, found in (
        (run.predictions, "has no predictions here"),
        (run.label_issues, "has no list of labels here"),
        (run.report, "has no report here"),
        (run.model, "pushed no model: it was held"),
        (lambda: run.step("Pusher"), "had no step 'Pusher'"),
        (history.model, "has no model 'shelf'"),
        (lambda: edgeline.open("nowhere"), "There is no folder nowhere"),
    ):
        with pytest.raises(UsageError) as caught:
            ask()
        assert found in caught.value.found


def test_the_outputs_of_a_step_are_its_folders(workspace):
    folder = RunFolder(workspace / "runs" / "20261005-091233")
    for key in ("evaluation", "blessing"):
        record_output(folder, "Trainer", key, f"/a/{key}")
    (folder.path / "facts.json").unlink()
    step = edgeline.open(workspace).run().step("Trainer")

    assert (step.state, step.seconds, list(step.artifacts)) == ("done", 60.0, ["evaluation", "blessing"])
    with pytest.raises(UsageError, match="Trainer has 2 outputs here: evaluation, blessing"):
        _ = step.artifact


def test_a_store_with_several_models_asks_for_one(tmp_path):
    for name in ("shelf", "bottles"):
        store.push(tmp_path / "push", name, make_candidate(tmp_path / name, name, 100))
    with pytest.raises(UsageError, match=r"has the models bottles, shelf\..* with model=\.\.\."):
        edgeline.open(tmp_path / "push").model()
