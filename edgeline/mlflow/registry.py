"""A mirror of runs and releases in MLflow: what MLflow lacks is copied there from their files.

The files stay the source of truth, so this may be killed, repeated, or done late. A run is recognised by a
tag that it is created with, and is complete once it has the tag `outcome`; a release by a manifest's digest.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from edgeline.edge.contracts.row import list_columns
from edgeline.errors import EdgelineError
from edgeline.journal import parse_time
from edgeline.labels import parse_labels
from edgeline.records.json_file import encode
from edgeline.release.durable import only_writer
from edgeline.release.history import History, find_previous_version, read_history
from edgeline.release.layout import LABELS, PREPROCESSING, Damaged, PushFolder
from edgeline.release.releases import read_release
from edgeline.report import archive
from edgeline.report.facts import Facts, Slice
from edgeline.report.verdict import describe_outcome
from edgeline.store.locations import Location, locate, read_bytes

# MLflow connects to nothing but its registry, and gives up on that within half a minute; its server starts no
# runner for jobs, since there are none.
ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PGCONNECT_TIMEOUT": "5",
}
LONGEST_S = 600  # of an update: a database that hangs must not hold the lock for ever
_KIND = "mlflow.experimentKind"
# A view that MLflow's page of an experiment offers, and opens at `viewStateShareKey=edgeline`: by itself, it
# shows neither the outcome nor any metric.
_VIEW_NAME = "edgeline"
_VIEW = f"mlflow.sharedViewState.{_VIEW_NAME}"
_COLUMNS = ["tags.`outcome`", "metrics.`accuracy`", "tags.`version`"]
_KEY, _ID, _OUTCOME, _MANIFEST = "edgeline.key", "edgeline.run", "outcome", "edgeline.manifest"
# MLflow has no status for a run that a gate stopped, and shows FINISHED in green.
_STATUS = {
    **dict.fromkeys(("held", "refused", "failed"), "FAILED"),
    "killed": "KILLED",
    "interrupted": "KILLED",
}
_MODEL = "model"  # the folder of a registered version in the artifacts of its run
_LIBRARIES, _PHOTO_LIBRARIES = ("ai-edge-litert", "numpy", "pandas", "pillow"), ("pillow-heif",)
_MOST_AT_ONCE, _MOST_METRICS = 100, 1000  # params or tags, and metrics, that MLflow takes in one request
_MOST_CHARACTERS = 250  # of the name of a metric or a param
_BYTES_PER_MB = 10**6

log = logging.getLogger(__name__)


def update_mlflow(
    uri: str, artifacts: Path, model: str, root: str, runs: Iterable[tuple[Location, Facts]]
) -> str:
    """Adds a model's missing runs and releases to MLflow: those of `runs`, and of the store at `root`.

    The store has the records of runs on a cluster, and the releases. `artifacts` is that of `Registry`.
    Returns the path of the table of runs on MLflow's server. Raises EdgelineError if MLflow cannot be
    imported or reached, or refuses the data.
    """
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        with only_writer(artifacts / ".lock", LONGEST_S):
            registry = Registry(uri, artifacts, model)
            registry.copy_runs(chain(runs, archive.read_all(locate(root) / "runs" / model)))
            registry.register_releases(root)
            view = f"viewStateShareKey={_VIEW_NAME}&workflowType=machine_learning"
            return f"/#/experiments/{registry.experiment}/runs?{view}"
    except Exception as error:  # Anything of MLflow, its database or the network: no decision rests on them.
        text = " ".join(str(getattr(error, "found", error)).partition("[SQL:")[0].split())[:600]
        server = "" if isinstance(error, ImportError) else _describe_server(uri)
        raise EdgelineError(
            f"MLflow at {uri} lacks runs or releases: {text.rstrip('.') or type(error).__name__}.",
            f"{server}MLflow only mirrors them: no run, push or rollback is affected.",
            f"{error.do if isinstance(error, EdgelineError) else ''} The next run, promote, rollback or"
            " `edgeline ui` adds what is missing.".lstrip(),
        ) from error


def _describe_server(uri: str) -> str:
    """Returns a sentence on a server of another version than the installed MLflow; else an empty text."""
    if not uri.startswith("http"):
        return ""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking._tracking_service.utils import get_default_host_creds
    from mlflow.utils.rest_utils import http_request
    from requests import RequestException

    own = version("mlflow")
    theirs = ""
    login = get_default_host_creds(uri)
    # As a stream, of which only the beginning is read: the server may be anything.
    options = {"timeout": 5, "max_retries": 0, "stream": True}
    with (
        suppress(MlflowException, RequestException),
        http_request(login, "/version", "GET", **options) as answer,
    ):
        theirs = next(answer.iter_content(100), b"").decode(errors="replace").strip()
    if theirs == own or not re.fullmatch(r"\d+\.[\w.+-]+", theirs):
        return ""
    return f"The server is MLflow {theirs}, and the installed one is {own}. "


class Registry:
    """The runs and releases of one model in the MLflow at `uri`; errors of MLflow pass through.

    `artifacts` is the folder of artifacts for a database; the database of the same name beside it is the
    workspace's own.
    """

    def __init__(self, uri: str, artifacts: Path, model: str) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.entities import ViewType

        is_server = uri.startswith("http")
        if not is_server:
            _migrate_own_tables(uri, artifacts.with_suffix(".db"))
        self._client = MlflowClient(uri)
        self._model = model
        stored = self._client.get_experiment_by_name(model)
        if stored and stored.lifecycle_stage == "deleted":
            raise EdgelineError(
                f"The experiment {model} was deleted in MLflow.",
                "A deleted experiment takes no runs, and MLflow does not create another one with its name.",
                f"Restore it: `mlflow experiments restore --experiment-id {stored.experiment_id}`, with that"
                " MLflow as MLFLOW_TRACKING_URI.",
            )
        place = None if is_server else (artifacts / model).as_uri()
        self.experiment = stored.experiment_id if stored else self._client.create_experiment(model, place)
        if stored is None or _KIND not in stored.tags:  # without it, MLflow shows the columns of chat models
            self._client.set_experiment_tag(self.experiment, _KIND, "custom_model_development")
        if stored is None or _VIEW not in stored.tags:  # a person may have changed it since
            view = json.dumps({"selectedColumns": _COLUMNS, "columnOrder": _COLUMNS})
            self._client.set_experiment_tag(self.experiment, _VIEW, view)
        self._runs: dict[str, Any] = {}  # MLflow's runs, by key and by the run's id in this project
        token = None
        while token != "":
            # Deleted runs count too, so that they are not created again.
            page = self._client.search_runs([self.experiment], "", ViewType.ALL, page_token=token)
            for run in page:
                self._runs |= {run.data.tags.get(tag, ""): run for tag in (_KEY, _ID)}
            token = page.token or ""

    def copy_runs(self, runs: Iterable[tuple[Location, Facts]]) -> None:
        """Copies each run that is missing or incomplete, given its folder and its facts."""
        for folder, facts in runs:
            ours, key = facts.run, facts.run.id
            # Local ids are times, so two machines may have the same one; a cluster's are unique.
            if ours.engine == "local":
                inputs = encode([ours.id, ours.started_at, ours.data, ours.inputs])
                key = hashlib.sha256(inputs).hexdigest()
            run = self._find_or_create_run(key, ours.id, _to_milliseconds(ours.started_at))
            # MLflow refuses to change a run that a person deleted.
            if run.data.tags.get(_OUTCOME) != ours.outcome and run.info.lifecycle_stage != "deleted":
                self._log_run(run, folder, facts)

    def _find_or_create_run(self, key: str, name: str, started: int | None = None) -> Any:
        if key not in self._runs:
            run = self._client.create_run(self.experiment, started, {_KEY: key, _ID: name}, name)
            self._runs |= {key: run, name: run}
        return self._runs[key]

    def _log_run(self, mirrored: Any, folder: Location, facts: Facts) -> None:
        from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag

        ours, run = facts.run, mirrored.info.run_id
        at = _to_milliseconds(ours.ended_at or ours.started_at)
        final = ((*metric, 0) for metric in _collect_metrics(facts))
        metrics = [
            Metric(_clean_name(key), float(value), at, step)
            for key, value, step in chain(final, _collect_curves(facts))
            if value is not None
        ]
        # MLflow takes a param once, and a cluster's run that is retried may find other values in its search.
        settings = ours.used_settings if ours.engine == "local" or ours.has_verdict else {}
        named = {_clean_name(key): str(value) for key, value in settings.items()}
        params = [Param(key, value) for key, value in named.items() if key not in mirrored.data.params]
        tags = [RunTag(_clean_name(key), value) for key, value in _collect_tags(facts) if value]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(run, metrics[start : start + _MOST_METRICS])
        for start in range(0, max(len(params), len(tags)), _MOST_AT_ONCE):
            part = slice(start, start + _MOST_AT_ONCE)
            self._client.log_batch(run, params=params[part], tags=tags[part])
        datasets = [
            DatasetInput(dataset, [InputTag("mlflow.data.context", split)])
            for split, dataset in _collect_datasets(facts)
        ]
        if datasets:
            self._client.log_inputs(run, datasets)
        with suppress(FileNotFoundError):
            self._client.log_text(run, read_bytes(folder / archive.PAGE).decode(), archive.PAGE)
        if ours.outcome != "running":  # a cluster's run that goes on, or was lost
            self._client.set_terminated(run, _STATUS.get(ours.outcome, "FINISHED"), at)
        self._client.set_tag(run, _OUTCOME, ours.outcome)

    def register_releases(self, root: str) -> None:
        """Registers each release that was ever in production, and sets the aliases to what the store says.

        Raises EdgelineError if the aliases are of another store, or the store does not answer.
        """
        from mlflow.exceptions import MlflowException

        store = PushFolder(locate(root))
        client = self._client
        model = self._model
        history = read_history(store, model)
        if history.last is None:
            return
        with suppress(MlflowException):  # Mostly it exists; where it cannot be created, the next call fails.
            client.create_registered_model(model)
        versions = client.search_model_versions(f"name = '{model}'")
        number_of = {v.tags.get(_MANIFEST): str(v.version) for v in versions}
        for number, digest in sorted(history.manifests.items()):
            if digest not in number_of:
                number_of[digest] = self._register(store, number, digest)
        aliases = client.get_registered_model(model).aliases
        if alias := aliases.get("production"):
            _check_owner(client.get_model_version(model, alias), history, store.root)
        candidate = history.last.candidate
        wanted = {
            "production": history.last.to_version,
            "candidate": candidate.version if candidate else None,
            "previous": find_previous_version(history.changes),
        }
        for alias, release in wanted.items():
            if release not in history.manifests:  # none, or one that was collected since
                client.delete_registered_model_alias(model, alias)
            elif str(aliases.get(alias)) != (wanted_version := number_of[history.manifests[release]]):
                client.set_registered_model_alias(model, alias, wanted_version)

    def _register(self, store: PushFolder, number: int, digest: str) -> str:
        """Registers a version with the file that phones run, not the SavedModel; returns MLflow's number.

        Raises EdgelineError if the store does not answer, since a version is never registered again.
        """
        tags = {_MANIFEST: digest, "version": str(number), "store": str(store.root)}
        about, name = f"Version {number} in {store.root}", digest
        with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
            try:
                release = read_release(store, self._model, number, digest)
                name = release.manifest.run
                tags |= {"saved_model": str(release.serving), "variant": release.manifest.default_variant}
                files = (release.default_file.name, PREPROCESSING, LABELS)
                _save_model({file: release.read(file) for file in files}, Path(folder, _MODEL))
            except Damaged as error:  # Or removed; it is registered all the same.
                if error.may_be_intact:
                    raise  # A later run reads it.
                about += f", which cannot be loaded: {error.found}"
            # The run that pushed it may be in another workspace, or be gone.
            run = self._runs.get(name) or self._find_or_create_run(digest, name)
            self._client.log_artifacts(run.info.run_id, folder)
        source = f"{run.info.artifact_uri}/{_MODEL}"
        registered = self._client.create_model_version(
            self._model, source, run.info.run_id, tags, description=about
        )
        return str(registered.version)


def _check_owner(production: Any, history: History, root: Location) -> None:
    """Refuses aliases of another store: a version of another place that this store's history does not know.

    So a store that moved keeps its aliases, and so does one whose history was begun anew.
    """
    digest, owner = (production.tags.get(tag) for tag in (_MANIFEST, "store"))
    digests = {change.manifest_sha256 for change in history.changes}
    if owner not in (None, str(root)) and digest not in digests:
        raise EdgelineError(
            f"The aliases of {production.name} in MLflow are those of another store, {owner}.",
            f"It and {root} would take them from each other.",
            f"Give one of them another MLflow (registry.uri) or its model another name; if {owner} is no"
            " longer used, remove the alias `production` in MLflow.",
        )


def read_ids(uri: str) -> dict[str, str]:
    """Returns the ids of runs by MLflow's ids, read without MLflow, whose import takes seconds.

    Empty for a server, which keeps files by itself; empty, with a warning, where they cannot be read.
    """
    if uri.startswith("http"):
        return {}
    import sqlalchemy

    tags = sqlalchemy.table("tags", *map(sqlalchemy.column, ("run_uuid", "key", "value")))
    try:
        url = sqlalchemy.make_url(uri)
        if url.get_backend_name() == "sqlite" and not os.path.exists(url.database or ""):
            return {}
        with sqlalchemy.create_engine(url).connect() as database:
            ids = database.execute(sqlalchemy.select(tags.c.run_uuid, tags.c.value).where(tags.c.key == _ID))
            return {row.run_uuid: row.value for row in ids}
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        log.warning("The files of MLflow's runs stay, because %s cannot be read: %s", uri, error)
        return {}


def _migrate_own_tables(uri: str, own: Path) -> None:
    """Creates or migrates the tables of the workspace's own SQLite database, and of no other database.

    MLflow by itself would migrate any database that lacks a table. Raises EdgelineError for tables of
    another MLflow, or, in the workspace's own database, of a newer one.
    """
    import sqlalchemy
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(uri)
    revision = utils._get_schema_version(engine)
    is_empty = utils._is_empty_database(engine)
    engine.dispose()
    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    is_own = uri == f"sqlite:///{own}"
    revisions = {entry.revision for entry in script.walk_revisions()}
    if revision == script.get_current_head() or (is_empty and not is_own):
        return
    if not is_empty and (revision not in revisions or not is_own):
        # MLflow itself says of newer tables only that it cannot locate their revision (mlflow/mlflow#6166).
        age = "an older" if revision in revisions else "a newer"
        raise EdgelineError(
            f"The tables of {uri} are of {age} MLflow ({revision}) than the installed {version('mlflow')}.",
            "Other programs may use them, so Edgeline does not change them.",
            f"Back them up and run `mlflow db upgrade {uri}`."
            if revision in revisions
            else "Install that version of MLflow, or set registry.uri to another place.",
        )
    # A copy is migrated, since SQLite would keep half of an interrupted migration.
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=own.parent) as scratch:
        copy = shutil.copy(own, scratch)
        engine = sqlalchemy.create_engine(f"sqlite:///{copy}")
        utils._initialize_tables(engine)
        engine.dispose()
        os.replace(copy, own)


def _save_model(bundle: dict[str, bytes], target: Path) -> None:
    """Saves the files of a bundle as a model that MLflow can load, with the code that reads them."""
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
        for name, content in bundle.items():
            Path(folder, name).write_bytes(content)
        contract = json.loads(bundle.get(PREPROCESSING, b"{}"))
        is_of_photos = contract.get("kind", "image") == "image"
        libraries = _LIBRARIES + (_PHOTO_LIBRARIES if is_of_photos else ())
        pins = [f"{name}=={version(name)}" for name in libraries]
        labels = parse_labels(bundle[LABELS], LABELS) if LABELS in bundle else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # MLflow would like an example of an input
            pyfunc.save_model(
                target,
                "edgeline.edge.pyfunc",
                folder,
                code_paths=[str(Path(__file__).parents[1])],
                pip_requirements=pins,
                signature=_make_signature(contract, labels),
            )


def _make_signature(contract: dict[str, Any], labels: Sequence[str]) -> Any:
    """Returns MLflow's signature of a model: the columns that it takes, and those of its answers.

    A photo is bytes or a path and a cell a number or a text, so an input's type is "any".
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    kind = contract.get("kind", "image")
    if kind == "row":
        inputs: list[Any] = [ColSpec(AnyType(), name) for name in list_columns(contract)]
    elif kind == "tokens":
        inputs = [ColSpec(AnyType(), contract.get("column", contract["input"]))]
    else:
        inputs = [ColSpec(AnyType())]  # the only column, whatever its name

    scores = dict.fromkeys(("probability", *labels))
    outputs: list[Any] = [ColSpec("string", "label"), *(ColSpec("double", name) for name in scores)]
    if kind in ("image", "row"):
        outputs.append(ColSpec("double", "unlike", required=False))
    return ModelSignature(Schema(inputs), Schema(outputs))


def warm_up() -> None:
    """Lets MLflow scan the installed packages, as it does before the first model of a process."""
    with tempfile.TemporaryDirectory(prefix="edgeline-mlflow-") as folder:
        _save_model({}, Path(folder, _MODEL))


def _to_milliseconds(time: str) -> int:
    return int(parse_time(time).timestamp() * 1000)


def _clean_name(text: str) -> str:
    """Makes a text a name that MLflow accepts, another one for each: labels may have any characters."""
    name = re.sub(r"[^\w\-. /]|(?<=[./])[./]", lambda refused: f"_{ord(refused[0]):x}", text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return name if len(name) <= _MOST_CHARACTERS else f"{name[: _MOST_CHARACTERS - 9]}_{digest}"


def _collect_metrics(facts: Facts) -> Iterator[tuple[str, float | None]]:
    yield "seconds", facts.run.seconds
    for step in facts.run.steps:
        yield f"seconds/{step.name}", step.seconds

    if facts.data is not None:
        for split, count in facts.data.splits.items():
            yield f"data/{split}", count
        yield "data/quarantined", sum(span.quarantined for span in facts.data.spans)
    if facts.training is not None:
        yield "epochs", len(facts.training.epochs)
        if (best := facts.training.kept) is not None:
            yield "loss", best.loss
            yield "eval_loss", best.val_loss

    for prefix, item in _select_slices(facts).items():
        yield f"{prefix}examples", item.examples
        yield f"{prefix}groups", item.groups
        yield f"{prefix}accuracy", item.accuracy
        yield f"{prefix}accuracy_low", item.low
        yield f"{prefix}accuracy_high", item.high
        yield f"{prefix}accuracy_of_production", item.before
        for name, value in item.measures.items():
            yield f"{prefix}{name}", value

    if facts.evaluation is not None:
        for model in facts.evaluation.simple_models:
            yield f"simple/{model.name}/accuracy", model.accuracy

    if facts.edge is None:
        return
    for variant in facts.edge.variants:
        if (measured := variant.measured) is not None:
            yield f"edge/{variant.name}/accuracy", measured.accuracy
            yield f"edge/{variant.name}/size_mb", measured.size_bytes / _BYTES_PER_MB
            load = "_under_load" if measured.under_load else ""
            yield f"edge/{variant.name}/latency_p50_ms{load}", measured.latency.p50_ms


def _collect_datasets(facts: Facts) -> Iterator[tuple[str, Any]]:
    """Yields each split of the window with its dataset of MLflow: its place, digest and size."""
    from mlflow.entities import Dataset

    if facts.data is None:
        return
    source = json.dumps({"uri": facts.run.data})
    kind = "s3" if facts.run.data.startswith("s3://") else "local"
    for split, count in facts.data.splits.items():
        profile = json.dumps({"num_rows": count, "spans": facts.data.span_ranges})
        # MLflow takes digests of up to 36 characters.
        name, digest = f"{facts.run.workload}-{split}", facts.data.window[:36]
        yield split, Dataset(name, digest, kind, source, profile=profile)


def _collect_curves(facts: Facts) -> Iterator[tuple[str, float | None, int]]:
    """Yields the losses and accuracies of each epoch, with its number as the step."""
    if facts.training is None:
        return
    for epoch in facts.training.epochs:
        yield "train/loss", epoch.loss, epoch.epoch
        yield "train/accuracy", epoch.accuracy, epoch.epoch
        yield "eval/loss", epoch.val_loss, epoch.epoch
        yield "eval/accuracy", epoch.val_accuracy, epoch.epoch


def _select_slices(facts: Facts) -> dict[str, Slice]:
    """Returns by prefix of metrics: overall, each class, and the worst slice of each other kind."""
    if (evaluation := facts.evaluation) is None:
        return {}
    kinds = [kind for kind in evaluation.kinds if kind not in ("overall", "class")]
    worst = {f"worst/{kind}/": evaluation.worst(kind) for kind in kinds}
    classes = {f"class/{item.name}/": item for item in evaluation.of("class")}
    out_of_fold = evaluation.judged if evaluation.out_of_fold else None
    slices = {"": evaluation.overall, "out_of_fold/": out_of_fold, **classes, **worst}
    return {name: item for name, item in slices.items() if item is not None}


def _collect_tags(facts: Facts) -> Iterator[tuple[str, str]]:
    ours = facts.run
    notes = [*ours.reasons, *(f"Warning: {warning}" for warning in ours.warnings)]
    points = (f"- {note}" for note in notes)
    yield "mlflow.note.content", "\n".join((f"**{describe_outcome(facts)}**", "", *points))
    yield "reasons", "\n".join(ours.reasons)
    yield "version", str(ours.version or "")

    yield "mlflow.source.name", f"edgeline ({ours.engine})"
    yield "mlflow.source.type", "LOCAL" if ours.engine == "local" else "JOB"
    if ours.source.commit:
        yield "mlflow.source.git.commit", ours.source.commit
        yield "mlflow.source.git.branch", ours.source.branch
        yield "mlflow.source.git.dirty", str(ours.source.is_dirty).lower()
        yield "digest.difference", ours.source.difference

    if facts.data is not None:
        yield "window", facts.data.window
        yield "spans", ", ".join(span.name for span in facts.data.spans)
    for verdict in facts.gates:
        yield f"gate.{verdict.gate}", verdict.result
        if codes := dict.fromkeys(finding.code for finding in verdict.findings if finding.code):
            yield f"findings.{verdict.gate}", ", ".join(codes)
    for prefix, item in _select_slices(facts).items():
        if prefix.startswith("worst/"):
            yield prefix.removesuffix("/"), item.name
    for name, value in ours.inputs.items():
        yield f"digest.{name}", value
    for name, value in ours.libraries.items():
        yield f"library.{name}", value
