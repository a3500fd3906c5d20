"""A process that opens photos, so that a photo that crashes its decoder is the only one lost.

A few kilobytes can ask a decoder for minutes or for all memory, and no limit of one format covers the others.
So the process has a limit of CPU time a photo, which does not depend on what else runs, and one of memory.
If a photo kills it, that photo is rejected, and the next one gets a new process.
"""

import math
import os
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

from edgeline.errors import EdgelineError
from edgeline.records.rejection import RowRejected

_ROOT = Path(__file__).resolve().parents[2]
_OUT_OF_MEMORY = 77


class DecoderProcess:
    """A process that calls a function with one photo after the other; it starts with the first one.

    Args:
        work: A function of a photo's bytes: a module's function, or a `functools.partial` of one.
        seconds: CPU time for one photo. The kernel counts whole seconds, so it may be up to one more.
        gigabytes: Address space of the process.
    """

    def __init__(self, work: Callable[[bytes], Any], seconds: int, gigabytes: float) -> None:
        self._work, self._seconds, self._gigabytes = work, seconds, gigabytes
        self._started: tuple[subprocess.Popen[bytes], Connection] | None = None

    def __call__(self, photo: bytes) -> Any:
        """Returns what `work` returns for a photo, or raises what it raises.

        Raises RowRejected as unsafe if the process did not survive the photo, and EdgelineError if it does
        not start.
        """
        if sys.platform == "win32":  # which has no such limits
            return self._work(photo)
        _, pipe = self._started or self._start()
        try:
            pipe.send_bytes(photo)
            outcome = pipe.recv()
        except (EOFError, OSError):
            raise RowRejected("unsafe", self._explain_end(self.close())) from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> int:
        """Ends the process, if there is one, and returns its exit code."""
        if self._started is None:
            return 0
        process, pipe = self._started
        self._started = None
        pipe.close()
        process.kill()  # a process that died already keeps its own code
        return process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        # A fork would copy TensorFlow's threads, and `multiprocessing` would import this process's main
        # module, which may be TFX; so the process is started by a command.
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "edgeline.tables.decoder_process", str(theirs.fileno())]
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
                "Read its output above; if memory or processes are short, give the run more.",
            ) from None
        return self._started

    def _explain_end(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"Its decoding takes more than {self._seconds} s of CPU time."
        if code == _OUT_OF_MEMORY:
            return f"Its decoding takes more than {self._gigabytes:g} GB of memory."
        return f"Its decoder ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}."


def main() -> None:
    """Serves the parent process until it closes the pipe or ends."""
    pipe: Connection = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of sizes
    work, seconds, gigabytes = pipe.recv()
    import resource  # not on Windows

    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_AS, round(gigabytes * 1e9))
    pipe.send_bytes(b"started")
    with suppress(EOFError, OSError):
        while True:
            photo = pipe.recv_bytes()
            _set_limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + seconds)
            pipe.send(_run(work, photo))


def _set_limit(kind: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _run(work: Callable[[bytes], Any], photo: bytes) -> Any:
    try:
        return work(photo)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:
        return error


if __name__ == "__main__":
    main()
