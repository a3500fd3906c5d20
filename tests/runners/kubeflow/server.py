"""A small Kubeflow Pipelines: the endpoints that kfp's client and our commands call, over real HTTP.

Bodies, status codes and headers are those of the API server 2.0.5: uploads answer 500 where the rest answers
409, lists are `recurringRuns` but `pipeline_versions`, empty lists are `{}`, and a log that cannot be read
comes with status 200. A run goes through its `Story`, one frame for each look.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Things = dict[str, dict[str, Any]]  # by id
STEPS = ("ExampleGen", "DataGate", "Trainer", "Pusher", "ReleaseGate")
NEVER = "0001-01-01T00:00:00Z"
# The lines after the first one of a real answer with status 500.
GO_STACK = "\n".join(
    f"github.com/kubeflow/pipelines/backend/src/apiserver/resource.(*ResourceManager).Frame{n}\n\t/go/src/x.go:{n}"
    for n in range(200)
)


@dataclass
class Story:
    """The course of a run: the states of the run and its steps, a frame for each look; the last one stays.

    A step whose driver failed is UNPREPARED.
    """

    frames: Sequence[tuple[str, Mapping[str, str]]]
    logs: Mapping[str, str] = field(default_factory=dict)  # by step, and by driver as `STEP-driver`
    messages: Mapping[str, str] = field(default_factory=dict)  # of Kubernetes about the pod of a step
    retried: "Story | None" = None  # the story after a retry


def end_at(last: str, state: str, run_state: str, slowly: bool = False, **options: Any) -> Story:
    """Returns a story that ends at the step `last` in `state`, and at the run in `run_state`.

    It has one frame, at the end, or with `slowly` one for each state of each step.
    """
    frames: list[tuple[str, Mapping[str, str]]] = [("PENDING", {})] if slowly else []
    done: dict[str, str] = {}
    for step in STEPS[: STEPS.index(last) + 1]:
        if slowly:
            frames += [("RUNNING", {**done, step: now}) for now in ("PENDING", "RUNNING")]
        done[step] = "SUCCEEDED" if step != last else state
    return Story([*frames, (run_state, done)], **options)


class Server:
    """The state of the server, and its faults."""

    def __init__(self) -> None:
        self.experiments: Things = {}
        self.pipelines: Things = {}
        self.versions: Things = {}
        self.runs: Things = {}
        self.recurring: Things = {}
        self.stories: dict[str, Story] = {}
        self.lost_runs: list[str] = []
        self.looks: dict[str, int] = {}
        self.next_story = end_at("ReleaseGate", "SUCCEEDED", "SUCCEEDED")
        self.requests: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.has_old_api = True
        self.multi_user = False
        self.is_ui = True
        self.clock = datetime(2026, 10, 5, 3, 0, 0, tzinfo=timezone.utc)
        self._faults: list[tuple[str, Callable[[Answer], None], list[int]]] = []
        self.url = ""

    def break_(self, regex: str, do: Callable[["Answer"], None], times: int = 10**6, after: int = 0) -> None:
        """Lets `do` answer `times` requests `METHOD path`, a regular expression, after the first `after`."""
        self._faults.append((regex, do, [after, times]))

    def fix(self) -> None:
        """Removes all faults."""
        self._faults.clear()

    def find_fault(self, request: str) -> Callable[["Answer"], None] | None:
        for pattern, do, counts in self._faults:
            if re.search(pattern, request):
                if counts[0] > 0:
                    counts[0] -= 1
                elif counts[1] > 0:
                    counts[1] -= 1
                    return do
        return None

    def count(self, pattern: str) -> int:
        """Counts the requests that match `METHOD path`, a regular expression."""
        return sum(bool(re.search(pattern, f"{method} {path}")) for method, path in self.requests)

    def fire(self, recurring: str, state: str = "RUNNING") -> str:
        """Starts a run of a recurring run; returns its id."""
        experiment = self.recurring[recurring]["experiment_id"]
        return self._add_run(experiment, "shelf-1", state, {}, recurring_run_id=recurring)

    def _add_run(
        self, experiment: str, name: str, state: str, steps: Mapping[str, str], **values: Any
    ) -> str:
        run = str(uuid.uuid4())
        about = {"run_id": run, "experiment_id": experiment, "display_name": name, "state": state}
        self.runs[run] = {**about, "created_at": self.now(), **values}
        self.stories[run] = Story([(state, steps)])
        return run

    def add_runs_of_others(self, like: str, count: int) -> None:
        """Puts ended runs of another pipeline, started from its spec, into the experiment of a run."""
        task = {"taskInfo": {"name": "say-hello"}}
        spec = {"pipelineInfo": {"name": "hello-world"}, "root": {"dag": {"tasks": {"say-hello": task}}}}
        experiment, steps = self.runs[like]["experiment_id"], {"say-hello": "SUCCEEDED"}
        for _ in range(count):
            self._add_run(experiment, "hello", "SUCCEEDED", steps, pipeline_spec=spec)

    def now(self) -> str:
        self.clock += timedelta(seconds=1)
        return f"{self.clock:%Y-%m-%dT%H:%M:%SZ}"


class Answer(BaseHTTPRequestHandler):
    """A handler that answers one request."""

    server_version, protocol_version = "ml-pipeline", "HTTP/1.1"
    wbufsize = -1  # A header and a body in two packets would wait for each other.
    state: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        self.state.requests.append((self.command, url.path))
        self.state.headers.append(dict(self.headers))
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        (self.state.find_fault(f"{self.command} {url.path}") or Answer.answer)(self)

    def answer(self) -> None:
        """Answers like a server without a fault."""
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, urlsplit(self.path).path)
            if match and method == self.command:
                answer(self, *match.groups())
                return
        self.send(404, "Not Found\n", "text/plain; charset=utf-8")

    do_GET = do_POST = do_DELETE = _handle

    def send(self, status: int, body: Any, kind: str = "application/json") -> None:
        """Sends JSON, or text as it is."""
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, status: int, code: int, chain: str, inner: str) -> None:
        """Sends an error as the gRPC gateway does: the whole chain, and the innermost part again."""
        details = [{"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": inner}]
        self.send(status, {"error": chain, "code": code, "message": chain, "details": details})

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    def send_filtered(self, name: str, things: list[dict[str, Any]]) -> None:
        """Sends the things of the display name that the filter asks for."""
        [predicate] = json.loads(self.query["filter"])["predicates"]
        text, operation = predicate["stringValue"], predicate["operation"]
        assert predicate["key"] == "display_name" and operation in ("IS_SUBSTRING", 1, "EQUALS")
        is_part = operation == "IS_SUBSTRING"
        matches = [
            each
            for each in things
            if each["display_name"] == text or (is_part and text in each["display_name"])
        ]
        self.send(200, {name: matches, "total_size": len(matches)} if matches else {})

    def make(self, things: Things, key: str, **values: Any) -> None:
        """Makes a thing from the request, and sends it."""
        thing = {**self.body, key: str(uuid.uuid4()), "created_at": self.state.now(), **values}
        things[thing[key]] = thing
        self.send(200, thing)

    def make_named(self, things: Things, kind: str) -> None:
        """Makes a thing from the request, unless its name is taken."""
        name = self.body["display_name"]
        if any(each["display_name"] == name for each in things.values()):
            inner = f"Failed to create a new {kind}. The name {name} already exist. Please specify a new"
            self.refuse(409, 6, f"Failed to create a {kind}: Already exist error: {inner}", inner)
            return
        self.make(things, f"{kind}_id")

    # Each of these answers one endpoint.

    def healthz(self) -> None:
        health = {"commit_sha": "unknown", "tag_name": "2.0.5", "multi_user": self.state.multi_user}
        if self.state.is_ui:
            versions = {"apiServerReady": True, "apiServerTagName": "2.0.5", "frontendTagName": "2.0.5"}
            health = {**versions, "multi_user": self.state.multi_user}
        self.send(200, health)

    def list_experiments(self) -> None:
        self.send_filtered("experiments", [*self.state.experiments.values()])

    def make_experiment(self) -> None:
        self.make_named(self.state.experiments, "experiment")

    def get_experiment(self, identity: str) -> None:
        self._get(self.state.experiments, identity, "Experiment")

    def _get(self, things: Things, identity: str, kind: str) -> None:
        if identity in things:
            self.send(200, things[identity])
        else:
            self.miss(f"{kind} {identity}")

    def miss(self, name: str) -> None:
        inner = f"{name} not found"
        self.refuse(404, 5, f"Failed to get it: ResourceNotFoundError: {inner}", inner)

    def list_pipelines(self) -> None:
        self.send_filtered("pipelines", [*self.state.pipelines.values()])

    def make_pipeline(self) -> None:
        self.make_named(self.state.pipelines, "pipeline")

    def upload_version(self) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        [part] = message_from_bytes(head + self.content).get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        spec, *platform = yaml.safe_load_all(part.get_payload(decode=True))
        name, pipeline = self.query["name"], self.query["pipelineid"]
        if any(each["display_name"] == name for each in self.list_own(pipeline)):
            reason = f"Already exist error: Failed to create a new one. The name {name} already exist"
            chain = f"Failed to create a pipeline version: {reason}. Specify a new name"
            body = json.dumps({"error_message": chain, "error_details": chain})
            self.send(500, body, "text/plain; charset=utf-8")
            return
        version = {
            "pipeline_id": pipeline,
            "pipeline_version_id": str(uuid.uuid4()),
            "display_name": name,
            "description": self.query.get("description", ""),
            "created_at": self.state.now(),
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec,
        }
        self.state.versions[version["pipeline_version_id"]] = version
        self.send(200, version)

    def list_versions(self, pipeline: str) -> None:
        assert self.query["sort_by"] == "created_at desc"
        self.send_filtered("pipeline_versions", self.list_own(pipeline)[::-1])

    def list_own(self, pipeline: str) -> list[dict[str, Any]]:
        return [each for each in self.state.versions.values() if each["pipeline_id"] == pipeline]

    def get_version(self, _: str, identity: str) -> None:
        self._get(self.state.versions, identity, "PipelineVersion")

    def refuses_description(self, kind: str) -> bool:
        if len(self.body.get("description", "")) <= 255:
            return False
        inner = f"Failed to store {kind}: Error 1406: Data too long for column 'Description' at row 1"
        self.refuse(500, 13, f"Failed to create a {kind}: InternalServerError: {inner}", inner)
        return True

    def make_run(self) -> None:
        if self.refuses_description("run"):
            return
        reference = self.body.get("pipeline_version_reference")
        known = self.state.versions
        assert reference["pipeline_version_id"] in known if reference else self.body["pipeline_spec"]
        self.make(self.state.runs, "run_id", state="PENDING")
        self.state.stories[[*self.state.runs][-1]] = self.state.next_story

    def list_runs(self) -> None:
        experiment = self.query["experiment_id"]
        runs = [run for run in self.state.runs.values() if run["experiment_id"] == experiment]
        self.send_page("runs", runs[::-1])

    def send_page(self, name: str, things: list[Any]) -> None:
        """Sends the page of a list that the query asks for."""
        start, size = int(self.query.get("page_token") or 0), int(self.query.get("page_size") or 10)
        page = things[start : start + size]
        body: dict[str, Any] = {name: page, "total_size": len(things)} if page else {}
        if start + size < len(things):
            body["next_page_token"] = str(start + size)
        self.send(200, body)

    def get_run(self, identity: str) -> None:
        if identity in self.state.runs:
            look = self.state.looks.get(identity, 0)
            frames = self.state.stories[identity].frames
            state, steps = frames[min(look, len(frames) - 1)]
            self.state.looks[identity] = look + 1
            details = list(_task_details(identity, steps))
            self.state.runs[identity] |= {"state": state, "run_details": {"task_details": details}}
        self._get(self.state.runs, identity, "Run")

    def retry_run(self, identity: str) -> None:
        story = self.state.stories[identity]
        assert self.state.runs[identity]["state"] == "FAILED" and story.retried is not None
        # Until the cluster has looked again, the tasks are as they were before.
        stale = ("RUNNING", story.frames[-1][1])
        self.state.stories[identity] = replace(story.retried, frames=[stale, *story.retried.frames])
        self.state.looks[identity] = 0
        self.send(200, {})

    def get_old_run(self, identity: str) -> None:
        if not self.state.has_old_api or identity not in self.state.runs:
            self.send(404, "Not Found\n", "text/plain; charset=utf-8")
            return
        story = self.state.stories[identity]
        look = self.state.looks.get(identity, 1)
        steps = story.frames[min(look, len(story.frames)) - 1][1]
        nodes = {node["id"]: node for node in _nodes(identity, steps, story.messages)}
        manifest = json.dumps({"status": {"phase": "Running", "nodes": nodes}})
        self.send(200, {"run": {"id": identity}, "pipeline_runtime": {"workflow_manifest": manifest}})

    def read_log(self, run: str, node: str) -> None:
        step = node.removeprefix(f"{run}-").removesuffix("-pod")
        text = self.state.stories[run].logs.get(step) if run in self.state.stories else None
        if text is None:
            # The server sends 200 before it looks for the pod.
            error = f"BadRequestError: Failed to read logs for run {run}"
            text = json.dumps({"error_message": error, "error_details": error})
        self.send(200, text, "text/plain; charset=utf-8")

    def list_recurring(self) -> None:
        self.send_page("recurringRuns", list(self.state.recurring.values())[::-1])

    def make_recurring(self) -> None:
        if self.refuses_description("job"):
            return
        values = {"max_concurrency": str(self.body["max_concurrency"]), "status": f"{self.body['mode']}D"}
        self.make(self.state.recurring, "recurring_run_id", **values)

    def switch_recurring(self, identity: str, mode: str) -> None:
        if identity not in self.state.recurring:
            self.miss(f"Job {identity}")
            return
        self.state.recurring[identity] |= {"mode": mode.upper(), "status": f"{mode.upper()}D"}
        self.send(200, {})

    def delete_recurring(self, identity: str) -> None:
        if self.state.recurring.pop(identity, None) is None:
            self.miss(f"Job {identity}")
            return
        for run in self.state.runs.values():
            # Its workflow is gone, and the server does not notice.
            if run.get("recurring_run_id") == identity and run["state"] == "RUNNING":
                self.state.lost_runs.append(run["run_id"])
        self.send(200, {})


_ID = r"([\w-]+)"
_V2 = "/apis/v2beta1"
ROUTES = [
    ("GET", f"{_V2}/healthz", Answer.healthz),
    ("GET", f"{_V2}/experiments", Answer.list_experiments),
    ("POST", f"{_V2}/experiments", Answer.make_experiment),
    ("GET", f"{_V2}/experiments/{_ID}", Answer.get_experiment),
    ("GET", f"{_V2}/pipelines", Answer.list_pipelines),
    ("POST", f"{_V2}/pipelines", Answer.make_pipeline),
    ("POST", f"{_V2}/pipelines/upload_version", Answer.upload_version),
    ("GET", f"{_V2}/pipelines/{_ID}/versions", Answer.list_versions),
    ("GET", f"{_V2}/pipelines/{_ID}/versions/{_ID}", Answer.get_version),
    ("POST", f"{_V2}/runs", Answer.make_run),
    ("GET", f"{_V2}/runs", Answer.list_runs),
    ("GET", f"{_V2}/runs/{_ID}", Answer.get_run),
    ("POST", f"{_V2}/runs/{_ID}:retry", Answer.retry_run),
    ("GET", f"/apis/v1beta1/runs/{_ID}", Answer.get_old_run),
    ("GET", f"/apis/v1alpha1/runs/{_ID}/nodes/{_ID}/log", Answer.read_log),
    ("GET", f"{_V2}/recurringruns", Answer.list_recurring),
    ("POST", f"{_V2}/recurringruns", Answer.make_recurring),
    ("POST", f"{_V2}/recurringruns/{_ID}:(enable|disable)", Answer.switch_recurring),
    ("DELETE", f"{_V2}/recurringruns/{_ID}", Answer.delete_recurring),
]


def _task_details(run: str, steps: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yields three tasks for each step: its driver, the step, and its pod, which is always `executor`."""
    final = {"SUCCEEDED", "FAILED", "SKIPPED"}
    start, end = "2026-10-05T03:00:10Z", "2026-10-05T03:00:22Z"

    def task(name: str, identity: str, state: str, child: str, end_time: str) -> dict[str, Any]:
        return {
            "run_id": run,
            "task_id": identity,
            "display_name": name,
            "create_time": start,
            "start_time": start,
            "end_time": end_time,
            "state": state,
            "state_history": [{"update_time": start, "state": "RUNNING"}],
            "child_tasks": [{"pod_name": child}],
        }

    for step, state in steps.items():
        end_time = end if state in final else NEVER
        # A step from the cache is SUCCEEDED, and over in the second in which it started.
        end_time = start if state == "SKIPPED" else end_time
        own = {"SKIPPED": "SUCCEEDED", "PENDING": "RUNNING"}.get(state, state)
        driver = "FAILED" if state == "UNPREPARED" else "SUCCEEDED"
        yield task(f"{step}-driver", f"{step}-d", driver, f"{run}-{step}", end)
        if state == "UNPREPARED":
            # A node that was omitted has a task without a state, and no pod.
            omitted = task(step, f"{step}-s", "", f"{run}-next", end)
            del omitted["state"]
            yield omitted
            continue
        yield task(step, f"{step}-s", own, f"{run}-{step}-pod", end_time)
        yield task("executor", f"{step}-e", state, f"{run}-next", end_time)


def _nodes(run: str, steps: Mapping[str, str], messages: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for step, state in steps.items():
        phase = state.capitalize()
        common = {"phase": phase, "startedAt": "2026-10-05T03:00:10Z", "finishedAt": "2026-10-05T03:00:22Z"}
        driver = {"id": f"{run}-{step}-driver-pod", "displayName": f"{step}-driver", "type": "Pod"}
        driver |= {"boundaryID": run, "templateName": "system-container-driver"}
        if state == "UNPREPARED":
            yield {**common, **driver, "phase": "Failed", "message": "Error (exit code 1)"}
            own = {"id": f"{run}-{step}", "displayName": step}
            yield {**common, **own, "type": "Skipped", "phase": "Omitted"}
            continue
        yield {**common, **driver, "phase": "Succeeded"}
        yield {**common, "id": f"{run}-{step}", "displayName": step, "type": "DAG", "boundaryID": run}
        pod = {"id": f"{run}-{step}-pod", "displayName": "executor", "type": "Pod"}
        pod |= {"boundaryID": f"{run}-{step}"}
        message = messages.get(step, "Error (exit code 1)" if state == "FAILED" else None)
        yield {**common, **pod, "templateName": "system-container-impl", "message": message}


def status(code: int, body: Any, kind: str = "application/json") -> Callable[[Answer], None]:
    """Returns a fault: this answer to everything."""
    return lambda answer: answer.send(code, body, kind)


def hang(seconds: float) -> Callable[[Answer], None]:
    """Returns a fault: no answer for so long, then none at all."""

    def do(answer: Answer) -> None:
        time.sleep(seconds)
        answer.close_connection = True

    return do


def hang_up(answer: Answer) -> None:
    """Closes the connection without an answer, as a fault."""
    answer.close_connection = True


def do_and_hang_up(answer: Answer) -> None:
    """Handles the request and loses the answer, as a fault."""
    send = answer.send
    answer.send = lambda *arguments, **options: None  # type: ignore[method-assign]
    answer.answer()
    answer.send = send  # type: ignore[method-assign]
    answer.close_connection = True


@contextmanager
def serve() -> Iterator[Server]:
    """Runs the server on a free port."""
    state = Server()
    handler = type("Handler", (Answer,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield state
        server.shutdown()
        thread.join()
