"""Describes the end of a worker that reported no error, from its exit code and the last words of its log."""

import re
import shutil
import signal
from pathlib import Path

from edgeline.errors import Problem
from edgeline.failures import AGAIN, READ_LOG, Meaning, describe_full_disk, explain
from edgeline.secrets import redact

# A worker with less free space than this cannot write what happened to it.
_FULL_BELOW_BYTES = 64 * 1024
# The exit code of a worker that could not write its error: EX_IOERR of sysexits.h.
CANNOT_WRITE = 74
# Lines in which TensorFlow, absl, glibc or Python say why a process is about to end.
_LAST_WORDS = re.compile(
    r"^F\d{4} |\bFATAL\b|^Fatal|Check failed|terminate called|Aborted|MemoryError|^\w*(Error|Exception)\b: "
)
_OF_SIGNALS = tuple(
    Meaning(signs, "The worker process was ended by {signal} {where}.{hint}", why, do)
    for signs, why, do in (
        (
            "SIGKILL",
            "Edgeline did not send it; usually the system kills a process when memory runs out.",
            f"Close other programs or lower trainer.batch_size, and {AGAIN}",
        ),
        (
            "SIGABRT",
            "A native library aborted; its last message is in the log.",
            f"Read it, and {AGAIN}",
        ),
        (
            "SIGBUS",
            "A file that was mapped into memory became shorter, usually because a disk or /dev/shm is full.",
            f"Free some space, and {AGAIN}",
        ),
        (
            "SIGILL",
            "This processor lacks an instruction that TensorFlow was built with, usually AVX.",
            "Use a machine with AVX.",
        ),
        ("", "A native library crashed.", f"{AGAIN.capitalize()} If it crashes again, read the log."),
    )
)


def describe_death(returncode: int, step: str | None, log: Path) -> Problem:
    """Describes the end of a worker that ended in a step without reporting an error.

    The return code is that of subprocess: the negative number of the signal where a signal ended it.
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
        return explain(_OF_SIGNALS, name, signal=name, where=where, hint=hint)
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
