"""Who changed something and when, as logs have it, and how a line is added to a log."""

import getpass
import os
import socket
from datetime import datetime, timezone
from typing import BinaryIO

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def user() -> str:
    """This user's name; their number where a container runs under one that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def who() -> str:
    """This user and machine, `user@host`."""
    return f"{user()}@{socket.gethostname()}"


def utc_text(moment: datetime) -> str:
    """A time as 2026-10-05T09:12:33Z."""
    return moment.astimezone(timezone.utc).strftime(TIME_FORMAT)


def utc_now() -> str:
    """Now, as `utc_text` has it."""
    return utc_text(datetime.now(timezone.utc))


def parse_time(text: str) -> datetime:
    """An ISO 8601 time, in UTC where it names no zone.

    Raises:
        ValueError: It is none.
    """
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))  # which Python before 3.11 does not know
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def append_line(file: BinaryIO, line: bytes) -> None:
    """Adds a line, its end included, after the last whole one of a file opened with `a+b`.

    A torn line before it counts as not written, and goes. On the disk when this returns.
    """
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.write(line)
    file.flush()
    os.fsync(file.fileno())
