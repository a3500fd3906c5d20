"""The API of Kubeflow Pipelines, as far as the commands use it, through kfp's own client."""

import base64
import contextlib
import gzip
import json
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from edgeline.errors import EdgelineError, UsageError
from runners.kubeflow.errors import explain_errors
from runners.kubeflow.run_steps import ENDED, is_settled, read_workload, take_tasks

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.kubeflow_settings import KubeflowSettings

# A stand-alone installation has this one namespace for all.
_NAMESPACE = "kubeflow"
# A backend's database holds no longer description of a run or of a recurring run.
_MOST_CHARACTERS = 255
# A version may take this many seconds from when its name is taken to when it is listed.
_UNLISTED_S = 10
# kfp's client prints links of its own.
_SILENT = contextlib.redirect_stdout(None)


@dataclass(frozen=True)
class Version:
    """One uploaded version of a pipeline."""

    pipeline_id: str
    id: str
    name: str
    description: str
    parameters: Mapping[str, Any]  # of a run, with their default values


class Cluster:
    """A connection to Kubeflow Pipelines. Each method may raise EdgelineError.

    `page` is the URL of its user interface, if that is known.
    """

    def __init__(self, client: Any, host: str, page: str | None, namespace: str | None) -> None:
        self._client = client
        self._api = client._run_api.api_client
        self._namespace = namespace
        self._page = page
        self.host = host  # its URL, for messages

    def run_url(self, run: str) -> str | None:
        """Returns the URL of the run's page in the user interface; None if that is not known."""
        return self.describe_page(run) if self._page else None

    def describe_page(self, run: str = "") -> str:
        """Returns the URL of the page of a run, or of all runs, or a text on how to get it."""
        if self._page:
            return f"{self._page}/#/runs{f'/details/{run}' if run else ''}"
        return (
            f"in the user interface (no link, because {self.host} serves only the API: forward the UI's port"
            " instead, or set KF_PIPELINES_UI_ENDPOINT to the URL of the UI)"
        )

    def find_experiment(self, name: str) -> str | None:
        """Returns the id of an experiment; None if there is none of that name."""
        with self._explain_errors(f"looking for the experiment {name!r}"):
            try:
                experiment = self._client.get_experiment(experiment_name=name, namespace=self._namespace)
            except ValueError as error:
                if "Multiple" not in str(error):
                    return None
                raise _make_ambiguity_error("experiments", name, "kubeflow.experiment") from None
        return str(experiment.experiment_id)

    def ensure_experiment(self, name: str) -> str:
        """Returns the id of an experiment; creates it if it is missing."""
        if (experiment := self.find_experiment(name)) is not None:
            return experiment

        def make() -> str:
            return str(self._client.create_experiment(name, namespace=self._namespace).experiment_id)

        with self._explain_errors(f"creating the experiment {name!r}"), _SILENT:
            identity: str = _make_or_find(make, partial(self.find_experiment, name))
        return identity

    def get_experiment_name(self, experiment: str) -> str:
        """Returns the name of an experiment; its id if it no longer exists."""
        with contextlib.suppress(EdgelineError), self._explain_errors("reading an experiment"):
            return str(self._client.get_experiment(experiment_id=experiment).display_name)
        return experiment

    def upload(
        self,
        package: Path,
        workload: "Workload",
        digest: str,
        description: str,
        parameters: Mapping[str, Any],
    ) -> Version:
        """Uploads a compiled pipeline, a YAML file, as a version of the workload's, created if missing.

        The version's name has the time of the upload and the digest.

        Args:
            package: The compiled pipeline, a YAML file.
            workload: Names the pipeline.
            digest: Hexadecimal, of the package's content; a version with the same one is not uploaded again.
            description: Says to people on the version's page who uploaded it, and with which settings.
            parameters: Default values for the runs of the version, by the name of the parameter.

        Raises:
            UsageError: The pipeline is that of a workload whose name differs only by `_` and `-`.
        """
        pipeline = workload.pipeline
        pipeline_id = self._find_pipeline(pipeline) or self._make_pipeline(pipeline)
        if (version := self._find_version(pipeline_id, digest)) is None:
            newest = self._find_version(pipeline_id)
            owner = read_workload(newest.pipeline_spec) if newest else None
            if owner not in (None, workload.name):
                raise UsageError(
                    f"The pipeline {pipeline!r} on {self.host} belongs to the workload {owner},"
                    f" not {workload.name}.",
                    "A pipeline's name has no underscores, so runs of the one would pass for the other's.",
                    "Set another `name` in the workload.yaml of one of them.",
                )
            name = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{digest}"
            options = {"pipeline_id": pipeline_id, "description": description}
            upload = partial(self._client.upload_pipeline_version, str(package), name, **options)
            with self._explain_errors(f"uploading version {name} of the pipeline {pipeline!r}"), _SILENT:
                version = _make_or_find(upload, partial(self._find_version, pipeline_id, digest))
        identity, name = str(version.pipeline_version_id), str(version.display_name)
        return Version(pipeline_id, identity, name, description, parameters)

    def _find_version(self, pipeline_id: str, digest: str = "") -> Any:
        """Returns the newest uploaded version, with this digest in its name; None if there is none."""
        predicate = {"operation": "IS_SUBSTRING", "key": "display_name", "stringValue": f"-{digest}"}
        with self._explain_errors("looking for the version"):
            page = self._client.list_pipeline_versions(
                pipeline_id, sort_by="created_at desc", filter=json.dumps({"predicates": [predicate]})
            )
        return next(iter(page.pipeline_versions or ()), None)

    def _find_pipeline(self, name: str) -> str | None:
        with self._explain_errors(f"looking for the pipeline {name!r}"):
            try:
                return self._client.get_pipeline_id(name) or None
            except ValueError:
                raise _make_ambiguity_error("pipelines", name, "") from None

    def _make_pipeline(self, name: str) -> str:
        """Creates an empty pipeline and returns its id; an upload would name the first version like it."""
        about = f"The DAG of the workload {name}. Each upload by edgeline adds a version."
        body = {"display_name": name, "description": about}

        def make() -> str:
            return str(self._call_api("POST", "/apis/v2beta1/pipelines", body=body)["pipeline_id"])

        with self._explain_errors(f"creating the pipeline {name!r}"):
            pipeline: str = _make_or_find(make, partial(self._find_pipeline, name))
        return pipeline

    def get_spec(self, pipeline_id: str, version_id: str) -> Mapping[str, Any]:
        """Returns the compiled pipeline of a version, as it was uploaded."""
        with self._explain_errors("reading the pipeline"):
            try:
                version = self._client.get_pipeline_version(pipeline_id, version_id)
            except Exception as error:
                if not _is_absent(error):
                    raise
                raise EdgelineError(
                    f"The pipeline version {version_id} of the run no longer exists on {self.host}.",
                    "The steps of the run are read from it.",
                    f"See how the run ended: {self.describe_page()} Start another one with"
                    " `edgeline kubeflow submit`.",
                ) from error
        return version.pipeline_spec or {}

    def start(self, version: Version, name: str, experiment: str, settings: "KubeflowSettings") -> str:
        """Starts a run in the experiment with this id; returns the run's id.

        Args:
            version: The run gets its parameters, and the beginning of its description.
            name: Shown in the list of runs; several runs may have the same.
            experiment: The id of an experiment, not its name.
            settings: The pipeline root and the service account of the run are theirs.
        """
        reference = {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.id}
        return self._start(
            display_name=name,
            description=_shorten(version.description),
            experiment_id=experiment,
            pipeline_version_reference=reference,
            runtime_config={"pipeline_root": settings.pipeline_root, "parameters": version.parameters},
            service_account=settings.service_account,
        )

    def start_again(self, run: Any, name: str) -> str:
        """Starts another run with the pipeline and settings of a `V2beta1Run`; returns its id."""
        return self._start(
            display_name=name,
            description=run.description,
            experiment_id=run.experiment_id,
            pipeline_version_reference=run.pipeline_version_reference,
            pipeline_spec=None if run.pipeline_version_reference else run.pipeline_spec,
            runtime_config=run.runtime_config,
            service_account=run.service_account,
        )

    def _start(self, **run: Any) -> str:
        """Starts a run as kfp's own method would, which takes no description; returns its id."""
        with self._explain_errors("starting a run"):
            body = {key: value for key, value in run.items() if value}
            return str(self._call_api("POST", "/apis/v2beta1/runs", body=body)["run_id"])

    def get_run(self, run: str) -> Any:
        """Returns a run with its tasks, a `V2beta1Run`.

        Argo packs the nodes of a workflow of more than 1 MB. The server cannot read them then, and leaves the
        tasks as they were: once such a run has ended, its tasks are read from the nodes. Raises UsageError if
        there is no such run.
        """
        with self._explain_errors(f"reading the run {run}"):
            try:
                answer = self._client.get_run(run)
            except Exception as error:
                if not _is_absent(error):
                    raise
                raise UsageError(
                    f"There is no run {run} on {self.host}.",
                    "RUN has to be the id that `edgeline kubeflow submit` printed and the run's page shows.",
                    f"Find the id in the list of runs: {self.describe_page()}",
                ) from error
        if answer.state in ENDED and not is_settled(answer) and (nodes := self.list_nodes(run)):
            take_tasks(answer, nodes)
        return answer

    def retry(self, run: str) -> None:
        """Restarts a failed run from the steps that failed."""
        with self._explain_errors(f"retrying the run {run}"):
            self._call_api("POST", f"/apis/v2beta1/runs/{run}:retry")

    def list_nodes(self, run: str) -> list[Mapping[str, Any]]:
        """Returns the nodes of the Argo workflow of a run, its pods among them; empty if not available.

        Only the older API has them, and the newer one does not say why a pod does not start.
        """
        unknown = (EdgelineError, KeyError, TypeError, ValueError, OSError, EOFError)
        with contextlib.suppress(*unknown), self._explain_errors(f"reading the pods of the run {run}"):
            answer = self._call_api("GET", f"/apis/v1beta1/runs/{run}")
            status = json.loads(answer["pipeline_runtime"]["workflow_manifest"])["status"]
            if packed := status.get("compressedNodes"):
                return list(json.loads(gzip.decompress(base64.b64decode(packed))).values())
            return list(status["nodes"].values())
        return []

    def read_log(self, run: str, pod: str) -> list[str]:
        """Returns the lines of a pod's log; empty if it no longer exists or the server does not show it.

        The API has a path for it; the UI does not forward that path, and has one of its own.
        """
        query = urlencode({"podname": pod, "runid": run, "podnamespace": self._namespace or _NAMESPACE})
        for path in (f"/apis/v1alpha1/runs/{run}/nodes/{pod}/log", f"/k8s/pod/logs?{query}"):
            with contextlib.suppress(EdgelineError), self._explain_errors(f"reading the log of {pod}"):
                text = self._call_api("GET", path, _preload_content=False).data.decode("utf-8", "replace")
                # An error comes with status 200: the server begins its answer before it looks for the pod.
                if not text.startswith('{"error_message"'):
                    return text.splitlines()
        return []

    def list_schedules(self) -> list[Any]:
        """Returns all recurring runs that this user may see, `V2beta1RecurringRun` each, the newest first."""
        return [*self._list_all("recurring_runs", self._client.list_recurring_runs)]

    def find_fired_runs(self, experiment: str) -> dict[str, str]:
        """Returns the ids of an experiment's active runs, by the id of the recurring run that fired them."""
        runs = self._list_all("runs", self._client.list_runs, experiment_id=experiment)
        active = [run for run in runs if run.recurring_run_id and run.state not in ENDED]
        return {str(run.recurring_run_id): str(run.run_id) for run in active}

    def find_last_ended(self, workload: "Workload", experiment: str) -> str | None:
        """Returns the id of the newest ended run of a workload in an experiment, which is given by name."""
        experiment_id = self.find_experiment(experiment)
        pipeline_id = self._find_pipeline(workload.pipeline)
        if experiment_id is None:
            return None
        for run in self._list_all("runs", self._client.list_runs, experiment_id=experiment_id):
            if (version := run.pipeline_version_reference) is not None:
                is_ours = version.pipeline_id == pipeline_id
            else:
                is_ours = read_workload(run.pipeline_spec) == workload.name
            if run.state in ENDED and is_ours:
                return str(run.run_id)
        return None

    def _list_all(self, things: str, call: Callable[..., Any], **options: str) -> Iterator[Any]:
        """Yields what a call lists, `runs` or `recurring_runs`, page by page, the newest first."""
        token: str | None = ""
        while token is not None:
            with self._explain_errors(f"listing the {things.replace('_', ' ')}"):
                page = call(
                    page_token=token,
                    page_size=100,
                    sort_by="created_at desc",
                    namespace=self._namespace,
                    **options,
                )
            yield from getattr(page, things) or []
            token = page.next_page_token or None

    def create_schedule(
        self,
        version: Version,
        name: str,
        experiment: str,
        settings: "KubeflowSettings",
        cron: str,
        description: str,
    ) -> str:
        """Creates a recurring run, one run at a time and without catching up; returns its id.

        Args:
            version: Every run that is fired has this version and its parameters, also after a later upload.
            name: Identifies the recurring run, with the experiment.
            experiment: The id of an experiment, not its name.
            settings: The pipeline root and the service account of the runs are theirs.
            cron: An expression of six fields, seconds first, in the time zone of the cluster's scheduler.
            description: Shortened to what a backend keeps; its beginning stays.
        """
        options = {
            "version_id": version.id,
            "pipeline_id": version.pipeline_id,
            "params": version.parameters,
            "pipeline_root": settings.pipeline_root,
            "service_account": settings.service_account,
            "max_concurrency": 1,
            "no_catchup": True,
            "cron_expression": cron,
            "description": _shorten(description),
        }
        with self._explain_errors(f"creating the recurring run {name!r}"):
            schedule = self._client.create_recurring_run(experiment, name, **options)
        return str(schedule.recurring_run_id)

    def enable_schedule(self, schedule: str) -> None:
        """Lets a recurring run fire."""
        with self._explain_errors("enabling a recurring run"):
            self._client.enable_recurring_run(schedule)

    def stop_schedule(self, schedule: str, delete: bool = False) -> None:
        """Stops a recurring run from firing, or deletes it, and with it a run that it fired.

        Does nothing if it no longer exists.
        """
        client = self._client
        stop = client.delete_recurring_run if delete else client.disable_recurring_run
        with self._explain_errors(f"{'deleting' if delete else 'disabling'} a recurring run"):
            try:
                stop(schedule)
            except Exception as error:
                if not _is_absent(error):
                    raise

    def _call_api(self, method: str, path: str, **options: Any) -> Any:
        """Calls a path of the API for which kfp's client has no method, or another one in each version."""
        options = {"response_type": "object", "_return_http_data_only": True, **options}
        if "body" in options:
            options["header_params"] = {"Content-Type": "application/json"}
        return self._api.call_api(path, method, auth_settings=["Bearer"], **options)

    def _explain_errors(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return explain_errors(self.host, doing)


def _shorten(description: str) -> str:
    return textwrap.shorten(description, _MOST_CHARACTERS, placeholder=" ...")


def _make_or_find(make: Callable[[], Any], find: Callable[[], Any]) -> Any:
    """Makes something that is not listed, or returns what somebody else made at the same time.

    Its name is taken shortly before it is listed; the error of `make` is raised if it never is.
    """
    try:
        return make()
    except Exception as error:
        if not _is_taken(error):
            raise
        until = time.monotonic() + _UNLISTED_S
        while (item := find()) is None and time.monotonic() < until:
            time.sleep(0.5)
        if item is None:
            raise
        return item


def _is_taken(error: Exception) -> bool:
    """Tells whether a name is in use: an upload then answers with status 500, all else with 409."""
    return getattr(error, "status", None) == 409 or "already exist" in str(getattr(error, "body", ""))


def _is_absent(error: Exception) -> bool:
    return getattr(error, "status", None) == 404 and "not found" in str(getattr(error, "body", ""))


def _make_ambiguity_error(kind: str, name: str, setting: str) -> EdgelineError:
    return EdgelineError(
        f"There are several {kind} with the name {name!r}.",
        "The name does not identify one of them.",
        f"Rename or delete all but one of them{f', or set {setting} to another name' if setting else ''}.",
    )
