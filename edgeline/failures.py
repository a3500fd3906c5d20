"""Failures in plain words: from an exception in the worker, or from the way its process ended."""

import errno
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError

# A worker with less free space than this cannot write what happened to it.
_FULL_BELOW_BYTES = 64 * 1024
_NO_SPACE = "No space left on device"
_AGAIN = "run the same command again: it goes on from the steps that are done."
_SIGNALS: dict[str, tuple[str, str]] = {
    "SIGKILL": (
        "Edgeline did not send it; usually the system kills a process when memory runs out.",
        f"Close other programs or lower trainer.batch_size, and {_AGAIN}",
    ),
    "SIGABRT": (
        "A native library aborted; its last message is in the log.",
        f"Read it, and {_AGAIN}",
    ),
    "SIGBUS": (
        "A file that was mapped into memory became shorter, usually because a disk or /dev/shm is full.",
        f"Free some space, and {_AGAIN}",
    ),
    "SIGILL": (
        "This processor lacks an instruction that TensorFlow was built with, usually AVX.",
        "Use a machine with AVX.",
    ),
}
_CRASH = ("A native library crashed.", f"{_AGAIN.capitalize()} If it crashes again, read the log.")
_READ_LOG = (
    "Nothing was pushed by this run.",
    "Read the log for more; the same command goes on from the steps that are done.",
)
# Lines in which TensorFlow, absl, glibc or Python say why a process is about to end.
_LAST_WORDS = re.compile(
    r"^F\d{4} |\bFATAL\b|^Fatal|Check failed|terminate called|Aborted|MemoryError|^\w*(Error|Exception)\b: "
)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception, and every exception that it was raised from or during."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]


def describe(error: BaseException, step: str | None) -> dict[str, Any]:
    """Returns the error event of an exception raised in a step: its exit code and its three parts."""
    for link in chain(error):
        if isinstance(link, EdgelineError):
            found = re.sub(r" \[while running '.*?'\]", "", link.found)  # Beam adds the name of its stage.
            return {**_make_event(link.exit_code, found, link.why, link.do), "spans": link.spans}
    if step is None and isinstance(error, OSError):
        return _make_event(1, *_describe_os_error(error))
    where = f"The step {step}" if step else "The run"
    for link in chain(error):
        if (isinstance(link, OSError) and link.errno == errno.ENOSPC) or _NO_SPACE in str(link):
            file = getattr(link, "filename", None)
            return _make_full_disk_event(f"The disk is full{f', writing {file}' if file else ''}.", where)
    root = list(chain(error))[-1]
    text = " ".join(line.strip() for line in str(root).splitlines() if line.strip())[:300]
    return _make_event(1, f"{where} failed: {type(root).__name__}{f': {text}' if text else ''}", *_READ_LOG)


def _describe_os_error(error: OSError) -> tuple[str, str, str]:
    found, do = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", "Fix that"
    if error.errno == errno.ENOSPC:
        do = "Free some space, for example with `edgeline gc --keep 4`"
    elif "No usable temporary directory" in found:
        do = "Free some space there, or set TMPDIR to a writable folder"
    elif error.errno == errno.EROFS:
        do = "Mount it for writing, or name another place"
    why = "A file could not be read or written; production is as it was."
    return found, why, f"{do}, and run the same command again."


def _make_full_disk_event(found: str, who: str) -> dict[str, Any]:
    why = f"{who} could not write its files; production is as it was."
    return _make_event(1, found, why, f"Free some space, and {_AGAIN}")


def _make_event(exit_code: int, found: str, why: str, do: str) -> dict[str, Any]:
    return {"event": "error", "exit_code": exit_code, "found": found, "why": why, "do": do}


def describe_death(returncode: int, step: str | None, log: Path) -> dict[str, Any]:
    """Returns the error event of a worker that ended in a step without reporting an error.

    The return code is that of subprocess: the negative number of the signal where a signal ended it.
    """
    if shutil.disk_usage(log.parent).free < _FULL_BELOW_BYTES:
        return _make_full_disk_event(f"The disk of {log.parent} is full.", "The run")
    words = find_last_words(log)
    hint = f" From its log: {words}" if words else ""
    where = f"in the step {step}" if step else "before its first step"
    if returncode < 0:
        number = -returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        why, do = _SIGNALS.get(name, _CRASH)
        return _make_event(1, f"The worker process was ended by {name} {where}.{hint}", why, do)
    found = f"The worker process ended with exit code {returncode} {where} and reported no error.{hint}"
    return _make_event(1, found, *_READ_LOG)


def find_last_words(log: Path) -> str:
    """Returns the last line of a log that says why a process ended, cut at 300 characters; empty for none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200_000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    matching = [line.strip() for line in lines if _LAST_WORDS.search(line)]
    return matching[-1][:300] if matching else ""
