"""Corrections of labels by a list that a person filled in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from data.settings import DataSettings
from data.spans.corrections import Correction, add_corrections, digest_files_of_rows, read_corrections
from data.spans.layout import Span, find_spans
from data.spans.source import Rejected, Row, load_source
from edgeline.errors import DataRefused, UsageError
from edgeline.journal import clean_reason, get_user_and_host, utc_now
from edgeline.labels import join_names
from edgeline.records.evaluation import CORRECTED, EXAMPLE, LABEL
from edgeline.records.workload import Workload
from edgeline.store.locations import Location
from edgeline.tables.files import open_table

_COLUMNS = (EXAMPLE, LABEL, CORRECTED)


@dataclass(frozen=True)
class Counts:
    """The numbers of rows of a list that were corrected, confirmed or skipped."""

    corrected: int
    confirmed: int
    skipped: int  # without a corrected label
    earlier: int  # corrected by the same command before


@dataclass(frozen=True)
class _Decision:
    line: int
    span: str
    example: str
    was: str
    label: str


def relabel(file: Path, data: Location, workload: Workload, reason: str) -> Counts:
    """Corrects and confirms the labels of a list, none if one of them is wrong.

    Where a span cannot be written, the spans before it are corrected; the same command goes on from there.

    Args:
        file: A table, as an import reads it, with the columns `example`, `label`, which it had, and
            `corrected`, which is empty for an example that is skipped.
        data: The folder of the spans that the list names.
        workload: Its labels are the only ones that the list may have.
        reason: In the person's words; not empty.

    Raises:
        UsageError: The list cannot be read, or is of other data.
        DataRefused: A span cannot be read.
        EdgelineError: The corrections cannot be written.
    """
    why = clean_reason(reason)
    try:
        rows = list(_read_list(file, workload.labels))
    except DataRefused as error:  # the list is not data
        raise UsageError(error.found, error.why, error.do) from None
    decisions = [decision for decision in rows if decision.label]
    spans = {span.name: span for span in find_spans(data)}
    by_span: dict[str, list[_Decision]] = {}
    for decision in decisions:
        if decision.label not in workload.labels:
            raise UsageError(
                f"{file} line {decision.line}: {workload.name} has no label {decision.label!r}.",
                f"Its labels are: {join_names(workload.labels, 30)}.",
                "Correct the line, and run the same command again: nothing was changed.",
            )
        by_span.setdefault(decision.span, []).append(decision)
    if missing := sorted(by_span.keys() - spans.keys()):
        raise UsageError(
            f"{data} has no {missing[0]}.",
            f"{file} line {by_span[missing[0]][0].line} names an example of it.",
            "Pass the folder of spans that the run read: --data DIR.",
        )
    signed = (utc_now(), get_user_and_host(), why)
    checked = {name: list(_check(file, spans[name], by_span[name], workload, signed)) for name in by_span}
    for name, corrections in checked.items():
        add_corrections(spans[name], corrections)
    confirmed = sum(decision.label == decision.was for decision in decisions)
    decided = sum(map(len, checked.values()))
    return Counts(decided - confirmed, confirmed, len(rows) - len(decisions), len(decisions) - decided)


def _read_list(file: Path, labels: Sequence[str]) -> Iterator[_Decision]:
    # Spreadsheets write True as TRUE.
    spelling = {label.lower(): label for label in labels if label in ("True", "False")}
    with TemporaryDirectory() as scratch:
        table = open_table(str(file), Path(scratch), _COLUMNS)
        if lacking := [name for name in _COLUMNS if name not in table.header]:
            raise UsageError(
                f"{file} has no column {' and no '.join(lacking)}.",
                f"Its columns are: {join_names(tuple(table.header), 30)}.",
                "Use the list of a run, label_issues.csv in the ModelValidator's artifact.",
            )
        for number, item in enumerate(table.rows(_COLUMNS), 2):
            if isinstance(item, Rejected):
                raise UsageError(
                    f"{file} cannot be read ({item.id}: {item.detail}).",
                    "It lists examples with their corrected labels.",
                    "Correct that row, and run the same command again: nothing was changed.",
                )

            place, row = item
            values = [row[name] for name in _COLUMNS]
            span, _, example = values[0].partition("/")
            line = number if table.typed else int(place.rpartition(":")[2])
            was, label = (cell if cell in labels else spelling.get(cell.lower(), cell) for cell in values[1:])
            yield _Decision(line, span, example, was, label)


def _check(
    file: Path, span: Span, decisions: list[_Decision], workload: Workload, signed: tuple[str, str, str]
) -> Iterator[Correction]:
    """Yields the corrections of a span, `signed` with when, who and why; the list has the present labels."""
    # The limits of the run that wrote the list do not matter here.
    widest = DataSettings(max_characters=1_000_000)
    source = load_source(workload.source).open_source(workload, widest)
    labels = {row.id: row.label for row in source.rows(span) if isinstance(row, Row)}

    corrections = read_corrections(span)
    digest = digest_files_of_rows(span)
    chosen: dict[str, _Decision] = {}
    for decision in decisions:
        original = labels.get(decision.example)
        earlier = corrections.get(decision.example)
        label = earlier.label if earlier and earlier.was == original else original
        if earlier and label == decision.label != decision.was:
            continue  # recorded by the same command, which did not get to its end

        if original is None or label != decision.was:
            has = f"has the label {label!r}, not {decision.was!r}" if original else "is not there"
            raise UsageError(
                f"{file} line {decision.line}: {decision.example} of {span.name} {has}.",
                "The list belongs to other data, or its label was corrected since.",
                "Take the list of the newest run; nothing was changed.",
            )
        if (other := chosen.setdefault(decision.example, decision)).label != decision.label:
            raise UsageError(
                f"{file} lines {other.line} and {decision.line} have two labels for {decision.example}.",
                "It is ambiguous which of them is right.",
                "Remove one of the lines; nothing was changed.",
            )
        yield Correction(decision.example, original, decision.label, *signed, digest(decision.example))
