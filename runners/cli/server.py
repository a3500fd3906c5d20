"""Runs a server that a library brings, with pages to look at, until this process is asked to end."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from edgeline.errors import EdgelineError

LOOK_S = 5
# A server has this many seconds to end after it is told to.
_GRACE_S = 20


def port(default: int | None, shown: str) -> Callable[[Any], Any]:
    """Returns the option `--port`."""
    text = f"port of the server; 0 picks a free one ({shown})"
    return click.option("--port", type=click.IntRange(0, 65535), default=default, metavar="N", help=text)


def serve(name: str, command: Sequence[str], check: Callable[[], None] = lambda: None, **options: Any) -> int:
    """Runs a server and calls `check` every `LOOK_S` seconds; returns 0 once this process is asked to end.

    Args:
        name: The server's, for the error.
        command: The program and its arguments.
        check: Called in this thread, so that the next look waits for it; what it raises ends the server.
        **options: Those of `subprocess.Popen`.

    Raises:
        EdgelineError: The server ended by itself.
    """
    server = subprocess.Popen(command, **options)
    try:
        while server.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                server.wait(LOOK_S)
            check()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        try:
            server.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            # It and its workers have no state to save.
            if options.get("start_new_session"):
                os.killpg(server.pid, signal.SIGKILL)
            else:
                server.kill()
            server.wait()
    raise EdgelineError(
        f"{name} ended with exit code {server.returncode}.",
        "Its own message is above.",
        "If its port is taken, pass --port 0 to use a free one.",
    )
