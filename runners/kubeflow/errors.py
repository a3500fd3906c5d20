"""Explanations of the errors of Kubeflow Pipelines and of the connection to it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError
from edgeline.failures import explain, read_meanings

# A server's error may contain kilobytes of Go stack; its first line is the message.
_MOST_CHARACTERS = 300
_MEANINGS = Path(__file__).with_name("errors.yaml")


class LoginPage(Exception):
    """The host answered with a web page for people."""


class Unavailable(EdgelineError):
    """The server does not answer, fails, or has too many requests. That may pass: `Follower` asks again."""


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
        return _make_error("login page", host, doing)
    if isinstance(error, ApiException) and error.status:
        text = read_message(error.body)
        text = f": {text}" if text else "."
        answer = f"{host} answered {error.status} ({error.reason}) while {doing}{text}"
        is_other = error.status == 404 and _parse_object(error.body) is None
        return _make_error(f"{error.status}{' of another server' if is_other else ''}", host, doing, answer)
    if not isinstance(error, (ApiException, urllib3.exceptions.HTTPError)):
        return None
    reason = getattr(error, "reason", None) or error
    if isinstance(error, ApiException) or isinstance(reason, urllib3.exceptions.SSLError):
        return _make_error("certificate", host, doing, " ".join(str(reason).split())[:_MOST_CHARACTERS])
    if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return _make_error("timeout", host, doing)
    # urllib3's message begins with the object that failed.
    text = re.sub(r"^.*?: (?=Failed|Connection|\[)", "", str(reason)) or type(reason).__name__
    return _make_error("connection", host, doing, text[:_MOST_CHARACTERS])


def _make_error(signs: str, host: str, doing: str, text: str = "") -> EdgelineError:
    is_away = re.fullmatch(r"5\d\d|429|timeout|connection", signs) is not None
    kind = Unavailable if is_away else EdgelineError
    return kind.from_problem(explain(read_meanings(_MEANINGS), signs, host=host, doing=doing, text=text))


def read_message(body: Any) -> str:
    """Returns the first line of the innermost error in a server's answer, at most 300 characters."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    if (document := _parse_object(text)) is not None:
        details = document.get("details")
        first = details[0] if isinstance(details, list) and details else None
        inner = first.get("message") if isinstance(first, dict) else None
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
