"""The search for labels that are probably wrong, by models that did not learn from what they judge."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.predictions import write_previews
from edgeline.gates.label_issues import describe_bad_spans, find_suspects
from edgeline.records.evaluation import (
    CORRECTED,
    EXAMPLE,
    LABEL,
    LABEL_ISSUES,
    LABEL_ISSUES_CSV,
    PROBABILITIES,
    LabelIssue,
    LabelIssues,
)
from edgeline.records.workload import Workload
from edgeline.tables.sheets import write_rows

_MOST_SHOWN, _MOST_LISTED = 24, 1_000
_DIGITS = 4


@dataclass(frozen=True)
class Judged:
    """Examples of one split with probabilities by a model that did not learn from them."""

    judge: str  # what people call the model
    split: str
    ids: Sequence[str]
    labels: NDArray[np.int64]  # [n]
    probabilities: NDArray[Any]  # [n, classes]


def write_label_issues(
    folder: Path, examples: Any, judged: Sequence[Judged], reviewed: Collection[str], workload: Workload
) -> Mapping[str, str]:
    """Writes the suspects among the judged examples: a record, previews, and a list for people to fill in.

    Returns the spans whose labels look wrong, with a sentence each.

    `examples` is the artifact with the examples; those in `reviewed`, whose label a person decided on, are no
    suspects.
    """
    issues = [issue for part in judged for issue in _find_issues(part, workload.labels)]
    issues = [issue for issue in issues if issue.example not in reviewed]
    issues.sort(key=lambda issue: issue.probability_of_label - issue.probability)
    shown = issues[:_MOST_SHOWN]
    split_of = {issue.example: issue.split for issue in shown}
    previews = write_previews(folder, "label_issues", examples, split_of, workload)
    record = LabelIssues(
        judged=sum(len(part.ids) for part in judged),
        judges=tuple(dict.fromkeys(part.judge for part in judged)),
        total=len(issues),
        shown=tuple(
            replace(issue, file=preview.file, text=preview.text)
            for issue in shown
            if (preview := previews.get(issue.example))
        ),
    )
    LABEL_ISSUES.write(folder, record)
    with (folder / LABEL_ISSUES_CSV).open("w", encoding="utf-8", newline="") as file:
        rows = [(EXAMPLE, LABEL, "suggested", *PROBABILITIES, CORRECTED)]
        for issue in issues[:_MOST_LISTED]:
            figures = f"{issue.probability}", f"{issue.probability_of_label}"
            rows.append((issue.example, issue.label, issue.suggested, *figures, ""))
        write_rows(file, rows)
    ids = (name for part in judged for name in part.ids)
    return describe_bad_spans(ids, (issue.example for issue in issues), workload.nouns)


def _find_issues(part: Judged, labels: Sequence[str]) -> Iterator[LabelIssue]:
    for number, suggested in zip(*find_suspects(part.labels, part.probabilities), strict=True):
        row, label = part.probabilities[number], part.labels[number]
        yield LabelIssue(
            example=part.ids[number],
            split=part.split,
            label=labels[label],
            suggested=labels[suggested],
            probability=round(float(row[suggested]), _DIGITS),
            probability_of_label=round(float(row[label]), _DIGITS),
        )
