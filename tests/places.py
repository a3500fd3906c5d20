"""The places that make errors: the calls of `EdgelineError` and of functions that return one."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.docstrings import ROOT, find_sources


@dataclass(frozen=True)
class Place:
    """A call that makes an error; `returned` if its function returns the error instead of raising it."""

    path: str
    function: str
    number: int  # among the places of this function, from 1
    first_line: int
    last_line: int
    returned: bool

    @property
    def name(self) -> str:
        return f"{self.function} #{self.number}"


def find_all_places() -> Iterator[Place]:
    for path in find_sources():
        yield from find_places(path)


def find_place_at(path: str, line: int) -> Place | None:
    """Returns the innermost place on a line of a file, None where there is none."""
    places = [place for place in find_places(Path(path)) if place.first_line <= line <= place.last_line]
    return min(places, key=lambda place: place.last_line - place.first_line, default=None)


@cache
def find_places(path: Path) -> list[Place]:
    """Returns the places of a file in the order of its lines; none if it belongs to no room, or to tests."""
    if not (text := _read_sources().get(path)):
        return []
    # type(error)(...) makes an error of the same class.
    names = {"type", *_find_shared_names(), *re.findall(rf"(\w+): type\[(?:{_find_classes()})", text)}
    names |= {*_find_makers(text)}
    if not re.search(rf"\b(?:{'|'.join(names)})\(", text):
        return []
    places, counts = [], Counter[str]()
    calls = sorted(_find_calls(ast.parse(text), names), key=lambda call: call[0].lineno)
    for call, function, returned in calls:
        counts[function] += 1
        lines = call.lineno, call.end_lineno or call.lineno
        # A changed copy has the name of its function, see tests/mutate.py.
        name = re.sub(r"\bx(?:_|ǁ\w+ǁ)(\w+)__mutmut_\w+", r"\1", function)
        places.append(Place(path.relative_to(ROOT).as_posix(), name, counts[function], *lines, returned))
    return places


@cache
def _read_sources() -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in find_sources()}


@cache
def _find_classes() -> str:
    """Returns the names of `EdgelineError` and its subclasses as a regular expression."""
    text, classes = "\n".join(_read_sources().values()), {"EdgelineError"}
    while more := {*re.findall(rf"^class (\w+)\((?:{'|'.join(classes)})\)", text, re.M)} - classes:
        classes |= more
    return "|".join(sorted(classes))


@cache
def _find_shared_names() -> set[str]:
    makers = {name for text in _read_sources().values() for name in _find_makers(text)}
    return {*_find_classes().split("|"), *(name for name in makers if not name.startswith("_"))}


def _find_makers(text: str) -> list[str]:
    """Returns the names of the functions that return an error."""
    return re.findall(rf'def (\w+)\((?:[^()]|\([^()]*\))*\) -> "?(?:{_find_classes()})\b', text)


def _find_calls(
    node: ast.AST, names: set[str], inside: tuple[str, ...] = (), returned: bool = False
) -> Iterator[tuple[ast.Call, str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            returns = ast.unparse(getattr(child, "returns", None) or ast.Constant(None)).strip("'")
            is_maker = bool(re.match(rf"({_find_classes()})\b", returns))
            yield from _find_calls(child, names, (*inside, child.name), is_maker)
            continue
        if isinstance(child, ast.Call):
            function = child.func.func if isinstance(child.func, ast.Call) else child.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            # click.UsageError is another class.
            is_other_class = isinstance(function, ast.Attribute) and name in _find_classes().split("|")
            if name in names and not is_other_class and (name == "type") == (function is not child.func):
                yield child, ".".join(inside), returned
        yield from _find_calls(child, names, inside, returned)
