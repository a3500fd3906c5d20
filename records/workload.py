"""What a workload is: one typed value, of which the steps of the DAG read what they need."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from errors import UsageError
from records.json_file import decode, encode


@dataclass(frozen=True)
class Workload:
    """One thing that the DAG can learn.

    Attributes:
        name: The model's name in the release store.
        schema: The curated schema, a text proto of `tensorflow.metadata.v0.Schema`.
        module: Dotted path of the module with `preprocessing_fn` and `build_model`; see
            `trainer_module/workload_module.py`.
        source: Dotted path of the module that reads its spans; see `data/spans/source.py`.
        sample: Dotted path of the module whose `generate` writes spans to try it with; empty where none does.
        sample_size: Examples a week of that sample.
        settings: What differs from the default settings, nested by group.
        noun: What one example is called; with an s, what several are.
        id: The feature that names an example.
        group: The feature whose values are never in two splits.
        slices: Beside `class` and `span`, kinds of slices by name, each with its feature.
        reads: Raw features that the model is given; of a table, its numbers and categories.
        unmeasured: Features that the statistics leave out.
        normal: The label that is no alarm; empty where there is none.
        label_column: Of a table, the column with the label.
        group_column: Of a table, the column with the machine, author or the like; empty where rows are alone.
        time_column: Of a table, the column with the time; empty where there is none.
        labels: In the order of the schema's domain, which is the order of the model's outputs.
        numbers: The schema's features that a table's model reads as numbers.
        categories: The schema's features that a table's model reads as one of few texts.
    """

    name: str
    schema: str
    module: str
    source: str
    sample: str = ""
    sample_size: int = 300
    settings: Mapping[str, Any] = field(default_factory=dict)
    noun: str = "example"
    id: str = "example_id"
    group: str = "group"
    slices: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    normal: str = ""
    label_column: str = "label"
    group_column: str = ""
    time_column: str = ""
    labels: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def nouns(self) -> str:
        """More than one example."""
        return f"{self.noun}s"

    @property
    def slice_features(self) -> dict[str, str]:
        """Every kind of slice with its feature."""
        return {"class": "label", **self.slices, "span": "span"}

    def to_json(self) -> str:
        """As a parameter of a step: without what only a runner needs, which then changes no cache's key."""
        bare = replace(self, schema="", settings={}, sample="", sample_size=0)
        return encode(bare).decode()

    @staticmethod
    def from_json(text: str) -> "Workload":
        """What `to_json` wrote."""
        found: Workload = decode(text.encode(), Workload)
        return found


def load_module(module: str, functions: Sequence[str], page: str) -> Any:
    """A module that a workload names.

    Args:
        module: Dotted path.
        functions: What it has to have.
        page: The file that says what they do.

    Raises:
        UsageError: It raises when imported, or lacks a function.
    """
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise UsageError(
            f"The workload's module {module} cannot be imported: {type(error).__name__}: {error}.",
            "Nothing can run without it.",
            f"Correct it: python -c 'import {module}' shows where it fails.",
        ) from error
    if missing := [name for name in functions if not callable(getattr(found, name, None))]:
        raise UsageError(
            f"The module {module} has no {' and no '.join(missing)}.",
            f"The workload's file names it as one that has {', '.join(functions)}.",
            f"Write them as `{page}` says.",
        )
    return found
