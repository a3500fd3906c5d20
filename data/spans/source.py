"""What a workload's source is: it reads the rows of a span, and makes an example of each or says why not.

A module of a source has three functions:

    open_source(workload: Workload, settings: DataSettings) -> Source
    check(span: Span, workload: Workload) -> None
        Reads what tells in a second whether the span can be read at all. Raises DataRefused.
    count(span: Span) -> int
        Its rows. Raises DataRefused.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from data.spans.layout import Span
from records.golden import Content
from records.workload import load_module

SPLITS = ("train", "eval")
# What a feature of a tf.Example may be; a text is stored as UTF-8.
Value = bytes | str | int | float | Sequence[float] | Sequence[int] | Sequence[str]


@dataclass(frozen=True)
class Row:
    """A row of a span that may become an example."""

    id: str  # what a person finds it by, unique in its span: the path of a photo, `readings.csv:17`
    label: str  # one of the schema's
    group: str  # examples of one group are never in two splits
    content: Any = None  # what `Source.example` needs of it; it may be pickled
    split: str = ""  # `train` or `eval` where the data says it for the whole group; empty: the hash decides
    size: int = 0  # bytes that are to come from a store by `Source.fetch`; 0: nothing is fetched ahead


@dataclass(frozen=True)
class Rejected:
    """A row that goes to quarantine."""

    id: str  # as of `Row`
    reason: str  # the slug to count by
    detail: str  # one sentence with what was found
    text: str = ""  # some of the row as it came, for a person to look at; empty where it is no text


@dataclass(frozen=True)
class Example:
    """What the DAG reads of a row."""

    features: Mapping[str, Value]  # by name, without label, id and span, which every example gets
    digest: str  # hexadecimal, evenly spread; of copies one is kept, or none where their labels differ
    look: bytes = b""  # of a photo, what near twins are told by, see `data/photos/likeness.py`
    pixels: bytes = b""  # of a photo, what a network is shown to tell them, see `pixels_of` there


def load_source(module: str) -> Any:
    """The module of a source.

    Raises:
        UsageError: It raises when imported, or lacks a function.
    """
    return load_module(module, ("open_source", "check", "count"), "data/spans/source.py")


class Source(Protocol):
    """Reads spans. It may be pickled before it was used; `close` ends what it has begun.

    What it makes of a span follows from that span, the workload, the settings and the code alone: a run takes
    over what an earlier one made of it.
    """

    spread: bool  # whether an example takes so long that its row is worth being sent to another worker

    def rows(self, span: Span) -> Iterator[Row | Rejected]:
        """The rows of a span in the order of its files, read as they are asked for.

        Raises:
            DataRefused: The span cannot be read at all.
        """

    def fetch(self, span: Span, row: Row) -> None:
        """Begins to fetch what `example` will need of a row that has a `size`; `close` gives it up."""
        return None

    def example(self, span: Span, row: Row) -> Example:
        """What becomes of a row.

        Raises:
            RowRejected: It cannot be used.
        """

    def thumbnail(self, span: Span, id: str) -> bytes | None:
        """A JPEG of a quarantined row; None where there is nothing to look at.

        Raises:
            RowRejected: It cannot be made.
        """
        return None

    def show(self, features: Mapping[str, Any]) -> bytes | str:
        """An example as a person looks at it in the report: a JPEG, or a text of at most 300 characters.

        Args:
            features: Of `tf.Example`: lists of bytes, int or float by name.
        """

    def originals(self, span: Span, ids: Collection[str]) -> Iterator[tuple[str, bytes | Content]]:
        """Yields the raw input of rows by id, as a person has it: a photo's bytes, a text, or cells.

        Photos are freed of metadata. A row whose raw input cannot be read again is left out. A source of
        one's own may lack this; then preprocessing.json is not held against what the model was trained on.
        """
        return iter(())

    def close(self) -> None:
        """Ends the processes that it began."""
        return None
