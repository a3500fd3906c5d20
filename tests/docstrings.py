"""Checks docstrings and comments, as a part of `make lint`.

    .venv/bin/python -m tests.docstrings

A docstring says first what something does or is. One that begins with a question word or a preposition makes
the reader wait for the subject, and so does a comment. A public function with more than two arguments says
what each of them is, below `Args:`; the options of a command have a help of their own.
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
# Public functions may have so many arguments without a line for each.
MOST_UNDESCRIBED = 2

Function = ast.FunctionDef | ast.AsyncFunctionDef


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


def find_undescribed(path: Path) -> Iterator[str]:
    """Yields a line for each public function of a file that does not describe its arguments."""
    for function in _find_public(ast.parse(path.read_text(encoding="utf-8"))):
        missing = _list_undescribed(function)
        if missing:
            where = f"{path.relative_to(ROOT)}:{function.lineno}"
            yield f"{where}: `Args:` of {function.name} lacks {', '.join(missing)}"


def _find_public(node: ast.AST) -> Iterator[Function]:
    """Yields the functions, and the methods of classes, whose names begin with no underscore."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if child.name.startswith("_"):
                continue
            if isinstance(child, ast.ClassDef):
                yield from _find_public(child)
            else:
                yield child


def _list_undescribed(function: Function) -> list[str]:
    """Returns the arguments that have no line below `Args:`; none of a command, or of a method of TFX's."""
    is_command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
    if is_command or function.name == "Do":
        return []
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names = [name for name in names if name not in ("self", "cls")]
    if len(names) <= MOST_UNDESCRIBED:
        return []
    described = (ast.get_docstring(function) or "").partition("Args:\n")[2]
    return [name for name in names if not re.search(rf"^    {name}: ", described, re.MULTILINE)]


def find_sources() -> list[Path]:
    """Returns the Python files of all rooms but tests."""
    rooms = {ROOT / "benchmarks", ROOT / "deploy", *(path.parent for path in ROOT.glob("*/__init__.py"))}
    rooms.discard(ROOT / "tests")
    return sorted([*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))])


def main() -> int:
    """Prints what is wrong in the files of all rooms; returns the exit code."""
    sources = find_sources()
    tests = sorted((ROOT / "tests").rglob("*.py"))
    wrong = [line for path in (*sources, *tests) for line in find_wrong(path)]
    wrong += [line for path in sources for line in find_undescribed(path)]
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
