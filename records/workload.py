"""What a workload is: one typed value, of which the steps of the DAG read what they need."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from errors import UsageError
from records.columns import ISO, NUMBER, Column
from records.json_file import decode, encode


@dataclass(frozen=True)
class Workload:
    """One thing that the DAG can learn; modules are dotted paths."""

    name: str  # the model's, in the release store
    schema: str  # the curated one, a text proto of `tensorflow.metadata.v0.Schema`
    module: str  # with `preprocessing_fn` and `build_model`; see `trainer_module/workload_module.py`
    source: str  # the module that reads its spans; see `data/spans/source.py`
    sample: str = ""  # the module whose `generate` writes spans to try it with; empty where none does
    sample_size: int = 300  # examples a week of that sample
    settings: Mapping[str, Any] = field(default_factory=dict)  # beyond the defaults, nested by group
    noun: str = "example"  # what one example is called; with an s, what several are
    id: str = "example_id"  # the feature that names an example
    group: str = "group"  # the feature whose values are never in two splits
    slices: Mapping[str, str] = field(default_factory=dict)  # beside `class` and `span`: kind -> feature
    reads: tuple[str, ...] = ()  # raw features that the model is given; of a table, numbers and categories
    unmeasured: tuple[str, ...] = ()  # features that the statistics leave out
    normal: str = ""  # the label that is no alarm; empty where there is none
    label_column: str = "label"  # of a table, as the next two
    group_column: str = ""  # with the machine, author or the like; empty where rows are alone
    time_column: str = ""  # empty where there is none
    text_column: str = ""  # of texts that were imported, what theirs was called; empty where it is `text`
    # How features come from cells, by feature; one that is not here is a number in the column of its name.
    columns: Mapping[str, Column] = field(default_factory=dict)
    labels: tuple[str, ...] = ()  # in the order of the schema's domain, which is that of the model's outputs
    numbers: tuple[str, ...] = ()  # features of the schema that a table's model reads as numbers
    categories: tuple[str, ...] = ()  # and those that it reads as one of few texts

    @property
    def nouns(self) -> str:
        """More than one example."""
        return f"{self.noun}s"

    @property
    def group_noun(self) -> str:
        """What is never in two splits: a session, machine, author."""
        return (self.group if self.group != "group" else self.group_column or "group").removesuffix("_id")

    @property
    def slice_features(self) -> dict[str, str]:
        """Every kind of slice with its feature."""
        return {"class": "label", **self.slices, "span": "span"}

    def column(self, feature: str) -> Column:
        """How a number, or the time of a row, comes from its cells."""
        form = ISO if feature == self.time_column else NUMBER
        return self.columns.get(feature) or Column(feature, form)

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
