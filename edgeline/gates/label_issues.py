"""Examples with a suspect label, found by confident learning.

A model that did not learn from an example gives it probabilities. An example is suspect if another class than
its own reaches the mean probability that this class has among the examples with that label, and is above the
probability of the own label (Northcutt, Jiang and Chuang, 2021: Confident Learning, JAIR 70, 1373-1411).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.gates.evidence import Evidence
from edgeline.records.verdict import Finding

# The labels of a span look wrong if this share of them is suspect, this many times the share in other spans,
# and by this many standard deviations more than chance has it: sessions of hard examples have a few more too.
_MUCH, _TIMES, _DEVIATIONS = 0.15, 3, 4

# A model that differs from a larger share of labels than this mostly suspects its own mistakes. With 3 % of
# the labels of twelve sets changed, 0.11 to 0.22 of the suspects were changed ones where the judge differed
# from 21 to 32 % of the labels, but 0.25 to 0.82 of the surest, as many as 1 % of the examples. Of 47
# labels in a thirteenth set, where it was right on 0.13 of the rows, neither list was of use.
_WEAK, _SUREST, _FEW = 0.2, 0.01, 10


def find_suspects(
    labels: NDArray[np.int64], probabilities: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the positions of the suspect examples, the surest first, and the class that each should have.

    Args:
        labels: The label of each example, [n].
        probabilities: The probabilities by a model that did not learn from the example, [n, classes]; an
            example with a NaN is not judged.
    """
    numbers = np.flatnonzero(np.isfinite(probabilities).all(1))
    observed, scores = labels[numbers], probabilities[numbers]
    # A class without an example has no confident mean, and nothing is suspected to belong to it.
    thresholds = np.array(
        [scores[observed == c, c].mean() if (observed == c).any() else np.inf for c in range(scores.shape[1])]
    )
    confident = np.where(scores >= thresholds, scores, 0.0)
    confident[np.arange(len(observed)), observed] = 0.0
    suggested = confident.argmax(1)
    margins = confident.max(1) - scores[np.arange(len(observed)), observed]
    suspect = np.flatnonzero(margins > 0)
    suspect = suspect[np.argsort(-margins[suspect], kind="stable")]
    return numbers[suspect], suggested[suspect]


def limit_suspects(suspects: int, judged: int, error: float) -> tuple[int, str]:
    """Returns how many of the surest suspects to list, and a sentence why, if those are not all.

    Args:
        suspects: The number of examples whose label the model doubts.
        judged: The number of examples that they were found among.
        error: The share of labels in eval that the model differs from, 0..1.
    """
    listed = max(_FEW, round(_SUREST * judged))
    if error <= _WEAK or suspects <= listed:
        return suspects, ""
    return listed, (
        f"The model differs from {error:.0%} of the labels in eval, so most of the {suspects:,} suspects may"
        f" be its own mistakes: only the surest {listed:,} are listed."
    )


def judge_label_issues(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding for each span with too many suspect labels, of the severity that the settings name."""
    severity = evidence.gate.severity["labels"]
    if severity == "off":
        return
    for span, text in evidence.bad_spans.items():
        lifted_by = "gate.severity.labels=warn" if severity == "block" else ""
        yield Finding(text, lifted_by, spans=(span,), code="label_issues", severity=severity)


def describe_bad_spans(judged: Iterable[str], suspects: Iterable[str], nouns: str) -> Mapping[str, str]:
    """Returns the spans with far more suspect labels than the others, with a sentence each.

    Args:
        judged: The ids of all judged examples, SPAN/NAME.
        suspects: Those of the suspects.
        nouns: The workload's word for examples.
    """
    bad = dict[str, str]()
    counts, suspected = (Counter(name.partition("/")[0] for name in ids) for ids in (judged, suspects))
    for span, wrong in sorted(suspected.items()):
        others = counts.total() - counts[span]
        if not others:
            continue
        usual = (suspected.total() - wrong) / others
        expected = usual * counts[span]
        deviation = (expected * (1 - usual)) ** 0.5 + 1
        share = wrong / counts[span]
        if share >= max(_MUCH, _TIMES * usual) and wrong - expected > _DEVIATIONS * deviation:
            bad[span] = (
                f"Labels of {span} look wrong: {wrong:,} of {counts[span]:,} {nouns} are suspect, and"
                f" {usual:.1%} of those of other spans. Correct them in label_issues.csv for `edgeline data"
                f" relabel`, or leave the span out: `edgeline data exclude {span} --reason R --data DIR`."
            )
    return bad
