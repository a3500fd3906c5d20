"""Names of spans, and the records that ingest writes about its window of data."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgeline.records.json_file import JsonFile

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

# Files of a span that hold no examples: what phones had answered, and corrections of labels.
SERVED, CORRECTIONS = "served.csv", "corrections.jsonl"
WITHOUT_EXAMPLES = (SERVED, CORRECTIONS)
# The name of a span; its group is the number.
SPAN_NAME = re.compile(r"span-([0-9]{5})")
# Begins the note in a curated schema of the first span with a column that was added later.
_SINCE = "since "


def name_span(number: int) -> str:
    """Returns the name of a span's folder, such as `span-00042`."""
    return f"span-{number:05d}"


def describe_spans(names: Iterable[str]) -> str:
    """Formats names of spans, in any order, as ranges: `span-00003 to span-00005, span-00008`."""
    groups: list[list[int]] = []
    for number in sorted({int(name.removeprefix("span-")) for name in names}):
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    texts = []
    for group in groups:
        first, last = name_span(group[0]), name_span(group[-1])
        between = " to " if len(group) > 2 else ", "
        texts.append(first if first == last else f"{first}{between}{last}")
    return ", ".join(texts)


def format_since(span: str) -> str:
    """Returns the annotation of a feature of the schema that spans have from this one on, by its name."""
    return f'annotation {{ tag: "{_SINCE}{span}" }}'


def read_since(schema: "schema_pb2.Schema") -> dict[str, int]:
    """Returns the number of the first span with a feature, for each that was added later."""
    first = dict[str, int]()
    for feature in schema.feature:
        for tag in feature.annotation.tag:
            if match := SPAN_NAME.fullmatch(tag.removeprefix(_SINCE)):
                first[feature.name] = int(match[1])
    return first


# quarantine.csv lists at most this many rows of one span and reason; counts include all rows.
MOST_LISTED = 1_000


@dataclass(frozen=True)
class Span:
    """One week of the window: rows of labels, accepted examples by class, quarantined ones by reason."""

    name: str
    number: int
    rows: int = 0
    accepted: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    content: str = ""  # digest of its files
    usable: int = 0  # rows, or windows of rows, that were accepted or rejected as examples; 0 if not known

    @property
    def quarantined(self) -> int:
        """Number of its examples in quarantine."""
        return sum(self.rejected.values())

    @property
    def quarantined_share(self) -> float:
        """Share of its rows in quarantine, 0..1; a window there counts as the rows from one to the next."""
        examples = max(self.usable - self.accepted, 0)  # in quarantine; the others there are rows
        rows = self.quarantined - examples
        rows_of_one = (self.rows - rows) / self.usable if self.usable else 1
        return (rows + examples * rows_of_one) / self.rows if self.rows else 0.0

    @property
    def listed(self) -> int:
        """Number of its quarantined examples that quarantine.csv lists."""
        return sum(min(count, MOST_LISTED) for count in self.rejected.values())


@dataclass(frozen=True)
class Excluded:
    """A span that a person excluded from all runs."""

    span: str
    who: str = ""
    when: str = ""
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The decision as a sentence."""
        return f"Excluded: {self.span}, by {self.who} on {self.when}: {self.reason}"


@dataclass(frozen=True)
class Ingest:
    """The window: examples by split and by class, also classes without any, and its spans, oldest first."""

    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    window: str = ""  # digest of its content
    excluded: tuple[Excluded, ...] = ()  # spans that would be in the window if nobody had excluded them
    noun: str = "photo"  # the noun for an example
    untrained: tuple[str, ...] = ()  # classes without an example in the train split

    @property
    def span_ranges(self) -> str:
        """Returns the names of the spans as ranges, by number: a damaged record may name them anything."""
        return describe_spans(name_span(span.number) for span in self.spans)


@dataclass(frozen=True)
class Quarantined:
    """A row in quarantine."""

    span: str
    id: str
    reason: str
    detail: str
    text: str = ""  # an excerpt, if the row is a text
    file: str = ""  # the thumbnail beside a list of some of these rows, if there is one


@dataclass(frozen=True)
class BrokenRule:
    """A rule of the workload that a span broke."""

    span: str
    rule: str
    severity: Literal["warn", "block"]
    rows: int  # of the span that were checked
    broken: int = 0  # rows that broke it; 0 for a rule about the number of rows
    examples: tuple[str, ...] = ()  # the first of them, with their cells


@dataclass(frozen=True)
class Twin:
    """An eval example and a train example with the same content."""

    example_id: str
    twin_id: str


@dataclass(frozen=True)
class Twins:
    """Near twins across the splits: the number of eval examples compared, and those with a twin in train."""

    compared: int = 0
    found: tuple[Twin, ...] = ()
    there: int = 0  # number of eval examples; if fewer were compared, those are a sample

    @property
    def share(self) -> float:
        """The share of the compared eval examples that have a twin, 0..1."""
        return len(self.found) / self.compared if self.found else 0.0

    @property
    def sample(self) -> str:
        """The size of the eval split, in brackets, where a sample was compared; else empty."""
        return f" (a sample of {self.there:,})" if self.there > self.compared else ""

    @property
    def examples(self) -> str:
        """The first three pairs as text."""
        shown = [f"{twin.example_id} (like {twin.twin_id})" for twin in self.found[:3]]
        if len(self.found) > len(shown):
            shown.append("...")
        return ", ".join(shown)


INGEST = JsonFile[Ingest]("ingest.json", Ingest)
BROKEN_RULES = JsonFile[tuple[BrokenRule, ...]]("broken-rules.json", tuple[BrokenRule, ...])
TWINS = JsonFile[Twins]("twins.json", Twins)
THUMBNAILS = JsonFile[tuple[Quarantined, ...]]("thumbnails.json", tuple[Quarantined, ...])
