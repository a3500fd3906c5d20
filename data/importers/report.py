"""What an import did, for people and programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.spans.layout import Span


@dataclass(frozen=True)
class Tally:
    """How many of a kind, and up to three of them in words."""

    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.examples) + ("; ..." if self.count > len(self.examples) else "")


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: What was imported.
        layout: What it was recognised as.
        span: The new span; None when there was nothing new.
        added: New photos by label.
        known: Photos that were there already, in a span or earlier in the source, under the same label.
        restored: Photos of which a span had the label and no longer the file; it is there again.
        relabelled: Photos that a span has under another label; they were left alone.
        conflicting: New photos that the source gives two labels; both rows are kept, and ingest
            quarantines them.
        refused: What could not be imported, by slug.
        written: Workload files that were written or changed.
        new_labels: Labels that were added at the end of an existing schema.
    """

    source: Path
    layout: str
    span: Span | None
    added: Mapping[str, int]
    known: int
    restored: int
    relabelled: Tally
    conflicting: int
    refused: Mapping[str, Tally]
    written: tuple[Path, ...]
    new_labels: tuple[str, ...]

    def sentences(self) -> list[str]:
        """The report for people, a sentence a line."""
        lines = [f"{self.source} is {self.layout}."]
        if self.span:
            labels = ", ".join(f"{count} {label}" for label, count in self.added.items())
            lines.append(f"{self.span.path} holds {sum(self.added.values())} new photos: {labels}.")
        else:
            lines.append("Nothing is new, and nothing was added.")
        if self.known:
            lines.append(f"{self.known} photos were there already.")
        if self.restored:
            lines.append(f"{self.restored} photos were gone from their spans, and are back.")
        if self.relabelled.count:
            lines.append(
                f"{self.relabelled.count} photos are there under another label and were left alone"
                f" (change the label in that span's labels.csv): {self.relabelled}."
            )
        if self.conflicting:
            lines.append(
                f"{self.conflicting} photos have two labels in the source; a run will quarantine them."
            )
        for reason, tally in self.refused.items():
            lines.append(f"{tally.count} refused as {reason}: {tally}.")
        if self.new_labels:
            lines.append(f"New at the end of the schema's labels: {', '.join(self.new_labels)}.")
        return lines + [f"{path} was written." for path in self.written]
