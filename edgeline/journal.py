"""Users, times, reasons, library versions and appended lines, as records and audit logs have them."""

import getpass
import os
import platform
import socket
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import BinaryIO

from edgeline.errors import UsageError

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def get_user() -> str:
    """Returns this user's name; in a container whose user has no name, the numeric id."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def get_user_and_host() -> str:
    """Returns this user and machine as `user@host`."""
    return f"{get_user()}@{socket.gethostname()}"


def format_utc(moment: datetime) -> str:
    """Formats a time in UTC, as 2026-10-05T09:12:33Z."""
    return moment.astimezone(timezone.utc).strftime(TIME_FORMAT)


def utc_now() -> str:
    """Returns the current time as `format_utc` formats it."""
    return format_utc(datetime.now(timezone.utc))


def clean_reason(reason: str) -> str:
    """Returns the reason of a decision as one line. Raises UsageError if it is empty."""
    if not reason.strip():
        raise UsageError(
            "The reason is empty.", "Others need to know why this was done.", "Pass it with --reason R."
        )
    return " ".join(reason.split())


def parse_time(text: str) -> datetime:
    """Parses an ISO 8601 time, which is in UTC without a zone. Raises ValueError for any other text."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python before 3.11 does not know the Z
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def append_line(file: BinaryIO, line: bytes) -> None:
    """Appends a line, its end included, to a file opened with `a+b`; the line is on the disk on return.

    An incomplete last line, left by a crash, is removed first.
    """
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.write(line)
    file.flush()
    os.fsync(file.fileno())


_LIBRARIES = ("tensorflow", "keras", "tfx", "tensorflow-transform", "apache-beam", "numpy", "pillow")


def list_libraries() -> dict[str, str]:
    """Returns the version of each installed library by its name."""
    # Python imports the first of two with a name; half-removed ones have no name. Each access reads the file.
    entries = [package.metadata for package in reversed([*distributions()])]
    return {metadata["Name"]: metadata["Version"] for metadata in entries if "Name" in metadata}


def read_library_versions() -> dict[str, str]:
    """Returns the versions of Python and of those libraries that are installed, by name."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions
