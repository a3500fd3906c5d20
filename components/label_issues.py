"""The search for suspect labels, by models that did not learn from what they judge."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.predictions import write_previews
from components.serving import ServedModel
from components.transformed_examples import open_records
from edgeline.gates.label_issues import describe_bad_spans, find_suspects, limit_suspects
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
from trainer_module.raw_features import first_text

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

    def find_issues(self, labels: Sequence[str]) -> Iterator[LabelIssue]:
        """Yields the suspects among the examples; `labels` are the names of the classes."""
        for number, suggested in zip(*find_suspects(self.labels, self.probabilities), strict=True):
            row, label = self.probabilities[number], self.labels[number]
            yield LabelIssue(
                example=self.ids[number],
                split=self.split,
                label=labels[label],
                suggested=labels[suggested],
                probability=round(float(row[suggested]), _DIGITS),
                probability_of_label=round(float(row[label]), _DIGITS),
            )


def find_cleared(part: Judged, saved_model: str, folder: str, workload: Workload) -> set[str]:
    """Returns the suspects of a simple model whose label the network answers too; `folder` is of their split.

    The network learned from them, and may repeat a wrong label; but the mistakes of a simple model are far
    more than those of the network.

    Args:
        part: Examples of train with the answers of a simple model.
        saved_model: The folder of the network's SavedModel.
        folder: The folder of the split of `part`.
        workload: The order of its labels is that of the network's outputs.

    Returns:
        The ids of the examples.
    """
    label_of = {issue.example: issue.label for issue in part.find_issues(workload.labels)}
    suspects = dict[str, bytes]()
    for record in open_records(folder).as_numpy_iterator():
        if len(suspects) == len(label_of):
            break
        name = first_text(tf.train.Example.FromString(record).features.feature[workload.id])
        if name in label_of:
            suspects[name] = record
    if not suspects:
        return set()
    answers = ServedModel(saved_model).predict(list(suspects.values())).argmax(1)
    return {
        name
        for name, answer in zip(suspects, answers, strict=True)
        if workload.labels[answer] == label_of[name]
    }


def write_label_issues(
    folder: Path,
    examples: Any,
    judged: Sequence[Judged],
    cleared: Collection[str],
    workload: Workload,
    unjudged: str = "",
) -> Mapping[str, str]:
    """Writes the suspects among the judged examples: a record, previews, and a list for people to fill in.

    Args:
        folder: The folder of the ModelValidator's evaluation.
        examples: The artifact with the examples, for the previews.
        judged: The first is of eval: its error limits how many suspects are listed.
        cleared: Ids of examples that are no suspects, since a person or the network agrees with the label.
        workload: The names of its labels stand in the list.
        unjudged: A sentence why some examples are not judged; empty if all are.

    Returns:
        The spans whose labels look wrong, with a sentence each.
    """
    issues = [issue for part in judged for issue in part.find_issues(workload.labels)]
    issues = [issue for issue in issues if issue.example not in cleared]
    issues.sort(key=lambda issue: issue.probability_of_label - issue.probability)
    ids = [name for part in judged for name in part.ids]
    bad_spans = describe_bad_spans(ids, (issue.example for issue in issues), workload.nouns)

    # The list, which is short where the judges are weak.
    error = float((judged[0].probabilities.argmax(1) != judged[0].labels).mean())
    listed, why = limit_suspects(len(issues), len(ids), error)
    issues = issues[:listed]
    shown = issues[:_MOST_SHOWN]
    split_of = {issue.example: issue.split for issue in shown}
    previews = write_previews(folder, "label_issues", examples, split_of, workload)
    record = LabelIssues(
        judged=len(ids),
        judges=tuple(dict.fromkeys(part.judge for part in judged)),
        total=len(issues),
        shown=tuple(
            replace(issue, file=preview.file, text=preview.text)
            for issue in shown
            if (preview := previews.get(issue.example))
        ),
        unjudged=" ".join(filter(None, (why, unjudged))),
    )
    LABEL_ISSUES.write(folder, record)
    with (folder / LABEL_ISSUES_CSV).open("w", encoding="utf-8", newline="") as file:
        rows = [(EXAMPLE, LABEL, "suggested", *PROBABILITIES, CORRECTED)]
        for issue in issues[:_MOST_LISTED]:
            figures = f"{issue.probability}", f"{issue.probability_of_label}"
            rows.append((issue.example, issue.label, issue.suggested, *figures, ""))
        write_rows(file, rows)
    return bad_spans
