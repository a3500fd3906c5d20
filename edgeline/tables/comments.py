"""Comments above the names of a table's columns: lines that begin with `#`, as loggers write them."""

import re
import shutil
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp

from edgeline.tables.rows import read_lines

_MARK = "#"
_MOST_LINES = 1_000  # of comments
_SEPARATORS = ",;\t|"
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def blank_comments(path: Path, scratch: Path) -> tuple[Path, int]:
    """Returns the file itself, or a copy in `scratch` with empty lines for its comments, and their number.

    The last of them may have the names, as `numpy.savetxt` writes them: then it loses its mark alone. A file
    whose rows may begin with the mark too has no comments. Raises DataRefused as `read_lines` does.
    """
    top = list[str]()
    for line in islice(read_lines(path), _MOST_LINES):
        top.append(line)
        if len(top) > 1 and not top[-2].startswith(_MARK):
            break
    count = sum(line.startswith(_MARK) for line in top)
    below = top[count:]
    if not count or len(below) < 2:
        return path, 0

    # The last one has the names if numbers stand below it, and comments if names do.
    last = top[count - 1]
    names = ""
    if _have_equal_marks(last, below[0]):
        if _has_number(below[0]):
            names = last.removeprefix(_MARK).lstrip(" ")
        elif not _has_number(below[1]):
            return path, 0
        if names.startswith(tuple(_SEPARATORS)) or (count > 1 and _have_equal_marks(last, top[count - 2])):
            return path, 0

    target = Path(mkdtemp(dir=scratch), path.name)
    with path.open("rb") as file, target.open("wb") as copy:
        for _ in range(count):
            file.readline()
        copy.write(b"\n" * (count - bool(names)) + names.encode())
        shutil.copyfileobj(file, copy)
    return target, count - bool(names)


def _have_equal_marks(line: str, other: str) -> bool:
    """Tells whether two lines have one separator equally often."""
    return any(line.count(mark) == other.count(mark) > 0 for mark in _SEPARATORS)


def _has_number(line: str) -> bool:
    return any(_NUMBER.fullmatch(cell.strip(' "\r\n')) for cell in re.split(f"[{_SEPARATORS}]", line))
