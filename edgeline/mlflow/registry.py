"""A mirror of runs and releases in MLflow: what MLflow lacks is copied there from their files.

The files stay the source of truth, so this may be killed, repeated, or done late. A run is recognised by a
tag that it is created with, and is complete once it has the tag `outcome`; a release by a manifest's digest.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError
from edgeline.journal import parse_time
from edgeline.mlflow import run_data
from edgeline.mlflow.database import RUN_ID, migrate_own_tables
from edgeline.mlflow.model import save_model
from edgeline.records.json_file import encode
from edgeline.release.history import History, find_previous_version, read_history
from edgeline.release.layout import LABELS, PREPROCESSING, Damaged, PushFolder
from edgeline.release.releases import read_release
from edgeline.report import archive
from edgeline.report.facts import Facts
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
_KIND = "mlflow.experimentKind"
# A view that MLflow's page of an experiment offers, and opens at `viewStateShareKey=edgeline`: by itself, it
# shows neither the outcome nor any metric.
_VIEW_NAME = "edgeline"
_VIEW = f"mlflow.sharedViewState.{_VIEW_NAME}"
_COLUMNS = ["tags.`outcome`", "metrics.`accuracy`", "tags.`version`"]
_KEY, _OUTCOME, _MANIFEST = "edgeline.key", "outcome", "edgeline.manifest"
# MLflow has no status for a run that a gate stopped, and shows FINISHED in green.
_STATUS = {
    **dict.fromkeys(("held", "refused", "failed"), "FAILED"),
    "killed": "KILLED",
    "interrupted": "KILLED",
}
_MODEL = "model"  # the folder of a registered version in the artifacts of its run
_MOST_AT_ONCE, _MOST_METRICS = 100, 1000  # params or tags, and metrics, that MLflow takes in one request


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
            migrate_own_tables(uri, artifacts.with_suffix(".db"))
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
        self._experiment = stored.experiment_id if stored else self._client.create_experiment(model, place)
        view = f"viewStateShareKey={_VIEW_NAME}&workflowType=machine_learning"
        self.page = f"/#/experiments/{self._experiment}/runs?{view}"  # the table of runs, on MLflow's server
        if stored is None or _KIND not in stored.tags:  # without it, MLflow shows the columns of chat models
            self._client.set_experiment_tag(self._experiment, _KIND, "custom_model_development")
        if stored is None or _VIEW not in stored.tags:  # a person may have changed it since
            view = json.dumps({"selectedColumns": _COLUMNS, "columnOrder": _COLUMNS})
            self._client.set_experiment_tag(self._experiment, _VIEW, view)
        self._runs: dict[str, Any] = {}  # MLflow's runs, by key and by the run's id in this project
        token = None
        while token != "":
            # Deleted runs count too, so that they are not created again.
            page = self._client.search_runs([self._experiment], "", ViewType.ALL, page_token=token)
            for run in page:
                self._runs |= {run.data.tags.get(tag, ""): run for tag in (_KEY, RUN_ID)}
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
            run = self._client.create_run(self._experiment, started, {_KEY: key, RUN_ID: name}, name)
            self._runs |= {key: run, name: run}
        return self._runs[key]

    def _log_run(self, mirrored: Any, folder: Location, facts: Facts) -> None:
        from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag

        ours, run = facts.run, mirrored.info.run_id
        at = _to_milliseconds(ours.ended_at or ours.started_at)
        final = ((*metric, 0) for metric in run_data.collect_metrics(facts))
        metrics = [
            Metric(run_data.clean_name(key), float(value), at, step)
            for key, value, step in chain(final, run_data.collect_curves(facts))
            if value is not None
        ]
        # MLflow takes a param once, and a cluster's run that is retried may find other values in its search.
        settings = ours.used_settings if ours.engine == "local" or ours.has_verdict else {}
        named = {run_data.clean_name(key): str(value) for key, value in settings.items()}
        params = [Param(key, value) for key, value in named.items() if key not in mirrored.data.params]
        tags = [RunTag(run_data.clean_name(key), text) for key, text in run_data.collect_tags(facts) if text]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(run, metrics[start : start + _MOST_METRICS])
        for start in range(0, max(len(params), len(tags)), _MOST_AT_ONCE):
            part = slice(start, start + _MOST_AT_ONCE)
            self._client.log_batch(run, params=params[part], tags=tags[part])
        datasets = [
            DatasetInput(dataset, [InputTag("mlflow.data.context", split)])
            for split, dataset in run_data.collect_datasets(facts)
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
                save_model({file: release.read(file) for file in files}, Path(folder, _MODEL))
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


def _to_milliseconds(time: str) -> int:
    return int(parse_time(time).timestamp() * 1000)
