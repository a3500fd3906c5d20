"""Checks the first words of docstrings and comments, as a part of `make lint`.

    .venv/bin/python -m tests.docstrings

A docstring says first what something does or is. One that begins with a question word or a preposition makes
the reader wait for the subject, and so does a comment.
"""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_FIRST = {
    *("What", "Whether", "Which", "Who", "Whose", "Where", "When", "Why", "How"),
    *("Of", "As", "From", "That", "Those", "Its"),
}


def find_wrong(path: Path) -> Iterator[str]:
    """Yields a line for each docstring or comment of a file that begins with one of the words."""
    with tokenize.open(path) as file:
        source = file.read()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            words = (ast.get_docstring(node) or "").split(maxsplit=1)
            if words and words[0].rstrip(",:") in NOT_FIRST:
                line = getattr(node, "lineno", 1)
                yield f"{path.relative_to(ROOT)}:{line}: the docstring begins with {words[0]!r}"
    lines = source.splitlines()
    for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False), 1):
        begins = re.match(r"\s*# (Of|What|That) ", line)
        if begins and not before.lstrip().startswith("#"):
            yield f"{path.relative_to(ROOT)}:{number}: the comment begins with {begins[1]!r}"


def find_sources() -> list[Path]:
    """Returns the Python files of all rooms but tests."""
    rooms = {ROOT / "benchmarks", ROOT / "deploy", *(path.parent for path in ROOT.glob("*/__init__.py"))}
    rooms.discard(ROOT / "tests")
    return sorted([*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))])


def main() -> int:
    """Prints what is wrong in the files of all rooms; returns the exit code."""
    files = [*find_sources(), *sorted((ROOT / "tests").rglob("*.py"))]
    wrong = [line for path in files for line in find_wrong(path)]
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
