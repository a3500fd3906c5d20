"""Checks that a statement does one thing, as a part of `make lint`.

    .venv/bin/python -m tests.statements

`low, high = limits` and `x, y = 0.0, 1.0` name things that belong together. Where one of the values is
computed and another is not, or by something else, there are two things to read, and each has its line. So
have the loops and the condition of a comprehension with two loops.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.docstrings import ROOT, find_sources

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
COMPUTED = (*COMPREHENSIONS, ast.Call, ast.IfExp, ast.Lambda)


def find_wrong(path: Path) -> Iterator[str]:
    """Yields a line for each statement of a file that does two things."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        reason = ""
        if isinstance(node, ast.Assign) and _assigns_two_things(node):
            reason = f"assigns two things: {ast.unparse(node.targets[0])}"
        if isinstance(node, COMPREHENSIONS) and len(node.generators) > 1:
            reason = "has two loops and a condition" if any(loop.ifs for loop in node.generators) else ""
        if reason:
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {reason}"


def _assigns_two_things(node: ast.Assign) -> bool:
    """Returns whether a tuple of unlike values is assigned, none of which needs a target's old value."""
    target, values = node.targets[0], node.value
    if not (isinstance(target, ast.Tuple) and isinstance(values, ast.Tuple)):
        return False
    is_swap = bool(_list_names(target) & _list_names(values))
    return _is_computed(values) and not is_swap and not _are_alike(values.elts)


def _is_computed(values: ast.Tuple) -> bool:
    return any(isinstance(part, COMPUTED) for part in ast.walk(values))


def _are_alike(values: list[ast.expr]) -> bool:
    """Returns whether all are calls of one function, or differ in names and constants alone."""
    calls = [value for value in values if isinstance(value, ast.Call)]
    if len(calls) == len(values):
        return len({ast.unparse(call.func).split(".")[-1] for call in calls}) == 1
    return len({ast.dump(_Plain().visit(ast.parse(ast.unparse(value)))) for value in values}) == 1


class _Plain(ast.NodeTransformer):
    """Replaces names and constants by one name each."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("name")

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Name("name")

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(0)


def _list_names(tree: ast.AST) -> set[str]:
    return {ast.unparse(part) for part in ast.walk(tree) if isinstance(part, (ast.Name, ast.Attribute))}


def main() -> int:
    """Prints what is wrong in the files of all rooms but tests; returns the exit code."""
    wrong = [line for path in find_sources() for line in find_wrong(path)]
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
