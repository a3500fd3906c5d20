"""Labels that are probably wrong, and what people decided about labels."""

from dataclasses import dataclass

from edgeline.records.json_file import JsonFile

# The list for people to fill in, beside the record.
LABEL_ISSUES_CSV = "label_issues.csv"
# The columns of that list by which `edgeline data relabel` reads a decision.
EXAMPLE, LABEL, CORRECTED = "example", "label", "corrected"


@dataclass(frozen=True)
class LabelIssue:
    """An example whose label is probably wrong; probabilities are 0..1."""

    example: str  # its id, `span-00042/a.jpg`
    split: str
    label: str
    suggested: str
    probability: float  # of the suggested label
    probability_of_label: float
    file: str = ""  # a preview beside the record; empty for a text or where none was made
    text: str = ""


@dataclass(frozen=True)
class LabelIssues:
    """The suspect examples of a window, the surest first."""

    judged: int  # number of examples
    judges: tuple[str, ...]  # the models that did not learn from the examples that they judged
    total: int  # number of suspects
    shown: tuple[LabelIssue, ...]  # the first of them


LABEL_ISSUES = JsonFile[LabelIssues]("label_issues.json", LabelIssues)
# The ids of the examples whose label a person has confirmed or corrected.
REVIEWED = JsonFile[tuple[str, ...]]("reviewed.json", tuple[str, ...])
