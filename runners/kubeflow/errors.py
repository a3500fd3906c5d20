"""What went wrong between us and Kubeflow Pipelines, in a person's words."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from errors import EdgelineError

# A server's error may hold kilobytes of Go stack; its first line says what there is to say.
_MOST_CHARACTERS = 300


class LoginPage(Exception):
    """The host answered with a page for people."""


class Unavailable(EdgelineError):
    """Nobody answers, or not well, which may pass: whoever follows a run asks again."""


@contextmanager
def explained(host: str, doing: str) -> Iterator[None]:
    """Turns what kfp's client raises while `doing` something into the three parts that people see."""
    try:
        yield
    except Exception as error:
        if (told := _told(error, host, doing)) is None:
            raise
        raise told from error


def _told(error: Exception, host: str, doing: str) -> EdgelineError | None:
    """What an error means; None where it does not come from talking to a server."""
    import urllib3
    from kfp_server_api.exceptions import ApiException

    if isinstance(error, LoginPage):
        return EdgelineError(
            f"{host} answered with a web page while {doing}.",
            "That is mostly a login page: the host wants to know who asks.",
            "Set KFP_TOKEN to a token, or KFP_COOKIES to the cookies of a session in which you are logged in;"
            " or name the API itself with --host, for example through `kubectl port-forward`.",
        )
    if isinstance(error, ApiException):
        return _refused(error, host, doing)
    if isinstance(error, urllib3.exceptions.HTTPError):
        return _unreachable(error, host, doing)
    if isinstance(error, OSError) and error.filename:
        return EdgelineError(
            f"{error.strerror}: {error.filename}.",
            f"It was needed while {doing}.",
            "Fix that, and run the same command again.",
        )
    return None


def _refused(error: Any, host: str, doing: str) -> EdgelineError:
    if not error.status:
        return _certificate(str(error.reason), host)
    said = message(error.body)
    found = f"{host} answered {error.status} ({error.reason}) while {doing}{f': {said}' if said else '.'}"
    if error.status in (401, 403):
        return EdgelineError(
            found,
            "The token or session is missing, has run out, or may not do that.",
            "Get a new one and set KFP_TOKEN (or KFP_COOKIES), and run the same command again.",
        )
    if error.status == 404 and _document(error.body) is None:
        return EdgelineError(
            found,
            "Somebody answers there, but not the API of Kubeflow Pipelines, version 2.",
            "Check --host: it is the URL under which /apis/v2beta1/healthz answers, mostly without a path.",
        )
    if error.status >= 500:
        return Unavailable(
            found,
            "Kubeflow Pipelines or what it stands on is not well.",
            "Run the same command again; if that stays,"
            " `kubectl logs deployment/ml-pipeline -n kubeflow` says more.",
        )
    return EdgelineError(
        found,
        "Kubeflow Pipelines refused what it was asked for, and nothing was changed by it.",
        "Fix what it names, and run the same command again.",
    )


def _unreachable(error: Exception, host: str, doing: str) -> EdgelineError:
    import urllib3

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError):
        return _certificate(str(reason), host)
    if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return Unavailable(
            f"{host} did not answer in time while {doing}.",
            "It took the question, and whether it did what it was asked is not known.",
            "Look at its page, and run the same command again.",
        )
    # urllib3 leads with the object that it happened to.
    said = re.sub(r"^.*?: (?=Failed|Connection|\[)", "", str(reason)) or type(reason).__name__
    return Unavailable(
        f"{host} cannot be reached while {doing}: {said[:_MOST_CHARACTERS]}",
        "Nobody answers there.",
        "Check --host, kubeflow.host or KFP_ENDPOINT, and whether the cluster or the port-forward is up.",
    )


def _certificate(said: str, host: str) -> EdgelineError:
    return EdgelineError(
        f"{host} cannot be spoken to in private: {' '.join(said.split())[:_MOST_CHARACTERS]}",
        "Its certificate cannot be checked, or it speaks no https.",
        "Set SSL_CERT_FILE to the certificates of the authority that signed it, or write http:// where that"
        " is what it speaks.",
    )


def message(body: Any) -> str:
    """The first line of what a server said: of the innermost of its errors, at most 300 characters."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    if (document := _document(text)) is not None:
        details = document.get("details")
        inner = details[0].get("message") if isinstance(details, list) and details else None
        outer = document.get("error") or document.get("error_message") or document.get("message")
        # The short form of a 500 is "Internal Server Error", which says nothing.
        text = str(outer if not inner or inner == "Internal Server Error" else inner)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    # Each wrapper repeats the one inside it; the end is the cause.
    return line if len(line) <= _MOST_CHARACTERS else f"... {line[-_MOST_CHARACTERS:]}"


def _document(body: Any) -> dict[str, Any] | None:
    """What a server said, where that is an object of JSON."""
    with suppress(TypeError, ValueError):
        if isinstance(document := json.loads(body), dict):
            return document
    return None
