"""Translates the errors of an object store into the three parts that people see."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.errors import EdgelineError, UsageError
from edgeline.failures import Meaning, explain, find_meaning

if TYPE_CHECKING:
    from upath import UPath


_LOCAL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE)
_NO_BUCKET = "NoSuchBucket"
_LOOK_AT_ADDRESS = "Check AWS_ENDPOINT_URL and the network, and run the same command again."
# Codes of a store that asks for fewer requests.
_BUSY = frozenset(("SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "503", "429"))
# Errors of a store or of the network that may pass; those of the first line are of Python and its libraries.
_TEMPORARY = {
    *("ConnectionError", "HTTPClientError", "TimeoutError", "IncompleteReadError", "ClientPayloadError"),
    *("InternalError", "RequestTimeout", "500", "502", "504"),
    *_BUSY,
}
# By the names of exceptions, and the codes of stores.
_OF_STORES = (
    Meaning(
        "NoSuchBucket",
        "{place}: the bucket {bucket!r} does not exist{at}.",
        "Edgeline does not create buckets.",
        "Check its name and AWS_ENDPOINT_URL, or create it, and run the same command again.",
    ),
    Meaning(
        "NoCredentialsError|PartialCredentialsError|CredentialRetrievalError|PermissionError|AccessDenied|"
        "InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired|"
        "UnauthorizedSSOTokenError|ProfileNotFound|403",
        "{place} was refused{at}: {text}",
        "The keys are missing, wrong or expired, or do not permit this operation.",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to the keys of a user who may read and write"
        " there (and AWS_ENDPOINT_URL for a store other than AWS's own), and run the same command again.",
    ),
    Meaning(
        "|".join(_BUSY),
        "{place} asks for fewer requests{at}: {text}",
        "Each request was tried several times, with waits in between.",
        "Run the same command again when the store is less busy.",
    ),
    Meaning(
        "ConnectTimeoutError|ReadTimeoutError|FSTimeoutError|TimeoutError|RequestTimeout",
        "{place} did not answer in time{at}: {text}",
        "The store is overloaded, or something on the network path drops the requests.",
        _LOOK_AT_ADDRESS,
    ),
    Meaning(
        "ConnectionError|HTTPClientError|ClientConnectionError",
        "{place} cannot be reached{at}: {text}",
        "Nothing listens at that address, or its host name cannot be resolved.",
        _LOOK_AT_ADDRESS,
    ),
    Meaning(
        "OSError|ClientError|BotoCoreError",
        "{place}: the store answered with an error{at}: {text}",
        "The operation was not carried out.",
        "Read the store's own log, and run the same command again.",
    ),
)


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

    if isinstance(error, OSError) and _NO_BUCKET not in signs and _is_local(error):
        return None
    if signs & {"ParamValidationError", "InvalidBucketName"}:
        why, do = "A bucket cannot have that name.", "Write the URL as s3://BUCKET/PREFIX."
        return UsageError(f"{place}: {text}", why, do)

    if find_meaning(_OF_STORES, named := " ".join(sorted(signs))):
        return EdgelineError.from_problem(
            explain(_OF_STORES, named, place=place, bucket=bucket, at=at, text=text)
        )
    if isinstance(error, ValueError) and "endpoint" in text:
        why, do = "The store's address is not a URL.", "Set AWS_ENDPOINT_URL to http(s)://HOST:PORT."
        return UsageError(f"{place}: {text}.", why, do)
    return None


def _is_local(error: OSError) -> bool:
    return bool(is_absent(error) or error.filename or error.errno in _LOCAL_ERRNOS)


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
