"""Connections to Kubeflow Pipelines, and the errors of connecting."""

import json
import sys
from datetime import datetime

import pytest

from edgeline.errors import EdgelineError, UsageError
from pipeline.kubeflow_settings import KubeflowSettings
from pipeline.workloads import find_workload
from runners.kubeflow import access as kubeflow_access
from runners.kubeflow import client as kubeflow_client
from runners.kubeflow.access import connect, find_host
from runners.kubeflow.errors import read_message
from tests.runners.kubeflow.commands_run import Terminal
from tests.runners.kubeflow.server import GO_STACK, hang, hang_up, status

SHELF = find_workload("shelf")

LOGIN = "<!doctype html><title>Sign in</title>" + "<p>x</p>" * 500


def test_links_are_to_a_known_ui_and_else_the_output_says_how_to_set_one(server, edgeline, monkeypatch):
    assert f": {server.url}/#/runs/details/" in edgeline("submit").out
    server.is_ui = False  # The API's own port, which answers 404 to every page.
    result = edgeline("submit")
    assert result.code == 0 and "#/runs" not in result.out and "KF_PIPELINES_UI_ENDPOINT" in result.out
    assert edgeline("submit", "--json").json["url"] is None
    unknown = edgeline("watch", "nope")
    assert unknown.code == 2 and "There is no run nope" in unknown.err
    assert "#/runs" not in unknown.err and "KF_PIPELINES_UI_ENDPOINT" in unknown.err
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline/")
    assert "https://kubeflow.example/pipeline/#/runs/details/" in edgeline("submit").out


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        (status(200, LOGIN, "text/html; charset=utf-8"), ["a web page", "login page", "KFP_TOKEN"]),
        (status(401, "Jwt is expired", "text/plain"), ["401", "Jwt is expired", "has expired", "KFP_TOKEN"]),
        (status(404, "404 page not found\n", "text/plain"), ["404", "not the API", "--host"]),
        (status(200, '"ok"', "application/json"), ["404", "not the API", "--host"]),
        (status(500, f"no space left\n{GO_STACK}", "text/plain"), ["500", "no space left", "kubectl logs"]),
        (status(502, f"<html>{LOGIN}", "text/html"), ["502", "has failed"]),
        (status(400, {"error": "a: b", "details": [{"message": "b"}]}), ["400 (Bad Request)", ": b\n"]),
        (hang_up, ["cannot be reached", "port-forward"]),
    ],
)
def test_an_error_of_the_server_is_reported_in_three_parts_at_once(server, edgeline, fault, parts):
    server.break_("healthz", fault)
    result = edgeline("submit")
    # kfp's own client would ask five times and sleep five seconds between them.
    assert server.count("healthz") == 1
    assert result.code == 1
    for part in parts:
        assert part in result.err
    assert len(result.err) < 1500 and "Traceback" not in result.err and "\n\t/go/src" not in result.err


def test_a_run_that_may_have_been_started_is_not_started_twice(server, edgeline, monkeypatch):
    monkeypatch.setattr(kubeflow_access, "_ANSWER_S", 3.0)  # enough for all other answers of a busy machine
    server.break_(r"POST .*/runs$", hang(6))
    result = edgeline("submit")
    assert result.code == 1 and "did not answer in time" in result.err and "is not known" in result.err
    assert server.count(r"POST .*/runs$") == 1


@pytest.mark.parametrize(
    ("host", "code", "parts"),
    [
        ("http://127.0.0.1:1", 1, ["http://127.0.0.1:1 cannot be reached", "Connection refused"]),
        ("https://127.0.0.1:1", 1, ["https://127.0.0.1:1 cannot be reached", "Connection refused"]),
        ("https://SERVER", 1, [" cannot be reached over TLS", "SSL_CERT_FILE"]),  # it has no TLS
        ("127.0.0.1:8888", 2, ["'127.0.0.1:8888' is not a URL"]),
        ("http://", 2, ["'http://' is not a URL"]),
        ("http://me:secret@127.0.0.1:1", 2, ["KFP_TOKEN"]),
    ],
)
def test_a_host_that_is_no_cluster_is_an_error_at_once(server, edgeline, host, code, parts):
    result = edgeline("submit", "--host", host.replace("SERVER", server.url.removeprefix("http://")))
    assert result.code == code and "secret" not in result.out + result.err
    for part in parts:
        assert part in result.err


def test_a_host_with_a_password_is_refused_without_saying_it():
    with pytest.raises(UsageError, match="has a user or password") as caught:
        find_host(KubeflowSettings(), None, {"KFP_ENDPOINT": "http://me:secret@127.0.0.1:1"})
    assert "secret" not in str(caught.value) and "KFP_TOKEN" in caught.value.do


def test_the_host_comes_from_the_option_then_the_settings_then_the_environment():
    settings = KubeflowSettings(host="http://settings")
    environ = {"KFP_ENDPOINT": "http://environment/", "KF_PIPELINES_ENDPOINT": "http://of-kfp"}
    assert find_host(settings, "http://option/", environ) == "http://option"
    assert find_host(settings, None, environ) == "http://settings"
    assert find_host(KubeflowSettings(), None, environ) == "http://environment"
    assert find_host(KubeflowSettings(), None, {}) is None


def test_the_login_is_sent_with_a_request(server, tmp_path, monkeypatch):
    def get_headers(**environ):
        connect(KubeflowSettings(), server.url, environ)
        return {name.lower(): value for name, value in server.headers[-1].items()}

    assert "authorization" not in get_headers()
    assert get_headers(KFP_TOKEN="t-1")["authorization"] == "Bearer t-1"
    assert get_headers(KFP_COOKIES="authservice_session=s-1")["cookie"] == "authservice_session=s-1"
    file = tmp_path / "token"
    file.write_text("from-the-kubelet\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    account = get_headers(KF_PIPELINES_SA_TOKEN_PATH=str(file))
    assert account["authorization"] == "Bearer from-the-kubelet"


def test_a_missing_token_file_is_an_error(server, edgeline, tmp_path, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "none"))
    result = edgeline("submit")
    assert result.code == 1 and str(tmp_path / "none") in result.err and "Traceback" not in result.err


def test_several_users_need_a_namespace(server, edgeline):
    server.multi_user = True
    result = edgeline("submit")
    assert result.code == 2 and "kubeflow.namespace" in result.err
    edgeline.write_settings(namespace="team-a")
    assert edgeline("submit").code == 0
    [experiment] = server.experiments.values()
    assert experiment["display_name"] == "weekly"


def test_an_experiment_that_somebody_else_makes_at_the_same_time_is_taken(server, cluster):
    theirs = cluster.ensure_experiment("weekly")
    server.break_(r"GET .*/experiments$", status(200, {}), times=3)  # a taken name is listed a little later
    assert cluster.ensure_experiment("weekly") == theirs
    assert server.count(r"POST .*/experiments$") == 2


def test_a_version_that_somebody_else_uploads_at_the_same_time_is_taken(
    server, cluster, tmp_path, monkeypatch
):
    class Clock(datetime):
        """A clock that stands still, so that both upload in the same second."""

        @classmethod
        def now(cls, zone):
            return datetime(2026, 10, 5, tzinfo=zone)

    monkeypatch.setattr(kubeflow_client, "datetime", Clock)
    package = Terminal(server, tmp_path, None).package
    theirs = cluster.upload(package, SHELF, "c0de", "", {})
    monkeypatch.setattr(kubeflow_client, "_UNLISTED_S", 2)
    server.break_(r"GET .*/versions$", status(200, {}), times=3)  # it is listed once all of it is there
    assert cluster.upload(package, SHELF, "c0de", "", {}) == theirs
    assert theirs.name == "20261005-000000-c0de" and server.count(r"POST .*/upload_version$") == 2


@pytest.mark.parametrize(("kind", "name"), [("pipeline", "shelf"), ("experiment", "weekly")])
def test_two_pipelines_or_experiments_of_one_name_are_an_error(server, edgeline, kind, name):
    for number in ("1", "2"):
        getattr(server, f"{kind}s")[number] = {f"{kind}_id": number, "display_name": name}
    result = edgeline("submit")
    assert result.code == 1 and f"several {kind}s with the name {name!r}" in result.err
    assert not server.runs


def test_only_the_first_line_of_the_innermost_error_is_shown():
    chain = "Failed to create a new run: InternalServerError: Failed to fetch: PipelineVersion 7 not found"
    # The short form of a 500 says nothing.
    vague = {"error": chain, "details": [{"message": "Internal Server Error"}]}
    assert read_message(json.dumps(vague)) == read_message(json.dumps({"error": chain})) == chain
    assert read_message('{"error": "a: b", "details": [{"message": "b"}]}') == "b"
    assert read_message('{"error_message": "name taken", "error_details": "x"}') == "name taken"
    assert read_message(f"panic: nil\n{GO_STACK}") == "panic: nil"
    assert read_message(b"\xff plain") == "\ufffd plain"
    assert read_message('{"error": "a", "details": ["b"]}') == "a"
    assert read_message(None) == ""
    assert len(read_message("x" * 5000)) < 310


def test_an_unknown_run_and_an_unknown_api_are_different_errors(server, cluster):
    with pytest.raises(UsageError, match="There is no run nope"):
        cluster.get_run("nope")
    server.break_("/runs/", status(404, "Not Found\n", "text/plain"))
    with pytest.raises(EdgelineError, match="not the API of Kubeflow Pipelines"):
        cluster.get_run("nope")


def test_a_log_that_is_gone_is_empty(server, cluster):
    assert cluster.read_log("nope", "pod") == []
    server.break_("/log", status(404, "Not Found\n", "text/plain"))
    assert cluster.read_log("nope", "pod") == []
    server.fix()
    server.break_("/log", status(200, "line 1\nZürich\n", "text/plain"))
    assert cluster.read_log("nope", "pod") == ["line 1", "Zürich"]


def test_a_log_is_read_also_where_the_host_is_that_of_the_ui(server):
    """The UI answers unknown paths with its own page, and has logs at an address of its own."""
    cluster = connect(KubeflowSettings(namespace="alice"), server.url, {})
    server.break_("nodes/the-pod/log", status(200, "<!doctype html>", "text/html"))
    queries = []

    def send_log(answer):
        queries.append(answer.query)
        answer.send(200, "line 1\nFailed: no room\n", "text/plain")

    server.break_("k8s/pod/logs$", send_log)
    assert cluster.read_log("run-1", "the-pod") == ["line 1", "Failed: no room"]
    assert queries == [{"podname": "the-pod", "runid": "run-1", "podnamespace": "alice"}]


def test_without_kfp_the_extra_is_named(server, edgeline, monkeypatch):
    for name in ("kfp", "kfp.client"):
        monkeypatch.setitem(sys.modules, name, None)
    result = edgeline("submit")
    assert result.code == 2 and "edgeline[kubeflow]" in result.err


@pytest.mark.parametrize("is_ui", [True, False])
def test_groups_need_a_backend_that_hands_outputs_from_one_to_another(server, is_ui):
    server.is_ui = is_ui
    with pytest.raises(UsageError, match=r"is Kubeflow Pipelines 2\.0\.5, and kubeflow\.groups is true"):
        connect(KubeflowSettings(groups=True), server.url, {})
    for version in ("2.5.0", "2.16.1", "1a2b3c"):  # a build of one's own may have any name
        server.break_("healthz", status(200, {"tag_name": version}))
        assert connect(KubeflowSettings(groups=True), server.url, {})
