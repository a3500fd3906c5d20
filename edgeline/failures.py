"""Errors of others in plain words: the meanings that a room knows by their signs, and errors of files."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgeline.errors import EdgelineError, Problem, UsageError
from edgeline.secrets import redact

_NO_SPACE = re.compile("No space left on device|Disk quota exceeded|File too large|database or disk is full")
_NO_MEMORY = re.compile("OOM|alloc|memory", re.IGNORECASE)
_OF_TFX = "_ExecutionFailedError"  # its launcher raises this for any error of a step
_SQLITE_FAILS = "disk I/O error"
AGAIN = "run the same command again: it goes on from the steps that are done."
READ_LOG = (
    "The steps after it did not run.",
    "Read the log for more; the same command goes on from the steps that are done.",
)


@dataclass(frozen=True)
class Meaning:
    """The meaning of an error whose signs match a pattern; names in braces stand for values of the error."""

    signs: str  # a regular expression; an empty one matches everything
    found: str
    why: str = ""
    do: str = ""
    may_pass: bool = True  # False if waiting does not help


_OF_FILES = tuple(
    Meaning(
        signs,
        "{error}.",
        "A file could not be read or written; production is as it was.",
        f"{do}, and run the same command again.",
    )
    for signs, do in (
        ("ENOSPC", "Free some space, for example with `edgeline gc --keep 4`"),
        ("No usable temporary directory", "Free some space there, or set TMPDIR to a writable folder"),
        ("EROFS", "Mount it for writing, or name another place"),
        # Without a name of a file: Python asked where it is.
        (
            "ENOENT No such file or directory$",
            "Change to a folder that exists, since this one was removed",
        ),
        ("", "Fix that"),
    )
)


@cache
def read_meanings(path: Path) -> tuple[Meaning, ...]:
    """Reads the meanings that a YAML file lists, in the order in which they are tried."""
    import yaml

    return tuple(Meaning(**entry) for entry in yaml.safe_load(path.read_bytes()))


def find_meaning(meanings: Sequence[Meaning], signs: str) -> Meaning | None:
    """Returns the first meaning that fits the signs of an error; None if it is not known."""
    return next((entry for entry in meanings if re.search(entry.signs, signs)), None)


def explain(meanings: Sequence[Meaning], signs: str, **values: object) -> Problem:
    """Returns an error that has one of the meanings as a problem.

    Its sentences name `values`, and the groups of the pattern of its signs.
    """
    meaning = find_meaning(meanings, signs)
    assert meaning is not None
    if match := re.search(meaning.signs, signs):
        values |= match.groupdict()
    found, why, do = (part.format(**values) for part in (meaning.found, meaning.why, meaning.do))
    return Problem(found, why, do)


def walk_chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception, and every exception that it was raised from or during.

    Beam raises a copy of an exception, with the name of its stage in the message: the original stands for it.
    """
    ids: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is not None and id(link) not in ids:
            ids.add(id(link))
            before = [link.__cause__, link.__context__]
            if not (hasattr(link, "_tagged_with_step") and any(before)):
                yield link
            waiting += before


def describe_error(error: BaseException, step: str | None = None) -> Problem:
    """Describes an exception that was raised in a step, or outside of any."""
    for link in walk_chain(error):
        if isinstance(link, EdgelineError):
            return link.problem

    if step is None and isinstance(error, OSError):
        return _describe_file_error(error)

    where = f"The step {step}" if step else "The run"
    for link in walk_chain(error):
        is_full = isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if is_full or _NO_SPACE.search(str(link)):
            file = getattr(link, "filename", None)
            return describe_full_disk(f"The disk is full{f', writing {file}' if file else ''}.", where)
        if _SQLITE_FAILS in str(link):  # it says so of a limit, a quota or a broken disk
            return describe_full_disk(f"The database cannot be written: {_SQLITE_FAILS}.", where)
        # TensorFlow raises it also where there are too many files.
        is_exhausted = type(link).__name__ == "ResourceExhaustedError" and _NO_MEMORY.search(str(link))
        if isinstance(link, MemoryError) or is_exhausted:
            why = "Its data and its network take more memory than the machine, or its GPU, has free."
            do = f"Close other programs, or lower data.window or the photos' model.image_size, and {AGAIN}"
            return Problem(f"{where} ran out of memory{_quote(link)}", why, do)

    shown = _find_telling(error)
    return Problem(f"{where} failed: {type(shown).__name__}{_quote(shown)}", *READ_LOG)


def _describe_file_error(error: OSError) -> Problem:
    if error.errno == errno.ENAMETOOLONG:
        name = os.fsdecode(error.filename or "A path")
        return UsageError(
            f"{name[:60]}... has {len(os.fsencode(name)):,} bytes.",
            "A name of a file may have 255 bytes, and a path 4,096.",
            "Pass a shorter one.",
        ).problem
    text = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return explain(_OF_FILES, f"{errno.errorcode.get(error.errno or 0)} {text}", error=text)


def _find_telling(error: BaseException) -> BaseException:
    """Returns the outermost exception of a chain that has a message, other than TFX's about any step.

    It tells what was tried: that Docker cannot be reached, and not that some file is missing.
    """
    chain = (link for link in walk_chain(error) if str(link).strip() and type(link).__name__ != _OF_TFX)
    return next(chain, error)


def _quote(error: BaseException) -> str:
    text = redact(" ".join(line.strip() for line in str(error).splitlines() if line.strip()))[:300]
    return f": {text}" if text else ""


def describe_full_disk(found: str, who: str) -> Problem:
    """Describes a disk on which nothing can be written, as `found` says, for a run or a step."""
    why = f"{who} could not write its files; production is as it was."
    return Problem(found, why, f"Free some space, or raise a quota or `ulimit -f`, and {AGAIN}")
