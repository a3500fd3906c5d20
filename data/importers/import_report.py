"""Reports of imports, for people and programs, and checks of their labels."""

import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.importers.bands import ONE_LABEL
from data.spans.layout import Span
from edgeline.errors import DataRefused
from edgeline.labels import format_count, join_names

_EXAMPLES = 3
NOTHING_NEW = "Nothing is new, and nothing was added."


def _fold(label: str) -> str:
    folded = "".join(unicodedata.normalize("NFC", label).lower().split())
    return re.sub(r"^0+(?=\d+$)", "", folded)  # spreadsheets drop these zeros


def warn_of_labels(labels: Collection[str]) -> Iterator[str]:
    """Yields warnings of new labels: those that differ in their spelling alone, and several labels in one."""
    yield from _warn_of_spellings(labels)
    lists = [label for label in labels if label.startswith(("['", '["')) and label.endswith("]")]
    for joined in (lists, *(_find_joined(labels, mark) for mark in ";|,")):
        if joined:
            yield (
                f"Labels such as {min(joined)!r} look like several labels of one example, and each is a class"
                f" of its own. {ONE_LABEL} Keep one of them, or import a table for each."
            )
            return


def _find_joined(labels: Collection[str], mark: str) -> list[str]:
    """Returns labels of which parts recur in other labels, as those of `red;small` and `red;large` do."""
    parts = Counter[str]()
    for label in labels:
        parts.update({part.strip() for part in label.split(mark)})
    recurring = sum(count > 1 for count in parts.values())
    return [label for label in labels if mark in label] if 2 * recurring >= len(parts) else []


def _warn_of_spellings(labels: Collection[str]) -> tuple[str, ...]:
    """Returns a warning if labels differ in nothing but capitals, blanks, zeros and Unicode's forms."""
    alike: dict[str, list[str]] = {}
    for label in sorted(labels):
        alike.setdefault(_fold(label), []).append(ascii(label))
    several = [join_names(same) for same in alike.values() if len(same) > 1]
    if not several:
        return ()
    return (
        f"The labels {'; '.join(several)} differ in their spelling alone, and are classes of their own. If"
        " they mean the same, write them alike, and import into a new folder.",
    )


def check_spelling(shown: str, labels: Collection[str], earlier: Collection[str]) -> None:
    """Refuses labels if all are new, or one differs only in capitals, blanks, zeros or Unicode's forms.

    Args:
        shown: The source, as messages name it.
        labels: Those of the source, each once.
        earlier: Those of earlier spans or the schema; empty at a first import, which refuses none.

    Raises:
        DataRefused: There are such labels, and each of them would become a class of its own.
    """
    by_letters = {_fold(label): label for label in earlier}
    new = [n for n in labels if n not in earlier]
    cure = "Write labels as in earlier spans, or import into a folder of its own."
    for label in new:
        if (other := by_letters.get(_fold(label))) is not None:
            raise DataRefused(
                f"{shown} has the label {label!a}, and earlier spans have {other!a}.",
                "Each spelling would be a class of its own.",
                cure,
            )
    if earlier and len(new) > 1 and len(new) == len(labels):
        raise DataRefused(
            f"{shown} has the labels {join_names(new)}, and earlier spans {join_names(sorted(earlier))}.",
            "Without a label in common, they may answer another question, or name its classes differently.",
            f"{cure} Labels that are really new can be added to schema.pbtxt first.",
        )


@dataclass
class ImportReport:
    """The result of an import of photos."""

    source: Path
    layout: str  # as detected, in words
    span: Span | None = None  # the new one; None when there was nothing new
    added: dict[str, int] = field(default_factory=Counter)  # new photos by label
    known: int = 0  # photos that were there already, in a span or earlier in the source, under the same label
    restored: int = 0  # photos whose file was gone from a span, and is there again
    relabelled: list[str] = field(default_factory=list)  # as sentences: a span has them under another label
    conflicting: int = 0  # new photos with two labels in the source; both rows are kept, for the quarantine
    refused: dict[str, list[str]] = field(default_factory=dict)  # places of what cannot be imported, by slug
    written: tuple[Path, ...] = ()  # workload files that were written or changed
    new_labels: tuple[str, ...] = ()  # added at the end of an existing schema
    groups: tuple[tuple[str, ...], ...] = ()  # places of photos that show the same and share a session
    joined: tuple[str, ...] = ()  # places of photos that share the session of a photo in an earlier span
    eval: dict[str, int] = field(default_factory=dict)  # the part of `added` that labels.csv puts into eval
    warnings: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()  # the places of each of the `conflicting` photos, with the labels there

    def sentences(self) -> list[str]:
        """Returns the report for people, a sentence a line."""
        lines = [f"{self.source} is {self.layout}."]
        if self.span:
            labels = join_names([f"{count} {label}" for label, count in self.added.items()])
            count = format_count(sum(self.added.values()), "new photo")
            lines.append(f"{self.span.path} holds {count}: {labels}.")
        else:
            lines.append(NOTHING_NEW)

        # Sessions and splits.
        if self.groups:
            largest = sorted(self.groups, key=len, reverse=True)
            shown = tuple(", ".join(group[:3]) + (", ..." if len(group) > 3 else "") for group in largest)
            lines.append(
                f"{sum(map(len, self.groups)):,} photos show the same object as another one; each of these"
                f" groups ({len(self.groups):,}) is one session: {_list_some(shown)}."
            )
        if self.joined:
            lines.append(
                "In the session of a photo of an earlier span that shows the same object:"
                f" {format_count(len(self.joined), 'photo')} ({_list_some(self.joined)})."
            )
        if self.eval:
            parts = [f"{self.eval.get(label, 0)} of {count} {label}" for label, count in self.added.items()]
            lines.append(f"The new span's labels.csv assigns to eval: {join_names(parts)}.")

        # Photos that are there already, or cannot be used.
        if self.known:
            lines.append(f"{_count_past(self.known, 'photo')} there already.")
        if self.restored:
            lines.append(f"{_count_past(self.restored, 'photo')} missing from a span, and restored.")
        if self.relabelled:
            lines.append(
                f"{_count_past(len(self.relabelled), 'photo')} not changed, as a span has another label"
                " (correct them with `edgeline data relabel` and a list of example, label, corrected):"
                f" {_list_some(self.relabelled)}."
            )
        if self.conflicting:
            lines.append(
                "A run will quarantine what has two labels in the source,"
                f" {format_count(self.conflicting, 'photo')}: {_list_some(self.conflicts)}. {ONE_LABEL}"
            )
        for reason, places in self.refused.items():
            lines.append(f"{len(places):,} refused as {reason}: {_list_some(places)}.")

        lines += [*_describe_new_labels(self.new_labels), *(f"{path} was written." for path in self.written)]
        return [*lines, *(f"Warning: {warning}" for warning in self.warnings)]


@dataclass(frozen=True)
class TableReport:
    """The result of an import of a table or of texts."""

    source: str
    span: Span | None  # None when there was nothing new
    noun: str
    rows: int  # new ones
    known: int  # rows that a span has already
    unlabelled: int  # rows without a label, which were left out
    labels: tuple[str, ...]
    new_labels: tuple[str, ...]  # added at the end of an existing schema
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    guessed: tuple[tuple[str, str], ...]  # whole numbers that may be codes, and what they were taken for
    refused: tuple[str, ...]
    remarks: tuple[str, ...] = ()  # on labels and groups, as sentences
    notes: tuple[str, ...] = ()  # how the file was read
    warnings: tuple[str, ...] = ()
    written: Path | None = None  # the file that says how columns are read, if it was written

    def sentences(self) -> list[str]:
        """Returns the report for people, a sentence a line."""
        shown = ", ".join(self.labels[:8]) + (", ..." if len(self.labels) > 8 else "")
        rows, labels = format_count(self.rows, self.noun), format_count(len(self.labels), "label")
        counted = f"{rows} of {self.source}, with {labels}"
        new = f"{self.span.path} holds {counted}: {shown}." if self.span else NOTHING_NEW
        lines = [*self.notes, new]
        if self.known:
            lines.append(f"{_count_past(self.known, self.noun)} there already.")
        lines += describe_columns(self.numbers, self.categories, self.guessed, self.left_out)
        lines += _describe_new_labels(self.new_labels)
        lines += [*self.remarks, *(f"Not imported: {row}" for row in self.refused)]
        if self.written:
            lines.append(f"{self.written} says how each column is read, and why; later weeks are read by it.")
        return [*lines, *(f"Warning: {warning}" for warning in self.warnings)]


def describe_columns(
    numbers: Sequence[str],
    categories: Sequence[str],
    guessed: Sequence[tuple[str, str]],
    left_out: Sequence[tuple[str, str]],
) -> Iterator[str]:
    """Yields what the columns of a table are, as sentences.

    Args:
        numbers: Names of columns; empty ones get no sentence, as with the others.
        categories: Names of columns.
        guessed: The name of each column nobody was asked about, and the kind it was taken for.
        left_out: The name of each column, which may be empty, and why, as a clause after "which".
    """
    for what, names in (("Numbers", numbers), ("Categories", categories)):
        if names:
            yield f"{what}: {', '.join(names)}."
    for kind, names in _group_names(guessed):
        column = shlex.quote(names[0]) if len(names) == 1 else "COLUMN"
        other = "number" if kind == "category" else "category"
        verbs = "contains {}, and was" if len(names) == 1 else "contain {}, and each was"
        yield (
            f"{', '.join(names)} {verbs.format('whole numbers that may be codes')} imported as a {kind}. To"
            f" change that: --{other} {column}, or --leave-out {column}."
        )
    for why, names in _group_names(left_out):
        shown = ", ".join(name or "a column" for name in names)
        yield f"Left out: {shown}{', which' if len(names) == 1 else ': each'} {why}."


def _group_names(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yields each second item once, with the first items of its pairs."""
    names_of = dict[str, list[str]]()
    for name, item in pairs:
        names_of.setdefault(item, []).append(name)
    yield from names_of.items()


@dataclass(frozen=True)
class PhoneReport:
    """The result of an import of what a phone's page exported."""

    source: Path
    remarks: Sequence[str]  # as sentences
    span: Span | None = None  # it is named in the remarks

    def sentences(self) -> Sequence[str]:
        """Returns the report for people, a sentence a line."""
        return self.remarks


def _count_past(number: int, noun: str) -> str:
    return f"{format_count(number, noun)} {'was' if number == 1 else 'were'}"


def _describe_new_labels(labels: Sequence[str]) -> list[str]:
    return [f"Labels added at the end of the schema: {', '.join(labels)}."] if labels else []


def _list_some(texts: Sequence[str]) -> str:
    return "; ".join(texts[:_EXAMPLES]) + ("; ..." if len(texts) > _EXAMPLES else "")


def check_classes(shown: str, noun: str, counts: Mapping[str, int]) -> None:
    """Refuses a source in which fewer than two classes have two examples.

    Args:
        shown: The source, as messages name it.
        noun: An example in messages, in the singular.
        counts: The examples by label.

    Raises:
        DataRefused: A run would have nothing to learn or to evaluate on.
    """
    if sum(count > 1 for count in counts.values()) < 2:
        listed = join_names([f"{count} of {label!r}" for label, count in counts.items()])
        raise DataRefused(
            f"{shown} has {'one class' if len(counts) == 1 else f'too few {noun}s'}: {listed}.",
            "Training needs two classes, each with an example to learn from and one to evaluate on.",
            f"Import it together with more {noun}s.",
        )


def warn_of_few(noun: str, counts: Mapping[str, int], least: int) -> tuple[str, ...]:
    """Returns a warning if classes have fewer examples than a run wants; empty if none has.

    Args:
        noun: An example in messages, in the singular.
        counts: The examples by label, of the classes that are looked at.
        least: Examples of each class that a run wants; 0 for no limit.
    """
    few = [f"{label!r} has {count}" for label, count in counts.items() if count < least]
    if not few:
        return ()
    return (
        f"A run requires {format_count(least, noun)} of each class, and will refuse these: {join_names(few)}."
        " Import more of them, or set a lower gate.min_examples_per_class in workload.yaml.",
    )
