"""The protocol of a workload's source, which reads the rows of a span, and converts each to an example."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from data.spans.layout import Span
from data.spans.rule_counts import RuleCounts
from edgeline.records.edge import Content
from edgeline.records.rejection import Rejected as Rejected  # for custom sources
from edgeline.records.workload import Workload, load_module

if TYPE_CHECKING:
    from data.settings import DataSettings  # imports pydantic, which light steps do without

SPLITS = ("train", "eval")
# The value of a feature of a tf.Example; texts are stored as UTF-8.
Value = bytes | str | int | float | Sequence[float] | Sequence[int] | Sequence[str]


@dataclass(frozen=True)
class Row:
    """A row of a span that may become an example."""

    id: str  # its place for people, unique in its span: the path of a photo, `readings.csv:17`
    label: str  # one of the schema's
    group: str  # examples of one group are never in two splits
    content: Any = None  # the input of `Source.example`; it may be pickled
    split: str = ""  # `train` or `eval` if the data gives it for the whole group; empty: the hash decides
    size: int = 0  # bytes that `Source.fetch` gets from a store; 0: nothing is fetched ahead
    reviewed: bool = False  # whether a person decided on its label


@dataclass(frozen=True)
class Example:
    """The example of a row."""

    features: Mapping[str, Value]  # by name, without label, id and span, which every example gets
    digest: str  # hexadecimal, evenly spread; one of several copies is kept, or none if their labels differ
    look: bytes = b""  # of a photo, for finding near twins, see `data/photos/likeness.py`
    pixels: bytes = b""  # of a photo, a network's input for the same, see `compute_pixels` there


class SourceModule(Protocol):
    """The functions that the module of a source must define."""

    def open_source(self, workload: Workload, settings: "DataSettings") -> "Source":
        """Returns the reader of spans of a workload."""

    def check(self, span: Span, workload: Workload) -> None:
        """Checks in about a second whether the span can be read at all. Raises DataRefused."""

    def count(self, span: Span) -> int:
        """Counts the rows of a span. Raises DataRefused."""


def load_source(module: str) -> SourceModule:
    """Imports the module of a source. Raises UsageError if that fails, or it lacks a function."""
    imported: SourceModule = load_module(module, ("open_source", "check", "count"), "data/spans/source.py")
    return imported


class Source(Protocol):
    """A reader of spans, which may be pickled before its first use.

    Its examples depend on the span, the workload, the settings and the code alone: a run reuses those of an
    earlier run.
    """

    spread: bool  # whether examples take so long that it pays to send rows to other workers

    def rows(self, span: Span) -> Iterator[Row | Rejected | RuleCounts]:
        """Yields the rows of a span in the order of its files, and how often they broke a workload's rules.

        Raises DataRefused if it cannot be read.
        """

    def fetch(self, span: Span, row: Row) -> None:
        """Begins to fetch the data that `example` needs for a row with a `size`; `close` drops it."""
        return None

    def example(self, span: Span, row: Row) -> Example:
        """Returns the example of a row. Raises RowRejected if it cannot be used."""

    def thumbnail(self, span: Span, id: str) -> bytes | None:
        """Returns a JPEG of a quarantined row; None for nothing to show. Raises RowRejected if that fails."""
        return None

    def show(self, features: Mapping[str, Any]) -> bytes | str:
        """Returns an example as the report shows it: a JPEG, or a text of at most 300 characters.

        `features` are those of a `tf.Example`: lists of bytes, int or float by name.
        """

    def originals(self, span: Span, ids: Collection[str]) -> Iterator[tuple[str, bytes | Content]]:
        """Yields the raw input of rows by id, as a person has it: a photo's bytes, a text, or cells.

        Photos have no metadata. A row whose raw input cannot be read again is left out. A custom source
        may lack this method; then preprocessing.json is not compared with the model's training input.
        """
        return iter(())

    def close(self) -> None:
        """Ends the processes that it started."""
        return None
