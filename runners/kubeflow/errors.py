"""Explanations of the errors of Kubeflow Pipelines and of the connection to it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from edgeline.errors import EdgelineError

# A server's error may contain kilobytes of Go stack; its first line is the message.
_MOST_CHARACTERS = 300


class LoginPage(Exception):
    """The host answered with a web page for people."""


class Unavailable(EdgelineError):
    """The server does not answer, or fails. That may pass, so `Follower` asks again."""


@contextmanager
def explain_errors(host: str, doing: str) -> Iterator[None]:
    """Converts an error that kfp's client raises while `doing` something to an EdgelineError."""
    try:
        yield
    except Exception as error:
        if (explanation := _explain(error, host, doing)) is None:
            raise
        raise explanation from error


def _explain(error: Exception, host: str, doing: str) -> EdgelineError | None:
    """Returns the explanation of an error; None if it does not come from the connection to a server."""
    import urllib3
    from kfp_server_api.exceptions import ApiException

    if isinstance(error, LoginPage):
        return EdgelineError(
            f"{host} answered with a web page while {doing}.",
            "It is usually a login page: the request lacks valid credentials.",
            "Set KFP_TOKEN to a token, or KFP_COOKIES to the cookies of a logged-in browser session;"
            " or pass the URL of the API itself as --host, for example through `kubectl port-forward`.",
        )
    if isinstance(error, ApiException):
        return _explain_refusal(error, host, doing)
    if isinstance(error, urllib3.exceptions.HTTPError):
        return _explain_connection(error, host, doing)
    if isinstance(error, OSError) and error.filename:
        return EdgelineError(
            f"{error.strerror}: {error.filename}.",
            f"The file is needed for {doing}.",
            "Fix the file or its path, and run the same command again.",
        )
    return None


def _explain_refusal(error: Any, host: str, doing: str) -> EdgelineError:
    if not error.status:
        return _explain_certificate(str(error.reason), host)
    text = read_message(error.body)
    answer = f"{host} answered {error.status} ({error.reason}) while {doing}{f': {text}' if text else '.'}"
    if error.status in (401, 403):
        return EdgelineError(
            answer,
            "The token or session is missing, has expired, or lacks the permission.",
            "Set KFP_TOKEN (or KFP_COOKIES) to a new one, and run the same command again.",
        )
    if error.status == 404 and _parse_object(error.body) is None:
        return EdgelineError(
            answer,
            "A server answers there, but it is not the API of Kubeflow Pipelines, version 2.",
            "Check --host: pass the URL under which /apis/v2beta1/healthz answers, usually without a path.",
        )
    if error.status >= 500:
        return Unavailable(
            answer,
            "Kubeflow Pipelines, or a service that it depends on, has failed.",
            "Run the same command again. If the error persists, read"
            " `kubectl logs deployment/ml-pipeline -n kubeflow`.",
        )
    return EdgelineError(
        answer,
        "Kubeflow Pipelines refused the request and changed nothing.",
        "Fix what the answer names, and run the same command again.",
    )


def _explain_connection(error: Exception, host: str, doing: str) -> EdgelineError:
    import urllib3

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError):
        return _explain_certificate(str(reason), host)
    if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return Unavailable(
            f"{host} did not answer in time while {doing}.",
            "The request was sent; whether the server carried it out is not known.",
            "Look at its page before you run the same command again.",
        )
    # urllib3's message begins with the object that failed.
    text = re.sub(r"^.*?: (?=Failed|Connection|\[)", "", str(reason)) or type(reason).__name__
    return Unavailable(
        f"{host} cannot be reached while {doing}: {text[:_MOST_CHARACTERS]}",
        "No server answers there.",
        "Check --host, kubeflow.host or KFP_ENDPOINT, and whether the cluster or the port-forward is up.",
    )


def _explain_certificate(reason: str, host: str) -> EdgelineError:
    return EdgelineError(
        f"{host} cannot be reached over TLS: {' '.join(reason.split())[:_MOST_CHARACTERS]}",
        "Its certificate cannot be verified, or it does not use https.",
        "Set SSL_CERT_FILE to the certificates of the authority that signed it, or pass an http:// URL if the"
        " server uses plain http.",
    )


def read_message(body: Any) -> str:
    """Returns the first line of the innermost error in a server's answer, at most 300 characters."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    if (document := _parse_object(text)) is not None:
        details = document.get("details")
        inner = details[0].get("message") if isinstance(details, list) and details else None
        outer = document.get("error") or document.get("error_message") or document.get("message")
        # The inner error of a 500 may be "Internal Server Error", which explains nothing.
        text = str(outer if not inner or inner == "Internal Server Error" else inner)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    # Each wrapping error repeats the one inside it, so the cause stands at the end.
    return line if len(line) <= _MOST_CHARACTERS else f"... {line[-_MOST_CHARACTERS:]}"


def _parse_object(body: Any) -> dict[str, Any] | None:
    """Parses a server's answer; None if it is not a JSON object."""
    with suppress(TypeError, ValueError):
        if isinstance(document := json.loads(body), dict):
            return document
    return None
