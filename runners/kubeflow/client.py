"""The API of Kubeflow Pipelines as the commands use it, through kfp's own client."""

import contextlib
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from errors import EdgelineError, UsageError
from runners.kubeflow.errors import explained
from runners.kubeflow.steps import ENDED

if TYPE_CHECKING:
    from pipeline.kubeflow_settings import KubeflowSettings

# That of a stand-alone installation, which has one for all.
_NAMESPACE = "kubeflow"
# Of what a run and a recurring run are described by, a backend's database has no more characters.
_MOST_CHARACTERS = 255
# How long a version may take, in seconds, from when its name is taken to when it is listed.
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
    parameters: Mapping[str, Any]  # of a run, as the version has them by default


class Cluster:
    """One Kubeflow Pipelines, and somebody who may use it. Each method may raise EdgelineError.

    `page` is the URL of its user interface, where that is known.
    """

    def __init__(self, client: Any, host: str, page: str | None, namespace: str | None) -> None:
        self._client = client
        self._api = client._run_api.api_client
        self._namespace = namespace
        self._page = page
        self.host = host  # its URL, for messages

    def run_url(self, run: str) -> str | None:
        """The run's page in the user interface; None where that is not known."""
        return self.page_of(run) if self._page else None

    def page_of(self, run: str = "") -> str:
        """Where to see a run, or all of them: a link, or how to get links."""
        if self._page:
            return f"{self._page}/#/runs{f'/details/{run}' if run else ''}"
        return (
            f"in the user interface (no link, since {self.host} is the API alone: forward the UI's port"
            " instead, or name the UI in KF_PIPELINES_UI_ENDPOINT)"
        )

    def find_experiment(self, name: str) -> str | None:
        """The id of an experiment; None where there is none of that name."""
        with self._asking(f"looking for the experiment {name!r}"):
            try:
                found = self._client.get_experiment(experiment_name=name, namespace=self._namespace)
            except ValueError as error:
                if "Multiple" not in str(error):
                    return None
                raise _ambiguous("experiments", name, "kubeflow.experiment") from None
        return str(found.experiment_id)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made where it is missing."""
        if (found := self.find_experiment(name)) is not None:
            return found
        with self._asking(f"making the experiment {name!r}"), _SILENT:
            try:
                return str(self._client.create_experiment(name, namespace=self._namespace).experiment_id)
            except Exception as error:
                if getattr(error, "status", None) != 409:
                    raise
        # Somebody else made it between the two questions.
        if (found := self.find_experiment(name)) is None:
            raise EdgelineError(
                f"The experiment {name!r} can neither be found nor made on {self.host}.",
                "Its name is taken, maybe in a namespace that you may not look into.",
                "Name another one with kubeflow.experiment.",
            )
        return found

    def experiment_name(self, experiment: str) -> str:
        """The name of an experiment; its id where it is gone."""
        with contextlib.suppress(EdgelineError), self._asking("asking for an experiment"):
            return str(self._client.get_experiment(experiment_id=experiment).display_name)
        return experiment

    def upload(
        self, package: Path, pipeline: str, digest: str, description: str, parameters: Mapping[str, Any]
    ) -> Version:
        """Makes a compiled pipeline, a YAML file, a version of `pipeline`, which is made where it is missing.

        It is named by when it was uploaded and by its `digest`; one that is there is not uploaded again.
        """
        pipeline_id = self._find_pipeline(pipeline) or self._make_pipeline(pipeline)
        if (there := self._find_version(pipeline_id, digest)) is None:
            name = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{digest}"
            given = {"pipeline_id": pipeline_id, "description": description}
            with self._asking(f"uploading version {name} of the pipeline {pipeline!r}"), _SILENT:
                try:
                    there = self._client.upload_pipeline_version(str(package), name, **given)
                except Exception as error:
                    # Somebody else uploaded the same between the two questions.
                    if not _taken(error) or (there := self._wait_for(pipeline_id, digest)) is None:
                        raise
        identity, name = str(there.pipeline_version_id), str(there.display_name)
        return Version(pipeline_id, identity, name, description, parameters)

    def _find_version(self, pipeline_id: str, digest: str) -> Any:
        """The newest version with this digest in its name; None where there is none."""
        named = {"operation": "IS_SUBSTRING", "key": "display_name", "stringValue": f"-{digest}"}
        with self._asking("looking for the version"):
            found = self._client.list_pipeline_versions(
                pipeline_id, sort_by="created_at desc", filter=json.dumps({"predicates": [named]})
            )
        return next(iter(found.pipeline_versions or ()), None)

    def _wait_for(self, pipeline_id: str, digest: str) -> Any:
        """The same of one that somebody else uploads: its name is taken for a moment before it is listed."""
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

        found = Retrying(
            retry=retry_if_result(lambda version: version is None),
            stop=stop_after_delay(_UNLISTED_S),
            wait=wait_fixed(0.5),
            retry_error_callback=lambda _: None,
        )
        return found(self._find_version, pipeline_id, digest)

    def _find_pipeline(self, name: str) -> str | None:
        with self._asking(f"looking for the pipeline {name!r}"):
            try:
                return self._client.get_pipeline_id(name) or None
            except ValueError:
                raise _ambiguous("pipelines", name, "") from None

    def _make_pipeline(self, name: str) -> str:
        """An empty pipeline: an upload would name its first version like the pipeline."""
        with self._asking(f"making the pipeline {name!r}"):
            try:
                about = f"The DAG of the workload {name}, a version of it for each upload by edgeline."
                body = {"display_name": name, "description": about}
                made = self._ask("POST", "/apis/v2beta1/pipelines", body=body)
                return str(made["pipeline_id"])
            except Exception as error:
                # Somebody else made one of that name between the two questions.
                if not _taken(error) or (found := self._find_pipeline(name)) is None:
                    raise
                return found

    def spec(self, pipeline_id: str, version_id: str) -> Mapping[str, Any]:
        """What was compiled, as it was uploaded."""
        with self._asking("reading the pipeline"):
            version = self._client.get_pipeline_version(pipeline_id, version_id)
        return version.pipeline_spec or {}

    def start(self, version: Version, name: str, experiment: str, settings: "KubeflowSettings") -> str:
        """Starts a run in an experiment, by its id; returns the run's id."""
        reference = {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.id}
        return self._start(
            display_name=name,
            description=_shortened(version.description),
            experiment_id=experiment,
            pipeline_version_reference=reference,
            runtime_config={"pipeline_root": settings.pipeline_root, "parameters": version.parameters},
            service_account=settings.service_account,
        )

    def start_again(self, run: Any, name: str) -> str:
        """Starts another run of the pipeline of a `V2beta1Run` with the same settings; returns its id."""
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
        """Starts what kfp's own method would, which takes no description."""
        with self._asking("starting a run"):
            made = self._ask("POST", "/apis/v2beta1/runs", body={k: v for k, v in run.items() if v})
        return str(made["run_id"])

    def run(self, run: str) -> Any:
        """A run with its tasks, a `V2beta1Run`.

        Raises:
            UsageError: There is no such run.
        """
        with self._asking(f"asking for the run {run}"):
            try:
                return self._client.get_run(run)
            except Exception as error:
                if not _absent(error):
                    raise
                raise UsageError(
                    f"There is no run {run} on {self.host}.",
                    "A run is named by its id, which `edgeline kubeflow submit` printed and its page shows.",
                    f"Look at the list of runs: {self.page_of()}",
                ) from error

    def retry(self, run: str) -> None:
        """Starts a failed run again from the steps that failed."""
        with self._asking(f"retrying the run {run}"):
            self._ask("POST", f"/apis/v2beta1/runs/{run}:retry")

    def pods(self, run: str) -> list[Mapping[str, Any]]:
        """What the cluster knows of the pods of a run, nodes of an Argo workflow; none where it will not say.

        Only the older API has it, and the newer one has nothing that says why a pod does not start.
        """
        unsaid = (EdgelineError, KeyError, TypeError, ValueError)
        with contextlib.suppress(*unsaid), self._asking(f"asking for the pods of the run {run}"):
            answer = self._ask("GET", f"/apis/v1beta1/runs/{run}")
            manifest = json.loads(answer["pipeline_runtime"]["workflow_manifest"])
            return list(manifest["status"]["nodes"].values())
        return []

    def log(self, run: str, pod: str) -> list[str]:
        """The log of a pod, line by line; empty where it is gone or the server will not say.

        The API has it, and the UI, which hands on no such question to the API, a way of its own.
        """
        where = urlencode({"podname": pod, "runid": run, "podnamespace": self._namespace or _NAMESPACE})
        for path in (f"/apis/v1alpha1/runs/{run}/nodes/{pod}/log", f"/k8s/pod/logs?{where}"):
            with contextlib.suppress(EdgelineError), self._asking(f"reading the log of {pod}"):
                text = self._ask("GET", path, _preload_content=False).data.decode("utf-8", "replace")
                # Said with status 200: the server begins its answer before it looks for the pod.
                if not text.startswith('{"error_message"'):
                    return text.splitlines()
        return []

    def schedules(self) -> list[Any]:
        """All recurring runs that one may see, `V2beta1RecurringRun` each, the newest first."""
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            with self._asking("listing the recurring runs"):
                page = self._client.list_recurring_runs(page_token=token, **self._newest_first())
            found += page.recurring_runs or []
            token = page.next_page_token or None
        return found

    def fired(self, experiment: str) -> dict[str, str]:
        """The runs of an experiment that are going on, by the recurring run that fired them."""
        with self._asking("listing the runs"):
            # The one that is going on is among the newest: a recurring run has one at a time.
            page = self._client.list_runs(experiment_id=experiment, **self._newest_first())
        going = [run for run in page.runs or [] if run.recurring_run_id and run.state not in ENDED]
        return {str(run.recurring_run_id): str(run.run_id) for run in going}

    def last_ended(self, pipeline: str, experiment: str) -> str | None:
        """The id of the newest run of a pipeline that has ended, of those of an experiment, both by name."""
        where, of = self.find_experiment(experiment), self._find_pipeline(pipeline)
        if where is None:
            return None
        with self._asking("listing the runs"):
            page = self._client.list_runs(experiment_id=where, **self._newest_first())
        for run in page.runs or []:
            version = run.pipeline_version_reference
            if run.state in ENDED and (version is None or version.pipeline_id == of):
                return str(run.run_id)
        return None

    def schedule(
        self,
        version: Version,
        name: str,
        experiment: str,
        settings: "KubeflowSettings",
        cron: str,
        description: str,
    ) -> str:
        """Makes a recurring run, one at a time and without catching up; returns its id.

        Beyond what `start` takes it has a cron expression, in six fields, and a description of its own.
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
            "description": _shortened(description),
        }
        with self._asking(f"making the recurring run {name!r}"):
            made = self._client.create_recurring_run(experiment, name, **options)
        return str(made.recurring_run_id)

    def enable_schedule(self, schedule: str) -> None:
        """Lets a recurring run fire."""
        with self._asking("enabling a recurring run"):
            self._client.enable_recurring_run(schedule)

    def disable_schedule(self, schedule: str) -> None:
        """Keeps a recurring run from firing; one that is gone already is fine."""
        self._unless_gone("disabling a recurring run", self._client.disable_recurring_run, schedule)

    def delete_schedule(self, schedule: str) -> None:
        """Removes a recurring run, and with it a run that it fired; one that is gone already is fine."""
        self._unless_gone("deleting a recurring run", self._client.delete_recurring_run, schedule)

    def _unless_gone(self, doing: str, do: Callable[[str], Any], schedule: str) -> None:
        with self._asking(doing):
            try:
                do(schedule)
            except Exception as error:
                if not _absent(error):
                    raise

    def _newest_first(self) -> dict[str, Any]:
        return {"page_size": 100, "sort_by": "created_at desc", "namespace": self._namespace}

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        """What kfp's client has no method for, or another one in each version."""
        options = {"response_type": "object", "_return_http_data_only": True, **options}
        if "body" in options:
            options["header_params"] = {"Content-Type": "application/json"}
        return self._api.call_api(path, method, auth_settings=["Bearer"], **options)

    def _asking(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return explained(self.host, doing)


def _shortened(description: str) -> str:
    return textwrap.shorten(description, _MOST_CHARACTERS, placeholder=" ...")


def _taken(error: Exception) -> bool:
    """Whether a name is in use. An upload answers so with status 500, the rest of the API with 409."""
    return getattr(error, "status", None) == 409 or "already exist" in str(getattr(error, "body", ""))


def _absent(error: Exception) -> bool:
    return getattr(error, "status", None) == 404 and "not found" in str(getattr(error, "body", ""))


def _ambiguous(kind: str, name: str, setting: str) -> EdgelineError:
    return EdgelineError(
        f"There are several {kind} with the name {name!r}.",
        "Which of them is meant cannot be told by a name.",
        f"Rename or delete all but one of them{f', or name another one with {setting}' if setting else ''}.",
    )
