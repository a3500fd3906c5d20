"""The terms of the report, which a page explains at its end, and the documentation in the same words."""

from typing import NamedTuple


class Term(NamedTuple):
    """A term, its meaning in sentences (code between backticks), and the section of the page that uses it."""

    name: str
    meaning: str
    section: str = ""  # empty for a term of several sections


TERMS = (
    Term(
        "Span, window",
        "A span is a week of data, a folder such as `span-00042`. A window is the newest spans that a "
        "run reads, `data.window` of them.",
        "data",
    ),
    Term(
        "Group, session",
        "Examples that belong together: the session in which photos were taken, a machine, an author. "
        "A group is never in both splits.",
    ),
    Term(
        "Split, train, eval",
        "The model is trained on the groups of train and judged on the groups of eval.",
        "data",
    ),
    Term(
        "Quarantine",
        "Rows that cannot be used, each with a reason. They are in `quarantine.csv` of the ExampleGen "
        "artifact, the first 1,000 of each span and reason; the counts are of all.",
        "quarantine",
    ),
    Term(
        "Curated schema, anomaly",
        "The curated schema, a file that people change, says what each feature must look like. An "
        "anomaly is data that breaks it. `edgeline schema accept` widens it.",
        "schema",
    ),
    Term(
        "Label shift",
        "The shares of the classes in a span differ from those before by more than the schema allows.",
        "data",
    ),
    Term(
        "Confidence interval",
        "The range in which the true value lies with 95 % probability, for groups that nobody has "
        "seen. It counts groups, not examples, since the examples of a group are right or wrong "
        "together: a thousand photos of five sessions may tell as little as five photos.",
        "metrics",
    ),
    Term(
        "Importance of a column",
        "The drop of accuracy when the values of one column are shuffled among the eval examples, the mean "
        "of three shuffles on up to 1,000 examples. A column without effect is a warning.",
        "importance",
    ),
    Term(
        "Suspect label",
        "A model that did not learn from an example is as sure of another class as it is, on average, of "
        "the examples that have that class's label (confident learning; Northcutt, Jiang and Chuang, "
        "2021). Where that is a simple model, the network contradicts the label too. "
        "`edgeline data relabel` takes what a person decided.",
        "label_issues",
    ),
    Term(
        "Simple model",
        "A model that costs seconds and learned from the same examples: the most frequent class; for "
        "tables, logistic regression and gradient boosting; for texts, logistic regression and NBSVM (Wang "
        "and Manning, 2012) on words and pairs of words; for photos, logistic regression and the nearest "
        "neighbours by features of a frozen network. One that is better than the network beyond noise is a "
        "warning of the verdict; it holds nothing back. They are judged out of fold where the network is.",
        "metrics",
    ),
    Term(
        "Expected accuracy",
        "The mean of the scores of all answers of phones, checked or not: the accuracy if scores are "
        "calibrated (confidence-based performance estimation, as NannyML has it; Garg and others, 2022, "
        "measure where it fails). It needs no labels, holds nothing back, and cannot see a change that the "
        "model does not see.",
        "served",
    ),
    Term(
        "Drawn, doubted",
        "A phone draws answers at random for a person to check; their share of right ones estimates "
        "accuracy. A person also checks what looks wrong: of these few are right, whatever the model.",
        "served",
    ),
    Term(
        "Slice, support",
        "A slice is a part of the eval examples: a class, a span, a lane, a machine. Its support is "
        "its number of examples; a bound judges a slice from `min_support` on.",
        "metrics",
    ),
    Term(
        "Blessed",
        "The evaluation found nothing against the model: it keeps every bound, and recognises every class.",
        "gates",
    ),
    Term(
        "Bound, drop",
        "A bound is a limit on a metric of each slice of a kind: `lower`, `upper`, or `max_drop` "
        "below production.",
        "gates",
    ),
    Term(
        "Within noise",
        "A drop below production counts only if it is not chance: among 2,000 resamples of the eval "
        "examples, and of their groups, fewer than 5 % (`evaluation.confidence`) show no drop. The "
        "report names the share.",
        "gates",
    ),
    Term(
        "Lost session",
        "A group on which production is right (`evaluation.group_right_before`) and the new model is "
        "not (`evaluation.group_right_after`), too large for that to be chance.",
        "gates",
    ),
    Term(
        "Out of fold",
        "If eval is too small, more models of the same kind are trained, each without some of the "
        "groups. Each example is then answered by a model that was not trained on its group, and the "
        "gate judges these answers.",
        "metrics",
    ),
    Term(
        "Near twin",
        "An eval photo that is nearly the same as a photo in train. The model may know its answer by "
        "heart, so twins inflate the accuracy.",
        "twins",
    ),
    Term(
        "Calibration",
        "The model is calibrated if it is right in 80 % of the cases in which its confidence, its "
        "highest probability, is 80 %: the points lie on the dotted line. The expected calibration "
        "error is the mean distance between confidence and accuracy over all examples.",
        "reliability",
    ),
    Term(
        "Edge file, variant",
        "A TFLite file for phones. In the order of preference, the variants are `int8`, whole "
        "numbers only; `dynamic`, weights of 8 bits; `fp16`, weights of 16; and `fp32`. The first of "
        "`edge.variants` that passes the edge gate is the default.",
        "edge",
    ),
    Term(
        "Agreement",
        "The share of eval examples on which the file predicts the same label as the SavedModel "
        "(`edge.min_agreement`). The max abs difference is the largest difference between two "
        "probabilities of theirs.",
        "edge",
    ),
    Term(
        "Latency",
        "The median and the 99th percentile of the time of one example, in one thread of the machine "
        "that is named there. The cold start is the time from a file to its first answer in a new "
        "process, and the peak memory what that adds to the process, both the medians of three processes.",
        "edge",
    ),
    Term(
        "Saturation",
        "The share of the values of a quantised input or output that are at an end of the range. Black "
        "and white pixels and sure answers rightly are; more says that calibration saw too narrow a range.",
        "edge",
    ),
    Term("Cached", "The step was not run: an earlier run had the same inputs, settings and code.", "steps"),
)
