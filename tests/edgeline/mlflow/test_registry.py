"""The mirror of runs and releases in MLflow, on SQLite and on PostgreSQL."""

import errno
import os
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError
from edgeline.mlflow.database import read_ids
from edgeline.mlflow.registry import Registry
from edgeline.release import releases, store
from edgeline.report import archive
from edgeline.workspace.runs import RunFolder
from runners.local import gc
from tests.edgeline.release.candidates import make_candidate
from tests.edgeline.report.runs import a_run
from tests.postgres import QUOTED, SECRET

RUN, NEXT = "20261005-030000", "20261012-030000"
BEST_LOSS = 1.1 / 12  # at epoch 12, whose weights the run keeps


@pytest.fixture
def place(tmp_path, tables):
    shutil.copy(tables, tmp_path / "mlflow.db")
    return tmp_path


def make_uri(place):
    return f"sqlite:///{place / 'mlflow.db'}"


def record(place, run=RUN, **values):
    """Writes the facts of a run; returns its folder and the facts."""
    facts, folder = a_run(id=run, **values), place / "runs" / run
    archive.write(folder, facts, f"<!DOCTYPE html><title>{run}</title>")
    return folder, facts


def push(place, run=RUN):
    return store.push(place / "push", "shelf", make_candidate(place / run, run, run=run))


def mirror(place, *runs, uri=None):
    registry = Registry(uri or make_uri(place), place / "mlflow", "shelf")
    registry.copy_runs(runs)
    registry.register_releases(str(place / "push"))


class Reader:
    """A reader of runs and versions, with MLflow's own client."""

    def __init__(self, uri):
        from mlflow import MlflowClient

        self.client = MlflowClient(uri)
        number = self.client.get_experiment_by_name("shelf").experiment_id
        self.runs = {run.info.run_name: run for run in self.client.search_runs([number])}

    @property
    def versions(self):
        """The run of each registered version."""
        versions = self.client.search_model_versions("name = 'shelf'")
        names = {run.info.run_id: name for name, run in self.runs.items()}
        return {int(each.version): names[each.run_id] for each in versions}

    @property
    def aliases(self):
        aliases = self.client.get_registered_model("shelf").aliases
        return {name: int(number) for name, number in aliases.items()}

    def read_all(self):
        """Returns all that a second mirroring could double, without random ids."""
        runs = {
            name: (run.data.params, run.data.metrics, run.data.tags, run.info.status, run.info.end_time)
            for name, run in self.runs.items()
        }
        histories = {
            name: [len(self.client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics]
            for name, run in self.runs.items()
        }
        return runs, histories, self.versions, self.aliases


def test_a_run_is_there_with_settings_data_metrics_verdicts_and_its_page(place):
    mirror(place, record(place))
    mlflow = Reader(make_uri(place))
    run = mlflow.runs[RUN]
    assert run.data.params == {"trainer.epochs": "16", "seed": "20"}
    expected = {
        **{"accuracy": 370 / 400, "examples": 400, "accuracy_of_production": 0.93, "seconds": 250.4},
        **{"class/damaged/accuracy": 0.9, "worst/lane/accuracy": 0.9, "seconds/Trainer": 101.2},
        **{"edge/fp16/accuracy": 0.92, "edge/fp16/size_mb": 0.39, "edge/fp16/latency_p50_ms": 0.3},
    }
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)
    assert (run.data.metrics["epochs"], run.data.metrics["eval_loss"]) == (16, pytest.approx(BEST_LOSS))
    curve = mlflow.client.get_metric_history(run.info.run_id, "eval/loss")
    assert [point.step for point in curve] == list(range(1, 17))
    assert curve[11].value == pytest.approx(BEST_LOSS) and curve[15].value != curve[11].value
    assert len(mlflow.client.get_metric_history(run.info.run_id, "train/accuracy")) == 16
    tags = {"outcome": "pushed", "gate.edge": "pass", "worst/lane": "lane-01", "window": "ab" * 32}
    tags |= {"reasons": "Version 3 of shelf went into production.", "digest.code": "cd" * 32}
    git = {"commit": "1a" * 20, "branch": "main", "dirty": "true"}
    tags |= {f"mlflow.source.git.{name}": value for name, value in git.items()}
    tags |= {"mlflow.source.name": "edgeline (local)", "digest.difference": "2b" * 32}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["spans"].startswith("span-00001, ")
    assert (run.info.status, run.info.end_time - run.info.start_time) == ("FINISHED", 250_000)
    page = mlflow.client.download_artifacts(run.info.run_id, "report.html", str(place))
    assert f"<title>{RUN}</title>" in Path(page).read_text()
    inputs = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    assert set(inputs) == {"train", "eval"} and inputs["eval"].name == "shelf-eval"
    assert "span-00001" in inputs["eval"].profile and inputs["eval"].digest == ("ab" * 32)[:36]
    experiment = mlflow.client.get_experiment_by_name("shelf")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_that_pushed_nothing_is_there_with_its_verdict(place):
    words = {"held": "A model was trained and held back", "refused": "The data was refused"}
    outcomes = (*words, "failed", "killed")
    mirror(place, *(record(place, outcome, outcome=outcome) for outcome in outcomes))
    runs = Reader(make_uri(place)).runs
    for outcome in outcomes:
        tags, status = runs[outcome].data.tags, runs[outcome].info.status
        assert (tags["outcome"], status) == (outcome, "KILLED" if outcome == "killed" else "FAILED")
        assert tags["mlflow.note.content"].startswith(f"**{words.get(outcome, 'The run ')}")


def test_gc_removes_the_files_of_old_runs_and_leaves_all_figures(place, make_run, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    names, runs, store_root = (RUN, NEXT, "20261019-030000"), [], str(place / "push")
    for number, name in enumerate(names, start=1):
        runs.append(record(place, name, number=number))
        run = make_run(id=name, number=number, outcome="pushed", push=store_root, registry=make_uri(place))
        RunFolder(runs[-1][0]).write(run)
        push(place, name)
    mirror(place, *runs)
    before = Reader(make_uri(place)).read_all()
    plan = gc.collect_garbage(place, store_root, 1, dry_run=True)
    assert gc.collect_garbage(place, store_root, 1) == plan and sum(plan.mlflow.values()) > 1000
    # A rollback goes to the second run. The next mirroring does not bring back the first.
    mirror(place, runs[2])
    mlflow = Reader(make_uri(place))
    assert mlflow.read_all() == before and set(mlflow.runs) == set(names)
    with_files = {name for name, run in mlflow.runs.items() if mlflow.client.list_artifacts(run.info.run_id)}
    assert with_files == set(names[1:])
    store.rollback(store_root, "shelf", "three is worse")
    mirror(place)
    assert Reader(make_uri(place)).aliases == {"production": 2}  # the one before it was collected


def test_a_database_that_cannot_be_read_keeps_its_files(place, caplog):
    """`gc` then knows of no folder to which run it belongs."""
    assert read_ids(f"sqlite:///{place / 'none.db'}") == {} and not (place / "none.db").exists()
    (place / "torn.db").write_bytes(b"x" * 5000)
    assert read_ids(f"sqlite:///{place / 'torn.db'}") == {}
    assert "The files of MLflow's runs stay" in caplog.text


def test_labels_with_characters_that_mlflow_has_no_name_for_are_there(place):
    folder, facts = record(place)
    labels = (
        *("a & b $x_1$", "損傷 «é»", "../up", "dot..dot", "\U0001f600", "\U0001f621"),
        *("b" * 243, "b" * 300),
    )
    slices = tuple(replace(facts.evaluation.slices[0], kind="class", name=label) for label in labels)
    mirror(place, (folder, replace(facts, evaluation=replace(facts.evaluation, slices=slices))))
    metrics = Reader(make_uri(place)).runs[RUN].data.metrics
    names = [name for name in metrics if name.startswith("class/")]
    assert len(names) == len(labels) * sum(name.startswith("class/dot") for name in names) > 0


def test_the_aliases_are_where_push_promote_and_rollback_left_production(place):
    push(place)
    mirror(place, record(place))
    assert Reader(make_uri(place)).aliases == {"production": 1}
    # The run of the second release is not mirrored.
    push(place, NEXT)
    mirror(place)
    mlflow = Reader(make_uri(place))
    assert (mlflow.aliases, mlflow.versions) == ({"production": 2, "previous": 1}, {1: RUN, 2: NEXT})
    store.rollback(place / "push", "shelf", "two is worse")
    mirror(place)
    assert Reader(make_uri(place)).aliases == {"production": 1}
    store.promote(place / "push", "shelf", 2, "it was not")
    mirror(place)
    assert Reader(make_uri(place)).aliases == {"production": 2, "previous": 1}


def test_the_aliases_of_another_store_are_left_alone_until_a_person_gives_them_up_or_it_moves(place):
    push(place)
    mirror(place)
    (place / "other").mkdir()
    store.push(place / "other/push", "shelf", make_candidate(place / NEXT, NEXT, run=NEXT))
    other = Registry(make_uri(place), place / "mlflow", "shelf")
    with pytest.raises(EdgelineError, match=f"are those of another store, {place}/push\\."):
        other.register_releases(str(place / "other/push"))
    mlflow = Reader(make_uri(place))
    assert (mlflow.aliases, mlflow.versions) == ({"production": 1}, {1: RUN, 2: NEXT})
    mlflow.client.delete_registered_model_alias("shelf", "production")
    other.register_releases(str(place / "other/push"))
    assert Reader(make_uri(place)).aliases == {"production": 2}
    (place / "other/push").rename(place / "moved")
    other.register_releases(str(place / "moved"))
    # The first release of a new store at the old place.
    store.push(place / "other/push", "shelf", make_candidate(place / "third", "third", run="third"))
    other.register_releases(str(place / "other/push"))
    assert Reader(make_uri(place)).aliases == {"production": 3}


def test_a_release_whose_files_are_gone_keeps_its_number_and_one_that_does_not_answer_is_read_later(
    place, monkeypatch
):
    push(place)
    push(place, NEXT)
    shutil.rmtree(place / "push/edge/shelf/1")
    with monkeypatch.context() as away:

        def fail(*_):
            raise OSError(errno.ESTALE, "Stale file handle")

        away.setattr(releases, "read_bytes", fail)
        with pytest.raises(EdgelineError, match="Stale file handle"):
            mirror(place)
    mirror(place)
    mlflow = Reader(make_uri(place))
    assert mlflow.aliases == {"production": 2, "previous": 1}
    assert "cannot be loaded" in mlflow.client.get_model_version("shelf", "1").description
    assert mlflow.client.get_model_version("shelf", "2").description == f"Version 2 in {place / 'push'}"


WRITES = (
    *("create_run", "log_batch", "set_tag"),
    *("create_registered_model", "create_model_version", "set_registered_model_alias"),
)


def kill_at(write, place, run):
    """Mirrors in a process that ends at a call of MLflow's client; returns whether it came so far."""
    if child := os.fork():
        return os.waitpid(child, 0)[1] != 0
    from mlflow import MlflowClient

    setattr(MlflowClient, write, lambda *_, **__: os._exit(9))
    try:
        mirror(place, run)
    finally:
        os._exit(0)


def test_a_mirroring_that_is_killed_between_writes_and_repeated_leaves_everything_once(place, tables):
    run = record(place)
    push(place)
    reference = f"sqlite:///{shutil.copy(tables, place / 'reference.db')}"
    mirror(place, run, uri=reference)
    for write in WRITES:
        assert kill_at(write, place, run), write
    mirror(place, run)
    contents = Reader(make_uri(place)).read_all()
    assert contents == Reader(reference).read_all()
    assert contents[2:] == ({1: RUN}, {"production": 1})


def test_a_run_that_a_person_deleted_does_not_come_back(place):
    run = record(place)
    mirror(place, run)
    mlflow = Reader(make_uri(place))
    mlflow.client.delete_run(mlflow.runs[RUN].info.run_id)
    mirror(place, run)
    assert Reader(make_uri(place)).runs == {}
    # It does not keep later runs away either, though its outcome has changed.
    push(place, NEXT)
    mirror(place, record(place, outcome="held"), record(place, NEXT))
    assert Reader(make_uri(place)).aliases == {"production": 1}


def test_an_experiment_that_a_person_deleted_has_to_be_restored(place):
    mirror(place)
    client = Registry(make_uri(place), place / "mlflow", "shelf")._client
    number = client.get_experiment_by_name("shelf").experiment_id
    client.delete_experiment(number)
    with pytest.raises(EdgelineError, match="The experiment shelf was deleted in MLflow") as caught:
        mirror(place)
    assert f"mlflow experiments restore --experiment-id {number}" in caught.value.do
    client.restore_experiment(number)
    mirror(place, record(place, engine="kubeflow", outcome="failed"))
    assert set(Reader(make_uri(place)).runs) == {RUN}
    # A run that is retried may find other settings.
    push(place)
    mirror(place, record(place, engine="kubeflow", tuned={"trainer.epochs": 20}))
    mlflow = Reader(make_uri(place))
    assert mlflow.runs[RUN].data.params["trainer.epochs"] == "20" and mlflow.aliases == {"production": 1}


def revision(path, to=None):
    with sqlite3.connect(path) as database:
        if to is not None:
            database.execute("UPDATE alembic_version SET version_num = ?", [to])
        return database.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.mark.parametrize("name", ["mlflow.db", "shared.db"])
def test_the_tables_of_a_newer_mlflow_are_left_alone(place, name):
    path = place / "mlflow.db"
    revision(path, "fffffffffff1")
    path.rename(place / name)
    before = (place / name).read_bytes()
    with pytest.raises(EdgelineError, match=r"of a newer MLflow \(fffffffffff1\)") as caught:
        mirror(place, record(place), uri=f"sqlite:///{place / name}")
    assert caught.value.why and "registry.uri" in caught.value.do
    assert (place / name).read_bytes() == before


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """Makes the tables of the version of MLflow before, with an experiment."""
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    path = tmp_path_factory.mktemp("older") / "mlflow.db"
    config = utils._get_alembic_config(f"sqlite:///{path}")
    script = ScriptDirectory.from_config(config)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, script.get_revision(script.get_current_head()).down_revision)
        columns = "experiment_id, name, artifact_location, lifecycle_stage"
        values = f"7, 'shelf', '{path.parent.as_uri()}', 'active'"
        connection.execute(sqlalchemy.text(f"INSERT INTO experiments ({columns}) VALUES ({values})"))
    engine.dispose()
    return path


def test_the_workspaces_own_tables_of_an_older_mlflow_are_renewed(place, older, tables):
    shutil.copy(older, place / "mlflow.db")
    mirror(place, record(place))
    assert revision(place / "mlflow.db") == revision(tables) != revision(older)
    mlflow = Reader(make_uri(place))
    assert mlflow.client.get_experiment_by_name("shelf").experiment_id == "7" and set(mlflow.runs) == {RUN}
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


def test_the_tables_that_others_may_use_are_not_renewed_unasked(place, older):
    shared = Path(shutil.copy(older, place / "shared.db"))
    with pytest.raises(EdgelineError, match="of an older MLflow") as caught:
        mirror(place, uri=f"sqlite:///{shared}")
    assert f"mlflow db upgrade sqlite:///{shared}" in caught.value.do
    assert revision(shared) == revision(older)


def test_postgresql_has_what_sqlite_has_and_no_file_has_its_password(postgres, place, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", SECRET)
    uri = postgres.replace(f":{QUOTED}", "")
    run = record(place)
    push(place)
    for _ in range(2):
        mirror(place, run, uri=uri)
    mirror(place, run)
    there, here = Reader(uri).read_all(), Reader(make_uri(place)).read_all()
    assert there[1:] == here[1:] and there[0][RUN][0] == here[0][RUN][0]
    contents = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert SECRET.encode() not in contents and QUOTED.encode() not in contents
