"""The type of a workload: one value, from which each step of the DAG reads what it needs."""

import ast
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edgeline.errors import UsageError
from edgeline.records.columns import ISO, NUMBER, Column
from edgeline.records.json_file import decode, encode


@dataclass(frozen=True)
class Rule:
    """A rule for the cells of a span in one of the forms of `data/spans/rules.py`."""

    rule: str  # such as `start <= end`
    # Whether rows that break it are not trained on, or the gate warns of the span, or refuses it.
    severity: Literal["quarantine", "warn", "block"]


@dataclass(frozen=True)
class Workload:
    """A task that the DAG can learn; modules are dotted paths."""

    name: str  # name of the model in the release store
    schema: str  # the curated one, a text proto of `tensorflow.metadata.v0.Schema`
    module: str  # with `preprocessing_fn` and `build_model`; see `trainer_module/workload_module.py`
    source: str  # the module that reads its spans; see `data/spans/source.py`
    sample: str = ""  # the module whose `generate` writes sample spans; empty if there is none
    sample_size: int = 300  # examples a week of that sample
    settings: Mapping[str, Any] = field(default_factory=dict)  # other than the defaults, nested by group
    noun: str = "example"  # the noun for an example; the plural adds an s
    id: str = "example_id"  # the feature with the name of an example
    group: str = "group"  # the feature whose groups are never divided between splits
    slices: Mapping[str, str] = field(default_factory=dict)  # beside `class` and `span`: kind -> feature
    reads: tuple[str, ...] = ()  # raw input features of the model; for a table, numbers and categories
    unmeasured: tuple[str, ...] = ()  # features that the statistics leave out
    normal: str = ""  # the label that is not an alarm; empty if there is none
    label_column: str = "label"  # a column of a table or of imported texts, as the next two
    group_column: str = ""  # with the machine, author or the like; empty if rows have no group
    time_column: str = ""  # empty if there is none
    text_column: str = ""  # the original name of the column of imported texts; empty if it is `text`
    # Columns by feature; a feature without an entry is a number in the column with its name.
    columns: Mapping[str, Column] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()  # for the cells of its rows
    labels: tuple[str, ...] = ()  # in the order of the schema's domain and of the model's outputs
    numbers: tuple[str, ...] = ()  # features of the schema that the model of a table reads as numbers
    categories: tuple[str, ...] = ()  # features that it reads as one of few texts
    since: Mapping[str, int] = field(default_factory=dict)  # first spans of features that were added later

    @property
    def nouns(self) -> str:
        """The noun for several examples."""
        return f"{self.noun}s"

    @property
    def pipeline(self) -> str:
        """The name of its pipeline: Kubeflow Pipelines takes no underscore."""
        return self.name.replace("_", "-")

    @property
    def group_noun(self) -> str:
        """The noun for a group, which is never divided between splits: a session, machine, author."""
        return (self.group if self.group != "group" else self.group_column or "group").removesuffix("_id")

    @property
    def slice_features(self) -> dict[str, str]:
        """All kinds of slices with their features."""
        return {"class": "label", **self.slices, "span": "span"}

    def column(self, feature: str) -> Column:
        """Returns the column of a feature, or of the time of a row."""
        form = ISO if feature == self.time_column else NUMBER
        return self.columns.get(feature) or Column(feature, form)

    def list_added(self, span: int) -> list[str]:
        """Returns the columns of features that were added after a span, which may lack them."""
        return [self.column(feature).name for feature, first in self.since.items() if first > span]

    def to_json(self) -> str:
        """Encodes the workload as a parameter of a step.

        Fields that only a runner needs are left out, so that they change no cache key.
        """
        bare = replace(self, schema="", settings={}, sample="", sample_size=0)
        return encode(bare).decode()

    @staticmethod
    def from_json(text: str) -> "Workload":
        """Decodes the text of `to_json`."""
        workload: Workload = decode(text.encode(), Workload)
        return workload


def load_module(module: str, functions: Sequence[str], page: str) -> Any:
    """Imports a module that a workload names by its dotted path.

    Args:
        module: The dotted path.
        functions: The names of functions that the module must have.
        page: The file of the documentation that describes them.

    Raises:
        UsageError: It cannot be imported, or lacks a function.
    """
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        raise _make_import_error(module, error) from error
    _refuse_missing(module, functions, page, lambda name: callable(getattr(imported, name, None)))
    return imported


def check_module(module: str, functions: Sequence[str], page: str) -> ast.Module | None:
    """Returns the parsed source of a module, which is not imported: TensorFlow may take seconds.

    Args:
        module: The dotted path; None is returned where it is no file of Python.
        functions: The names of functions that the source must have.
        page: The file of the documentation that describes them.

    Raises:
        UsageError: The source is missing, cannot be parsed, or does not name a function.
    """
    try:
        spec = importlib.util.find_spec(module)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {module!r}")
        if spec.origin is None or not spec.origin.endswith(".py"):
            return None
        tree = ast.parse(Path(spec.origin).read_bytes(), spec.origin)
    except Exception as error:
        raise _make_import_error(module, error) from error
    nodes = list(ast.walk(tree))
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    if not {"*", "__getattr__"} & names:
        _refuse_missing(module, functions, page, names.__contains__)
    return tree


def _make_import_error(module: str, error: Exception) -> UsageError:
    return UsageError(
        f"The workload's module {module} cannot be imported: {type(error).__name__}: {error}.",
        "No step can run without it.",
        f"Correct it: .venv/bin/python -c 'import {module}' shows where it fails.",
    )


def _refuse_missing(
    module: str, functions: Sequence[str], page: str, has_function: Callable[[str], bool]
) -> None:
    if missing := [name for name in functions if not has_function(name)]:
        raise UsageError(
            f"The module {module} has no {' and no '.join(missing)}.",
            f"A workload's module must have {', '.join(functions)}.",
            f"Write them as `{page}` describes.",
        )
