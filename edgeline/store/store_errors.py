"""Translates the errors of an object store into the three parts that people see."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.errors import EdgelineError, UsageError
from edgeline.failures import explain, find_meaning, read_meanings

if TYPE_CHECKING:
    from upath import UPath


_LOCAL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE)
_NO_BUCKET = "NoSuchBucket"
# Codes of a store that asks for fewer requests.
_BUSY = frozenset(("SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "503", "429"))
# Errors of a store or of the network that may pass; those of the first line are of Python and its libraries.
_TEMPORARY = {
    *("ConnectionError", "HTTPClientError", "TimeoutError", "IncompleteReadError", "ClientPayloadError"),
    *("InternalError", "RequestTimeout", "500", "502", "504"),
    *_BUSY,
}
_MEANINGS = Path(__file__).with_name("store_errors.yaml")


def is_absent(error: OSError) -> bool:
    """Tells whether `error` says that an object does not exist, in a bucket that does."""
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return (is_missing or error.errno == errno.ENAMETOOLONG) and _NO_BUCKET not in collect_signs(error)


def is_temporary(error: BaseException) -> bool:
    """Tells whether an error of a store's library is temporary, so that another attempt may succeed."""
    return bool(_TEMPORARY & collect_signs(error))


@contextmanager
def explain_errors(place: "Path | UPath") -> Iterator[None]:
    """Translates what a store's library raises inside the block into the three parts that people see.

    A FileNotFoundError of an object is raised as it is, and so is every error where `place` is a Path.
    """
    try:
        yield
    except Exception as error:
        translated = None if isinstance(place, Path) else _translate(error, place)
        if translated is None:
            raise
        raise translated from error


@contextmanager
def ignore_absent(place: "UPath") -> Iterator[None]:
    """Works as `explain_errors`, and ends the block silently at an object that does not exist."""
    with explain_errors(place):
        try:
            yield
        except OSError as error:
            if not is_absent(error):
                raise


def _translate(error: Exception, place: "UPath") -> EdgelineError | None:
    """Returns what an error of a store means; None for a missing object and for errors of local files."""
    if isinstance(error, EdgelineError):
        return None

    signs = collect_signs(error)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    at = f" at {endpoint}" if endpoint else ""
    bucket = place.path.strip("/").partition("/")[0]
    text = " ".join(str(error).split())[:300] or type(error).__name__

    if isinstance(error, OSError) and _NO_BUCKET not in signs:
        is_local = is_absent(error) or error.filename or error.errno in _LOCAL_ERRNOS
        if is_local:
            return None
    if signs & {"ParamValidationError", "InvalidBucketName"}:
        why, do = "A bucket cannot have that name.", "Write the URL as s3://BUCKET/PREFIX."
        return UsageError(f"{place}: {text}", why, do)

    meanings = read_meanings(_MEANINGS)
    named = " ".join((*sorted(signs), "busy" if signs & _BUSY else ""))
    if find_meaning(meanings, named):
        return EdgelineError.from_problem(
            explain(meanings, named, place=place, bucket=bucket, at=at, text=text)
        )
    if isinstance(error, ValueError) and "endpoint" in text:
        why, do = "The store's address is not a URL.", "Set AWS_ENDPOINT_URL to http(s)://HOST:PORT."
        return UsageError(f"{place}: {text}.", why, do)
    return None


def collect_signs(error: BaseException | None) -> set[str]:
    """Returns the type names of an error and of its causes, and the error codes of the store."""
    signs: set[str] = set()
    while error is not None:
        signs |= {kind.__name__ for kind in type(error).__mro__}
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            signs.add(str(response.get("Error", {}).get("Code", "")))
        error = error.__cause__
    return signs
