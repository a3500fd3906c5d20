"""The code that a step runs: its files, found by following imports, and their digest.

Imports are followed wherever they stand in a file, through the project's folders and through the files of the
workload's own module; libraries are covered by the digest of the lock files.
"""

import ast
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from edgeline.errors import UsageError
from edgeline.records.steps import STEPS

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """A folder to find modules in; in a folder of libraries, only the workload's package is found."""

    folder: Path
    package: str | None = None

    def find(self, module: str) -> Path | None:
        """Returns the file of a module; None where this folder does not have it."""
        if self.package is not None and module.partition(".")[0] != self.package:
            return None
        path = self.folder.joinpath(*module.split("."))
        files = (path.with_suffix(".py"), path / "__init__.py")
        return next((file for file in files if file.is_file()), None)


def digest_step_files(module: str, source: str, own: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Returns, for each step that runs code of this project, the digests of its files by name of module.

    Args:
        module: The dotted path of the workload's module.
        source: The dotted path of the module that reads its spans.
        own: The dotted path of the module of each custom step, by the step's name.

    Raises:
        UsageError: One of them cannot be found, or one of its files is not valid Python.
    """
    workload = {"module": module, "source": source}
    places = (Place(ROOT), *dict.fromkeys(map(_find_place, [*workload.values(), *own.values()])))
    read_module = cache(partial(_read_module, places=places))
    modules = {step: info.modules(workload) for step, info in STEPS.items() if info.has_code}
    modules |= {step: (module,) for step, module in own.items()}
    return {step: _hash_modules(names, read_module) for step, names in modules.items()}


def resolve_python_path() -> str:
    """Returns PYTHONPATH for another folder; in Python's own reading an empty entry is the current one."""
    own = os.environ.get("PYTHONPATH")
    return os.pathsep.join(map(os.path.abspath, own.split(os.pathsep))) if own else ""


def digest(files: object) -> str:
    """Returns the SHA-256 of digests, those of the files of one step or of all steps."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def hash_files(first: bytes, paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of some bytes, and of the names and contents of files."""
    digest = hashlib.sha256(first)
    for path in paths:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _find_place(module: str) -> Place:
    try:
        spec = importlib.util.find_spec(module)
    except Exception as error:  # Its parent package is imported here, and may raise anything.
        raise _make_error(module, f"{type(error).__name__}: {error}") from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise _make_error(module, "Python finds no module of that name.")
    file = Path(spec.origin)
    depth = module.count(".") + (file.name == "__init__.py")
    folder = file.parents[depth]
    is_library = folder.name in ("site-packages", "dist-packages")
    return Place(folder, module.partition(".")[0] if is_library else None)


def _make_error(module: str, why: str) -> UsageError:
    return UsageError(
        f"The module {module} cannot be loaded.",
        why,
        "Fix its name in the workload's file or the settings, or put its folder into PYTHONPATH.",
    )


# The digest of a module's file, and the names that it imports; None for a module of a library.
_Read = tuple[str, tuple[str, ...]] | None


def _hash_modules(modules: Iterable[str], read_module: Callable[[str], _Read]) -> dict[str, str]:
    """Returns the SHA-256 of the files of modules, and of all that they import, by name of module."""
    digests: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in digests:
            continue
        if (entry := read_module(module)) is not None:
            digests[module], imports = entry
            waiting += imports
            if "." in module:
                waiting.append(module.rpartition(".")[0])
    return digests


def _read_module(module: str, places: Iterable[Place]) -> _Read:
    file = next((path for place in places if (path := place.find(module)) is not None), None)
    if file is None:
        return None
    content = file.read_bytes()
    parts = module.split(".")
    package = parts if file.name == "__init__.py" else parts[:-1]
    return hashlib.sha256(content).hexdigest(), _read_imports(content, file, tuple(package))


@cache
def _read_imports(content: bytes, file: Path, package: tuple[str, ...]) -> tuple[str, ...]:
    try:
        tree = ast.parse(content, str(file))
    except SyntaxError as error:
        where = f"{file}, line {error.lineno}"
        raise UsageError(f"{where} is not valid Python.", str(error.msg), "Fix it.") from None
    return tuple(dict.fromkeys(_find_imports(tree.body, package)))


def _find_imports(statements: Iterable[ast.AST], package: tuple[str, ...]) -> Iterator[str]:
    """Yields the dotted names that statements of a package import: modules, or something in one."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (name.name for name in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else ()
            source = ".".join([*base, *([statement.module] if statement.module else [])])
            yield source
            yield from (f"{source}.{name.name}" for name in statement.names)
        else:  # expressions, most of a tree, import nothing
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _find_imports(getattr(statement, block, ()), package)
