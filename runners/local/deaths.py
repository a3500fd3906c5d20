"""Describes the end of a worker that reported no error, from its exit code and the last words of its log."""

import re
import shutil
import signal
from pathlib import Path

from edgeline.errors import Problem
from edgeline.failures import AGAIN, READ_LOG, describe_full_disk, explain, read_meanings
from edgeline.secrets import redact

# A worker with less free space than this cannot write what happened to it.
_FULL_BELOW_BYTES = 64 * 1024
# The exit code of a worker that could not write its error: EX_IOERR of sysexits.h.
CANNOT_WRITE = 74
# Lines in which TensorFlow, absl, glibc or Python say why a process is about to end.
_LAST_WORDS = re.compile(
    r"^F\d{4} |\bFATAL\b|^Fatal|Check failed|terminate called|Aborted|MemoryError|^\w*(Error|Exception)\b: "
)
_OF_SIGNALS = Path(__file__).with_name("deaths.yaml")


def describe_death(returncode: int, step: str | None, log: Path) -> Problem:
    """Describes the end of a worker that ended in a step without reporting an error.

    Args:
        returncode: That of subprocess: the negative number of the signal where a signal ended it.
        step: The step that was running; None before the first.
        log: The run's log, which may be missing; its disk may be full.
    """
    if shutil.disk_usage(log.parent).free < _FULL_BELOW_BYTES:
        return describe_full_disk(f"The disk of {log.parent} is full.", "The run")
    if returncode == CANNOT_WRITE:
        return describe_full_disk("The worker could not write its error: no file can grow.", "The run")
    words = find_last_words(log)
    hint = f" From its log: {words}" if words else ""
    where = f"in the step {step}" if step else "before its first step"
    if returncode < 0:
        number = -returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        meanings = read_meanings(_OF_SIGNALS)
        return explain(meanings, name, signal=name, where=where, hint=hint, again=AGAIN)
    found = f"The worker process ended with exit code {returncode} {where} and reported no error.{hint}"
    return Problem(found, *READ_LOG)


def find_last_words(log: Path) -> str:
    """Returns the last line of a log that says why a process ended, cut at 300 characters; empty for none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200_000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    matching = [line.strip() for line in lines if _LAST_WORDS.search(line)]
    return redact(matching[-1])[:300] if matching else ""
