"""What the errors of an object store mean, in the three parts that people see."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from errors import EdgelineError, UsageError

if TYPE_CHECKING:
    from upath import UPath


_OF_THIS_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE)
_NO_BUCKET = "NoSuchBucket"
_MISNAMED = {"ParamValidationError", "InvalidBucketName"}
_BUSY = {"SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "503", "429"}
# What a store, or what is between, may do otherwise in a moment; the first three are of Python and botocore.
_PASSING = {
    *("ConnectionError", "HTTPClientError", "TimeoutError", "IncompleteReadError", "ClientPayloadError"),
    *("InternalError", "RequestTimeout", "500", "502", "504"),
    *_BUSY,
}
_LOOK_AT_ADDRESS = "Check AWS_ENDPOINT_URL and the network, and run the same command again."
# By what a store's library raises, or the store answers: what was found, why, and what to do.
_MEANINGS = (
    (
        {
            *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "PermissionError"),
            *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
            *("TokenRefreshRequired", "UnauthorizedSSOTokenError", "ProfileNotFound", "403"),
        },
        " was refused",
        "The keys are missing, wrong or run out, or they may not do that there.",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for another store than"
        " AWS's own) of a user who may read and write there, and run the same command again.",
    ),
    (
        _BUSY,
        " asks for fewer requests",
        "It went on to after each was tried several times, with waits between them.",
        "Run the same command again when less is asked of it.",
    ),
    (
        {"ConnectTimeoutError", "ReadTimeoutError", "FSTimeoutError", "TimeoutError", "RequestTimeout"},
        " did not answer in time",
        "The store is overloaded, or something on the way swallows what is sent to it.",
        _LOOK_AT_ADDRESS,
    ),
    (
        {"ConnectionError", "HTTPClientError", "ClientConnectionError"},
        " cannot be reached",
        "Nothing listens there, or its name is not known here.",
        _LOOK_AT_ADDRESS,
    ),
    (
        {"OSError", "ClientError", "BotoCoreError"},
        ": the store answered with an error",
        "What was asked of it was not done.",
        "Look into the store's own log, and run the same command again.",
    ),
)


def is_absent(error: OSError) -> bool:
    """Whether `error` says that there is no such object, in a bucket that is there."""
    absent = isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ENAMETOOLONG
    return absent and _NO_BUCKET not in signs_of(error)


def may_pass(error: BaseException) -> bool:
    """Whether what a store's library raises is worth trying again in a moment."""
    return bool(_PASSING & signs_of(error))


@contextmanager
def explained(place: "Path | UPath") -> Iterator[None]:
    """Turn what a store's library raises into the three parts that people see.

    A FileNotFoundError of an object goes through, and so does everything raised while a Path is used.
    """
    try:
        yield
    except Exception as error:
        told = None if isinstance(place, Path) else _told(error, place)
        if told is None:
            raise
        raise told from error


@contextmanager
def if_there(place: "UPath") -> Iterator[None]:
    """As `explained`; a block that asks for an object that is not there ends without a word."""
    with explained(place):
        try:
            yield
        except OSError as error:
            if not is_absent(error):
                raise


def _told(error: Exception, place: "UPath") -> EdgelineError | None:
    """What `error` of a store means; None where it is of one missing object only, or of a file here."""
    if isinstance(error, EdgelineError):
        return None
    signs = signs_of(error)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    at = f" at {endpoint}" if endpoint and place.protocol == "s3" else ""
    bucket = place.path.strip("/").partition("/")[0]
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if _NO_BUCKET in signs:
        return EdgelineError(
            f"{place}: there is no bucket {bucket!r}{at}.",
            "Examples and releases lie in a bucket that somebody has made; it is not made here.",
            "Check its name and AWS_ENDPOINT_URL, or make it, and run the same command again.",
        )
    if isinstance(error, OSError) and (is_absent(error) or error.filename or error.errno in _OF_THIS_MACHINE):
        return None
    if signs & _MISNAMED:
        why, do = "No bucket can have that name.", "Write the URL as s3://BUCKET/PREFIX."
        return UsageError(f"{place}: {said}", why, do)
    for names, found, why, do in _MEANINGS:
        if signs & names:
            return EdgelineError(f"{place}{found}{at}: {said}", why, do)
    if isinstance(error, ValueError) and "endpoint" in said:
        why, do = "The store's address is no URL.", "Set AWS_ENDPOINT_URL to http(s)://HOST:PORT."
        return UsageError(f"{place}: {said}.", why, do)
    return None


def signs_of(error: BaseException | None) -> set[str]:
    """The names of the types of an error and of its causes, and the codes that a store gave."""
    signs: set[str] = set()
    while error is not None:
        signs |= {kind.__name__ for kind in type(error).__mro__}
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            signs.add(str(response.get("Error", {}).get("Code", "")))
        error = error.__cause__
    return signs
