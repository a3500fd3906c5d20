"""Photos are opened in a process of its own: one that is too much for its decoder costs only itself.

A few kilobytes can ask a decoder for minutes or for all memory, and no limit of one format covers the others.
So that process has a limit of CPU time a photo, which does not depend on what else runs, and one of memory.
When it dies of a photo, that photo is rejected, and the next one gets a new process.
"""

import math
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from data.spans.rejection import RowRejected
from errors import EdgelineError

_ROOT = Path(__file__).resolve().parents[2]
_OUT_OF_MEMORY = 77


class DecoderProcess:
    """Calls a function with one photo after the other, in a process that is started for the first of them.

    Args:
        work: Takes a photo's bytes; a module's function, or a `functools.partial` of one.
        seconds: CPU time that a photo may take. The kernel counts whole seconds: it may be up to one more.
        gigabytes: Address space that the process may have.
    """

    def __init__(self, work: Callable[[bytes], Any], seconds: int, gigabytes: float) -> None:
        self._work, self._seconds, self._gigabytes = work, seconds, gigabytes
        self._started: tuple[subprocess.Popen[bytes], Connection] | None = None

    def __call__(self, photo: bytes) -> Any:
        """What `work` returns or raises.

        Raises:
            RowRejected: unsafe, where the process did not survive the photo.
            EdgelineError: The process does not start.
        """
        _, pipe = self._started or self._start()
        try:
            pipe.send_bytes(photo)
            outcome = pipe.recv()
        except (EOFError, OSError):
            raise RowRejected("unsafe", self._cause(self.close())) from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> int:
        """Ends the process, if there is one; its exit code."""
        if self._started is None:
            return 0
        process, pipe = self._started
        self._started = None
        pipe.close()
        process.kill()  # one that died of a photo keeps its own code
        return process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        # No fork of this process, which may have TensorFlow's threads; and not `multiprocessing`, whose new
        # process would import the main module of this one, TFX perhaps.
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "data.photos.decoder_process", str(theirs.fileno())]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        try:
            with theirs:
                process = subprocess.Popen(command, cwd=_ROOT, env=environment, pass_fds=[theirs.fileno()])
            self._started = process, ours
            ours.send((self._work, self._seconds, self._gigabytes))
            ours.recv_bytes()
        except (EOFError, OSError) as error:
            code = self.close()
            raise EdgelineError(
                f"The process that decodes photos did not start ({str(error) or f'code {code}'}).",
                "No photo can be read without it.",
                "What it printed stands above; where memory or processes are short, give the run more.",
            ) from None
        return self._started

    def _cause(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"Its decoding takes more than {self._seconds} s of CPU time."
        if code == _OUT_OF_MEMORY:
            return f"Its decoding takes more than {self._gigabytes:g} GB of memory."
        return f"Its decoder ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}."


def main() -> None:
    """Serves the process that started this one until that closes the pipe, or ends."""
    pipe: Connection = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it decides what Ctrl-C means
    warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of sizes
    work, seconds, gigabytes = pipe.recv()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, round(gigabytes * 1e9))
    pipe.send_bytes(b"started")
    with suppress(EOFError, OSError):
        while True:
            photo = pipe.recv_bytes()
            _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + seconds)
            pipe.send(_outcome(work, photo))


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _outcome(work: Callable[[bytes], Any], photo: bytes) -> Any:
    try:
        return work(photo)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:
        return error


if __name__ == "__main__":
    main()
