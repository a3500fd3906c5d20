"""Connections to Kubeflow Pipelines: the URL of its API, the credentials, and an open client."""

import contextlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from edgeline.errors import UsageError
from edgeline.secrets import find_secret
from runners.kubeflow.client import Cluster
from runners.kubeflow.errors import LoginPage, explain_errors

if TYPE_CHECKING:
    from pipeline.kubeflow_settings import KubeflowSettings

# If nobody answers in this time, the host is wrong, or something in between drops the packets.
_CONNECT_S = 10.0
# The server answers within a second, but an upload, or the log of a long step, takes longer.
_ANSWER_S = 60.0
_GROUPS_SINCE = (2, 5)  # the version of Kubeflow Pipelines


def find_host(settings: "KubeflowSettings", host: str | None, environ: Mapping[str, str]) -> str | None:
    """Returns the URL of the API or of the user interface from the option, the settings or the environment.

    They are tried in this order. None lets kfp's client look for the API.

    Args:
        settings: Their `host` is taken where the option is not given.
        host: The option `--host`; None or empty if it is not given.
        environ: KFP_ENDPOINT in it is taken before KF_PIPELINES_ENDPOINT.

    Raises:
        UsageError: It is not a URL, or has a user.
    """
    host = host or settings.host or environ.get("KFP_ENDPOINT") or environ.get("KF_PIPELINES_ENDPOINT")
    if host and (secret := find_secret(host)):
        raise UsageError(
            f"The URL of Kubeflow Pipelines has {secret}.",
            "Nobody is logged in with it, and messages and logs would show it.",
            "Leave it out, and set KFP_TOKEN or KFP_COOKIES instead.",
        )
    if host and not re.fullmatch(r"https?://[^\s/]+\S*", host):
        raise UsageError(
            f"{host!r} is not a URL of Kubeflow Pipelines.",
            "The URL has to begin with http:// or https://.",
            "Pass a URL such as http://127.0.0.1:8888 as --host, kubeflow.host or KFP_ENDPOINT.",
        )
    return host.rstrip("/") if host else None


def connect(settings: "KubeflowSettings", host: str | None, environ: Mapping[str, str]) -> Cluster:
    """Opens a client of the API and checks once that the API answers.

    kfp's client finds the rest of the credentials by itself: in a cluster its service and its service
    account's token, elsewhere the kubeconfig, `~/.config/kfp/context.json`, and the OAuth client of
    KF_PIPELINES_IAP_*.

    Args:
        settings: The namespace is theirs, by default the user's own; their groups need a backend of 2.5.
        host: The option `--host`; None leaves the host to `find_host`.
        environ: `edgeline kubeflow submit --help` lists its variables for credentials.

    Raises:
        UsageError: The host is not a URL, kfp is not installed, or one of several namespaces has to be named.
        EdgelineError: Nobody answers there, or the server refuses us.
    """
    chosen = find_host(settings, host, environ)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import kfp.client
            from kfp_server_api import ApiException
    except ImportError as error:
        raise UsageError(
            f"kfp cannot be imported: {error}.",
            "It is the client of Kubeflow Pipelines, and only `edgeline kubeflow` needs it.",
            "Install it with `pip install 'edgeline[kubeflow]'`, or run `make setup` again.",
        ) from error

    class Client(kfp.client.Client):
        """kfp's client with a health check that is made once, without retries, and limited in time."""

        health: Any = None

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            if self.health is None:
                api = self._run_api.api_client
                _limit_requests(api.rest_client)
                self.health = api.call_api(
                    "/apis/v2beta1/healthz",
                    "GET",
                    response_type="object",
                    auth_settings=["Bearer"],
                    _return_http_data_only=True,
                )
                if not isinstance(self.health, dict):  # another server, which has something at every path
                    raise ApiException(status=404, reason="Not Found")
            return SimpleNamespace(**{"multi_user": None, **self.health})

    token = environ.get("KFP_TOKEN")
    options: dict[str, Any] = {"host": chosen, "existing_token": token, "cookies": environ.get("KFP_COOKIES")}
    if settings.namespace:
        options["namespace"] = settings.namespace
    if certificates := environ.get("SSL_CERT_FILE"):
        options["ssl_ca_cert"] = certificates
    if environ.get("KF_PIPELINES_SA_TOKEN_PATH") and not token:
        options["credentials"] = kfp.client.ServiceAccountTokenVolumeCredentials()
    url = chosen or "kfp's default host"
    with explain_errors(url, "connecting"), warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        # kfp's client may print a question here, so it goes to standard error: an OAuth flow asks for a code.
        warnings.simplefilter("ignore")
        client = Client(**options)
        url = chosen or str(client._run_api.api_client.configuration.host)
    with explain_errors(url, "connecting"):
        multi_user = client.get_kfp_healthz().multi_user
    if settings.groups:
        _require_groups(url, str(client.health.get("tag_name") or client.health.get("apiServerTagName")))
    namespace = settings.namespace or client.get_user_namespace() or None
    if multi_user and not namespace:
        raise UsageError(
            f"{url} serves several users, and kubeflow.namespace is not set.",
            "Every experiment and run there belongs to a namespace.",
            "Pass yours: --set kubeflow.namespace=NAME.",
        )
    # The UI, which forwards to the API, adds fields of its own to the API's answer.
    page = environ.get("KF_PIPELINES_UI_ENDPOINT") or (url if "apiServerReady" in client.health else "")
    return Cluster(client, url, page.rstrip("/") or None, namespace)


def _require_groups(url: str, version: str) -> None:
    """Raises UsageError for a backend that is too old for groups; a version that is not a number passes."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and tuple(map(int, numbers.groups())) < _GROUPS_SINCE:
        raise UsageError(
            f"{url} is Kubeflow Pipelines {version}, and kubeflow.groups is true.",
            "Before 2.5, a step finds no output of a step in another group.",
            "Leave kubeflow.groups out, or update Kubeflow Pipelines.",
        )


def _limit_requests(rest: Any) -> None:
    """Gives each request of kfp's client a timeout, and turns off its retries."""
    import urllib3

    send: Callable[..., Any] = rest.request
    # Redirects are followed, also to a login page, which is detected below.
    rest.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(connect=0, read=0, status=0, other=0)

    def request(*arguments: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or (_CONNECT_S, _ANSWER_S)
        response = send(*arguments, **options)
        if "html" in (response.getheader("content-type") or ""):
            raise LoginPage
        return response

    rest.request = request
