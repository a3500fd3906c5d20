"""What ingest says of the window that it read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from records.json_file import JsonFile

# Of one span and reason, rows that quarantine.csv lists; counts are of all.
MOST_LISTED = 1_000


@dataclass(frozen=True)
class Span:
    """One week of the window: rows of its labels, examples accepted, by class, and quarantined by reason."""

    name: str
    number: int
    rows: int = 0
    accepted: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    content: str = ""  # digest of its files

    @property
    def quarantined(self) -> int:
        """Examples of it in quarantine."""
        return sum(self.rejected.values())

    @property
    def listed(self) -> int:
        """Those of them that quarantine.csv lists."""
        return sum(min(count, MOST_LISTED) for count in self.rejected.values())


@dataclass(frozen=True)
class Excluded:
    """A span that somebody took out of all runs."""

    span: str
    who: str = ""
    when: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Ingest:
    """The window: its examples by split and by class, absent ones too, and its spans, oldest first."""

    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    window: str = ""  # digest of its content
    excluded: tuple[Excluded, ...] = ()  # that the window would hold, had nobody excluded them
    noun: str = "photo"  # what an example is called
    untrained: tuple[str, ...] = ()  # classes whose examples are all outside of the train split


@dataclass(frozen=True)
class Quarantined:
    """A row in quarantine; `text` is some of it, where it is a text."""

    span: str
    id: str
    reason: str
    detail: str
    text: str = ""


class Thumbnail(msgspec.Struct, frozen=True):
    """A row in quarantine that can be looked at: `file` lies beside the list, or `text` is some of it."""

    file: str
    span: str
    id: str = msgspec.field(name="photo")
    reason: str
    detail: str = ""
    text: str = ""


class Twin(msgspec.Struct, frozen=True):
    """An eval example and the train example that shows the same."""

    example_id: str
    twin_id: str


@dataclass(frozen=True)
class Twins:
    """Near twins across the splits: how many eval examples were compared, and which have one in train."""

    compared: int = 0
    found: tuple[Twin, ...] = ()
    there: int = 0  # eval examples, of which those compared are a sample where they are fewer

    @property
    def share(self) -> float:
        """Share of the eval examples that were compared that have one."""
        return len(self.found) / self.compared if self.found else 0.0

    @property
    def sample(self) -> str:
        """Of how many those compared are a sample, in brackets; empty where all were."""
        return f" (a sample of {self.there:,})" if self.there > self.compared else ""

    @property
    def examples(self) -> str:
        """Some of them in words."""
        shown = [f"{twin.example_id} (like {twin.twin_id})" for twin in self.found[:3]]
        return ", ".join(shown) + ", ..." * (len(self.found) > len(shown))


INGEST = JsonFile[Ingest]("ingest.json", Ingest)
TWINS = JsonFile[Twins]("twins.json", Twins)
THUMBNAILS = JsonFile[tuple[Thumbnail, ...]]("thumbnails.json", tuple[Thumbnail, ...])
