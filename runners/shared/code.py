"""The code that a step runs: its files, found by following imports, and their digest.

Imports are followed wherever they stand in a file, through our rooms and through the files of the workload's
own module; libraries are the lock's to tell.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from errors import UsageError
from records.steps import STEPS

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """A folder to find modules in; of a library's folder only the package that is the workload's."""

    folder: Path
    package: str | None = None

    def find(self, module: str) -> Path | None:
        """The file of a module; None where it is not here."""
        if self.package is not None and module.partition(".")[0] != self.package:
            return None
        path = self.folder.joinpath(*module.split("."))
        files = (path.with_suffix(".py"), path / "__init__.py")
        return next((file for file in files if file.is_file()), None)


def step_files(module: str, source: str) -> dict[str, dict[str, str]]:
    """The digest of each file that a step runs, by the name of its module; of steps that run code of ours.

    The dotted paths are those of the workload's module and of the one that reads its spans.

    Raises:
        UsageError: One of them cannot be found, or a file of it is no Python.
    """
    workload = {"module": module, "source": source}
    places = (Place(ROOT), *dict.fromkeys(map(_place_of, workload.values())))
    imports = cache(_imports)
    return {
        step: _files(info.modules(workload), places, imports) for step, info in STEPS.items() if info.has_code
    }


def digest(files: object) -> str:
    """One digest of those of the files of a step, or of all steps."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _place_of(module: str) -> Place:
    try:
        spec = importlib.util.find_spec(module)
    except Exception as error:  # Its parent package runs here, and may raise whatever it likes.
        raise _not_found(module, f"{type(error).__name__}: {error}") from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise _not_found(module, "Python knows no module of that name.")
    file = Path(spec.origin)
    depth = module.count(".") + (file.name == "__init__.py")
    folder = file.parents[depth]
    library = folder.name in ("site-packages", "dist-packages")
    return Place(folder, module.partition(".")[0] if library else None)


def _not_found(module: str, why: str) -> UsageError:
    return UsageError(
        f"The workload's module {module} cannot be loaded.",
        why,
        "Fix its name in the workload's file, or put its folder into PYTHONPATH.",
    )


def _files(
    modules: Iterable[str], places: Iterable[Place], imports: Callable[[Path, str], Iterable[str]]
) -> dict[str, str]:
    """The digests of the files of modules and of all that they import, by name."""
    found: dict[str, str] = {}
    left = list(modules)
    while left:
        module = left.pop()
        if module in found:
            continue
        file = next((path for place in places if (path := place.find(module)) is not None), None)
        if file is not None:
            found[module] = hashlib.sha256(file.read_bytes()).hexdigest()
            left += imports(file, module)
            left += [module.rpartition(".")[0]] if "." in module else []
    return found


def _imports(file: Path, module: str) -> tuple[str, ...]:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        where = f"{file}, line {error.lineno}"
        raise UsageError(f"{where} is no Python.", str(error.msg), "Fix it.") from None
    parts = module.split(".")
    return tuple(dict.fromkeys(_named(tree, parts if file.name == "__init__.py" else parts[:-1])))


def _named(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """What a file of a package imports: each name may be a module, or something in one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{name.name}" for name in node.names)
