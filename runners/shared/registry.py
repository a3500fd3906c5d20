"""MLflow as a mirror: whatever it lacks of runs and releases is brought there from their files.

Those stay the source of truth, so this may be killed, repeated, or done late. A run is known by a tag that it
is created with, and is whole once its tag `outcome` is there; a release is known by its manifest's digest.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from errors import EdgelineError
from journal import parse_time
from locations import Location, locate, read_bytes
from records.json_file import encode
from release.history import previous_version, read_history
from release.layout import LABELS, PREPROCESSING, PushFolder
from release.releases import read_release
from report import records
from report.facts import Facts, Slice
from report.verdict import sentence
from runners.shared.code import ROOT

# MLflow asks nothing of the network but its registry, and gives that up within half a minute; its server
# starts no runner for jobs that nobody gives it.
ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PGCONNECT_TIMEOUT": "5",
}
_KEY, _ID, _OUTCOME, _MANIFEST = "edgeline.key", "edgeline.run", "outcome", "edgeline.manifest"
# MLflow has no word for what a gate stopped, and FINISHED is green there.
_STATUS = {
    **dict.fromkeys(("held", "refused", "failed"), "FAILED"),
    "killed": "KILLED",
    "interrupted": "KILLED",
}
_MODEL = "model"  # the folder in the artifacts of a run that a registered version is
_LIBRARIES, _OF_PHOTOS = ("ai-edge-litert", "numpy", "pandas", "pillow"), ("pillow-heif",)
_MOST_AT_ONCE, _MOST_METRICS = 100, 1000  # params or tags, and metrics, that MLflow takes
_BYTES_PER_MB = 10**6

log = logging.getLogger(__name__)


def bring(uri: str, artifacts: Path, model: str, root: str, found: Iterable[tuple[Location, Facts]]) -> None:
    """Brings to MLflow what it lacks of a model: of the runs that were `found`, and of a store.

    There are the records that runs on a cluster left, and the releases. `artifacts` is as `Registry` has it.

    Raises:
        EdgelineError: MLflow cannot be imported or reached, or does not take it.
    """
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        with (artifacts / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            registry = Registry(uri, artifacts, model)
            registry.bring_runs(chain(found, records.read_all(locate(root) / "runs" / model)))
            registry.bring_releases(root)
    except Exception as error:  # Also MLflow's own, a database's, a network's: none of them decides anything.
        said = " ".join(str(getattr(error, "found", error)).partition("[SQL:")[0].split())[:600]
        raise EdgelineError(
            f"MLflow at {uri} lacks runs or releases: {said.rstrip('.') or type(error).__name__}.",
            "It only mirrors them: whatever was run, pushed or rolled back is as it was said.",
            f"{error.do if isinstance(error, EdgelineError) else ''} The next run, promote, rollback or"
            " `edgeline ui` brings what it lacks.".lstrip(),
        ) from error


class Registry:
    """What the MLflow at `uri` has of one model; raises whatever MLflow, its database or the network does.

    `artifacts` is where a database has those; the database of the same name beside it is the workspace's own.
    """

    def __init__(self, uri: str, artifacts: Path, model: str) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.entities import ViewType

        is_server = uri.startswith("http")
        if not is_server:
            _settle_schema(uri, artifacts.with_suffix(".db"))
        self._client, self._model = MlflowClient(uri), model
        found = self._client.get_experiment_by_name(model)
        place = None if is_server else (artifacts / model).as_uri()
        self._experiment = found.experiment_id if found else self._client.create_experiment(model, place)
        self._runs: dict[str, Any] = {}  # by key, and by the id of the run here
        token = None
        while token != "":
            # What somebody deleted there does not come back.
            page = self._client.search_runs([self._experiment], "", ViewType.ALL, page_token=token)
            for run in page:
                self._runs |= {run.data.tags.get(tag, ""): run for tag in (_KEY, _ID)}
            token = page.token or ""

    def bring_runs(self, found: Iterable[tuple[Location, Facts]]) -> None:
        """Brings each run, from its folder and its facts."""
        for folder, facts in found:
            about, key = facts.about, facts.about.run
            # Two machines with one MLflow may begin a run in the same second; a cluster has ids for all time.
            if about.engine == "local":
                inputs = encode([about.run, about.started_at, about.data, about.inputs])
                key = hashlib.sha256(inputs).hexdigest()
            run = self._run(key, about.run, _milliseconds(about.started_at))
            if run.data.tags.get(_OUTCOME) != about.outcome:
                self._complete(run.info.run_id, folder, facts)

    def _run(self, key: str, name: str, started: int | None = None) -> Any:
        if key not in self._runs:
            run = self._client.create_run(self._experiment, started, {_KEY: key, _ID: name}, name)
            self._runs |= {key: run, name: run}
        return self._runs[key]

    def _complete(self, run: str, folder: Location, facts: Facts) -> None:
        from mlflow.entities import Metric, Param, RunTag

        about = facts.about
        at = _milliseconds(about.ended_at or about.started_at)
        metrics = [
            Metric(_name(key), float(value), at, step)
            for key, value, step in chain(((*one, 0) for one in _metrics(facts)), _curves(facts))
            if value is not None
        ]
        params = [Param(_name(key), value) for key, value in about.settings.items()]
        tags = [RunTag(_name(key), value) for key, value in _tags(facts) if value]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(run, metrics[start : start + _MOST_METRICS])
        for start in range(0, max(len(params), len(tags)), _MOST_AT_ONCE):
            part = slice(start, start + _MOST_AT_ONCE)
            self._client.log_batch(run, params=params[part], tags=tags[part])
        with suppress(FileNotFoundError):
            self._client.log_text(run, read_bytes(folder / records.PAGE).decode(), records.PAGE)
        if about.outcome != "running":  # as of a cluster, where it goes on or was lost
            self._client.set_terminated(run, _STATUS.get(about.outcome, "FINISHED"), at)
        self._client.set_tag(run, _OUTCOME, about.outcome)

    def bring_releases(self, root: str) -> None:
        """Registers each release that was ever in production, and has the aliases say what the store says."""
        from mlflow.exceptions import MlflowException

        store, client, model = PushFolder(locate(root)), self._client, self._model
        history = read_history(store, model)
        if history.last is None:
            return
        with suppress(MlflowException):  # Mostly it is there; where it cannot be made, the next call says so.
            client.create_registered_model(model)
        versions = client.search_model_versions(f"name = '{model}'")
        known = {each.tags.get(_MANIFEST): str(each.version) for each in versions}
        for number, digest in sorted(history.manifests.items()):
            if digest not in known:
                known[digest] = self._register(store, number, digest)
        there = client.get_registered_model(model).aliases
        wanted = {"production": history.last.to_version, "previous": previous_version(history.changes)}
        for alias, release in wanted.items():
            if release not in history.manifests:  # None, or one that was collected since
                client.delete_registered_model_alias(model, alias)
            elif str(there.get(alias)) != (made := known[history.manifests[release]]):
                client.set_registered_model_alias(model, alias, made)

    def _register(self, store: PushFolder, number: int, digest: str) -> str:
        """Makes a version of the file that phones run, and returns its number; of the SavedModel no copy."""
        tags = {_MANIFEST: digest, "version": str(number), "store": str(store.root)}
        about, name = f"Version {number} in {store.root}", digest
        with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
            try:
                release = read_release(store, self._model, number, digest)
                name = release.manifest.run
                tags |= {"saved_model": str(release.serving), "variant": release.manifest.default_variant}
                files = (release.default_file.name, PREPROCESSING, LABELS)
                _save({file: release.read(file) for file in files}, Path(folder, _MODEL))
            except EdgelineError as error:  # Removed or damaged since; its number is taken all the same.
                about += f", which cannot be loaded: {error.found}"
            # Its own run may lie elsewhere, or be gone.
            run = self._runs.get(name) or self._run(digest, name)
            self._client.log_artifacts(run.info.run_id, folder)
        source = f"{run.info.artifact_uri}/{_MODEL}"
        made = self._client.create_model_version(
            self._model, source, run.info.run_id, tags, description=about
        )
        return str(made.version)


def read_ids(uri: str) -> dict[str, str]:
    """Ids of runs here by MLflow's ids for them, past MLflow, whose import takes seconds.

    None of a server, which keeps files by itself; none, with a warning, where they cannot be read.
    """
    if uri.startswith("http"):
        return {}
    import sqlalchemy

    tags = sqlalchemy.table("tags", *map(sqlalchemy.column, ("run_uuid", "key", "value")))
    try:
        url = sqlalchemy.make_url(uri)
        if url.get_backend_name() == "sqlite" and not os.path.exists(url.database or ""):
            return {}
        with sqlalchemy.create_engine(url).connect() as rows:
            found = rows.execute(sqlalchemy.select(tags.c.run_uuid, tags.c.value).where(tags.c.key == _ID))
            return {row.run_uuid: row.value for row in found}
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        log.warning("The files of MLflow's runs stay, because %s cannot be read: %s", uri, error)
        return {}


def _settle_schema(uri: str, own: Path) -> None:
    """Makes or renews the tables of a workspace's own SQLite, and lets those of no other database be changed.

    MLflow by itself would migrate any database that lacks a table.

    Raises:
        EdgelineError: They are of another MLflow, or, in its own, of a newer one.
    """
    import sqlalchemy
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(uri)
    found, is_empty = utils._get_schema_version(engine), utils._is_empty_database(engine)
    engine.dispose()
    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    is_own, known = uri == f"sqlite:///{own}", {each.revision for each in script.walk_revisions()}
    if found == script.get_current_head() or (is_empty and not is_own):
        return
    if not is_empty and (found not in known or not is_own):
        of = "an older" if found in known else "a newer"
        raise EdgelineError(
            f"The tables of {uri} are of {of} MLflow ({found}) than the one here, {version('mlflow')}.",
            "Others may use them, and nothing here changes them unasked.",
            f"Have them backed up and run `mlflow db upgrade {uri}`."
            if found in known
            else "Install that MLflow here, or name another place: registry.uri.",
        )
    # Whole or not at all: of a migration that is cut off, SQLite keeps a half.
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=own.parent) as scratch:
        copy = shutil.copy(own, scratch)
        engine = sqlalchemy.create_engine(f"sqlite:///{copy}")
        utils._initialize_tables(engine)
        engine.dispose()
        os.replace(copy, own)


def _save(bundle: dict[str, bytes], target: Path) -> None:
    """Makes a model that MLflow loads of the files of a bundle, with the code that reads them."""
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
        for name, content in bundle.items():
            Path(folder, name).write_bytes(content)
        code = [str(ROOT / name) for name in ("edge", "records", "errors.py", "labels.py", "photo_pixels.py")]
        kind = json.loads(bundle.get(PREPROCESSING, b"{}")).get("kind", "image")
        libraries = _LIBRARIES + _OF_PHOTOS * (kind == "image")
        pins = [f"{name}=={version(name)}" for name in libraries]
        pyfunc.save_model(target, "edge.pyfunc", folder, code_paths=code, pip_requirements=pins)


def warm_up() -> None:
    """Has MLflow look through all that is installed, as it does before the first model of a process."""
    with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
        _save({}, Path(folder, _MODEL))


def _milliseconds(time: str) -> int:
    return int(parse_time(time).timestamp() * 1000)


def _name(text: str) -> str:
    """A name as MLflow takes it: labels and slices have any characters."""
    return re.sub(r"[^\w\-. /]|(?<=[./])[./]", "_", text)[:250]


def _metrics(facts: Facts) -> Iterator[tuple[str, float | None]]:
    yield "seconds", facts.about.seconds
    yield from ((f"seconds/{step.name}", step.seconds) for step in facts.about.steps)
    if facts.data is not None:
        yield from ((f"data/{split}", count) for split, count in facts.data.splits.items())
        yield "data/quarantined", sum(span.quarantined for span in facts.data.spans)
    if facts.training is not None:
        yield "epochs", len(facts.training.epochs)
        if (kept := facts.training.kept) is not None:
            yield "loss", kept.loss
            yield "eval_loss", kept.val_loss
    for prefix, found in _slices(facts).items():
        yield f"{prefix}examples", found.examples
        yield f"{prefix}groups", found.groups
        yield f"{prefix}accuracy", found.accuracy
        yield f"{prefix}accuracy_low", found.low
        yield f"{prefix}accuracy_high", found.high
        yield f"{prefix}accuracy_of_production", found.before
        yield from ((f"{prefix}{name}", value) for name, value in found.measures.items())
    for variant in facts.edge.variants if facts.edge else ():
        if (measured := variant.measured) is not None:
            yield f"edge/{variant.name}/accuracy", measured.accuracy
            yield f"edge/{variant.name}/size_mb", measured.size_bytes / _BYTES_PER_MB
            yield f"edge/{variant.name}/latency_p50_ms", measured.latency.p50_ms


def _curves(facts: Facts) -> Iterator[tuple[str, float | None, int]]:
    """What each epoch came to, with its number as the step."""
    for epoch in facts.training.epochs if facts.training else ():
        yield "train/loss", epoch.loss, epoch.epoch
        yield "train/accuracy", epoch.accuracy, epoch.epoch
        yield "eval/loss", epoch.val_loss, epoch.epoch
        yield "eval/accuracy", epoch.val_accuracy, epoch.epoch


def _slices(facts: Facts) -> dict[str, Slice]:
    """Overall, each class, and the worst of each other kind, by what their metrics begin with."""
    if (found := facts.evaluation) is None:
        return {}
    worst = {f"worst/{kind}/": found.worst(kind) for kind in found.kinds if kind not in ("overall", "class")}
    classes = {f"class/{item.name}/": item for item in found.of("class")}
    out_of_fold = found.judged if found.out_of_fold else None
    slices = {"": found.overall, "out_of_fold/": out_of_fold, **classes, **worst}
    return {name: item for name, item in slices.items() if item is not None}


def _tags(facts: Facts) -> Iterator[tuple[str, str]]:
    about = facts.about
    told = [*about.reasons, *(f"Warning: {warning}" for warning in about.warnings)]
    points = (f"- {each}" for each in told)
    yield "mlflow.note.content", "\n".join((f"**{sentence(facts)}**", "", *points))
    yield "reasons", "\n".join(about.reasons)
    yield "version", str(about.version or "")
    if facts.data is not None:
        yield "window", facts.data.window
        yield "spans", ", ".join(span.name for span in facts.data.spans)
    yield from ((f"gate.{verdict.gate}", verdict.result) for verdict in facts.gates)
    yield from ((name[:-1], item.name) for name, item in _slices(facts).items() if name.startswith("worst/"))
    yield from ((f"digest.{name}", value) for name, value in about.inputs.items())
    yield from ((f"library.{name}", value) for name, value in about.libraries.items())
