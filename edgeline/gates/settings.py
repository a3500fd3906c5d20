"""The requirements for data, for a model, and for its files for a phone."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from edgeline.settings_group import Fraction, Group

Metric = Literal["accuracy", "recall", "precision", "f1", "loss", "auc", "recall_at_false_alarms"]
# Those of alarms against normal examples.
ALARM_METRICS: tuple[Metric, ...] = ("auc", "recall_at_false_alarms")
Severity = Literal["block", "warn", "off"]
# The rules of the data gate that block, and those that warn, if the settings do not say otherwise.
_Blocks = Literal[
    "schema", "large_drift", "label_shift", "class_count", "empty_span", "rule", "swapped", "quarantine"
]
_Warns = Literal[
    "drift",
    "row_count",
    "constant",
    "joint_drift",
    "missing_value",
    "unknown_tokens",
    "twins",
    "served",
    "labels",
]
GateRule = Literal[_Blocks, _Warns]
DEFAULT_SEVERITY: Mapping[GateRule, Severity] = {
    rule: "block" if rule in get_args(_Blocks) else "warn" for rule in get_args(GateRule)
}


# A class is judged from this many eval examples on, and counts as recognised from this recall on.
FEWEST_OF_A_CLASS, RECOGNISED = 5, 0.3


class GateSettings(Group):
    """The requirements of the data gate for a window."""

    min_examples_per_class: int = Field(20, ge=0, le=1_000_000)
    """Smallest number of examples of each class in the window, train and eval together."""
    max_quarantine_fraction: Fraction = 0.05
    """Largest share of a span that may be quarantined."""
    exclude_refused: bool = False
    """Whether `edgeline run` excludes the spans for which it refused the data or, where `severity` blocks
    `labels`, held the model back, with the reason as a comment, and runs again at once without them. The
    alert is sent all the same."""
    max_row_factor: float = Field(10.0, gt=1, le=1000)
    """Factor from which on a span has far more or far fewer rows than usual: than the median of the three
    spans or more before it in the window."""
    large_drift_factor: float = Field(3.0, ge=1, le=1000)
    """Drift above this many times the distance that the schema allows falls under the rule `large_drift`, and
    so does drift more than halfway from that distance to 1, the largest possible distance."""
    max_unknown_token_fraction: Fraction = 0.05
    """Largest share of a span's words that are missing in the spans it is compared with, above the expected
    share: some words are always new. On 8,529 movie reviews, in any order and in weeks of 50 to 1,000, the
    expected share was at most 0.036 too low."""
    max_twin_fraction: Fraction = 0.1
    """Largest share of the eval photos that may have a near twin in train. A share s whose accuracy is d
    above that of the rest makes eval s * d too good: 0.1 is two points where twins are 20 above. In the
    sample, whose shelves are drawn alike, 7 % have one by chance."""
    severity: Mapping[GateRule, Severity] = DEFAULT_SEVERITY
    """Effect of each rule when it fires. A rule that is not named keeps its default. `labels`, of spans whose
    labels look wrong to models that did not learn from them, holds the model back where it blocks. `rule`, of
    the `rules` of the workload's file, leaves each its own severity where it blocks."""

    @field_validator("severity")
    @classmethod
    def _add_defaults(cls, severity: Mapping[GateRule, Severity]) -> Mapping[GateRule, Severity]:
        return {**DEFAULT_SEVERITY, **severity}


class Bound(Group):
    """A bound that a model has to keep on every slice of a kind."""

    slice: str
    """Kind of slices to judge, each alone: `overall`, `class`, `span`, or another kind of the workload."""
    metric: Metric = "accuracy"
    """Metric to judge by. For a slice of several classes, `recall`, `precision` and `f1` are the means over
    its classes. `auc`, and `recall_at_false_alarms` at `evaluation.false_alarm_rate`, measure how well alarms
    are told from normal examples; a slice that has only one of the two is not judged by them."""
    lower: Fraction | None = None
    """Smallest allowed value; null for no limit."""
    upper: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Largest allowed value; null for no limit."""
    max_drop: Fraction | None = None
    """Largest amount by which the value may be worse than that of the production model, unless the difference
    is noise; null for no limit. It has no effect while no model is in production. A model that is judged out
    of fold is compared with production on the eval split."""
    min_support: int = Field(1, ge=1, le=1_000_000)
    """Smallest number of eval examples of a slice that is judged; with 50, one example is two points."""

    @model_validator(mode="after")
    def _require_a_limit(self) -> "Bound":
        if (self.lower, self.upper, self.max_drop) == (None, None, None):
            raise ValueError("a bound without lower, upper and max_drop has no effect; set at least one")
        return self


class ServedBound(Group):
    """A bound on the answers of phones that were drawn at random and checked.

    The model in production breaks it if the whole 95 % interval of its accuracy is below, although its
    evaluation had promised more.
    """

    slice: str = "overall"
    """Kind of slices to judge, each alone: `overall`, `variant`, `device`, `week`, `class`, or another kind
    of the workload; where that has a kind `device`, that of phones is `served device`. By chance alone, one
    of 40 slices whose accuracy is just at the bound breaks it."""
    lower: Fraction | None = None
    """Smallest allowed accuracy; null for no limit."""
    max_drop: Fraction | None = None
    """Largest amount by which the accuracy may be below that on eval when the version was pushed, of the same
    slice if it had one, else overall; null for no limit."""
    min_checked: int = Field(50, ge=1, le=1_000_000)
    """Smallest number of checked answers of a slice that is judged."""
    min_groups: int = Field(3, ge=1, le=1_000_000)
    """Smallest number of groups (sessions, machines, authors) that these are from."""
    severity: Literal["block", "warn"] = "block"
    """Whether a production that breaks it has no model pushed and ends a canary, or is a warning. Both send
    an alert."""

    @model_validator(mode="after")
    def _require_a_limit(self) -> "ServedBound":
        if (self.lower, self.max_drop) == (None, None):
            raise ValueError("a bound without lower and max_drop has no effect; set at least one")
        return self

    def find_limit(self, on_eval: float | None) -> float | None:
        """Returns the smallest allowed accuracy, where the version had `on_eval` when it was pushed."""
        dropped = None if self.max_drop is None or on_eval is None else on_eval - self.max_drop
        return max((limit for limit in (self.lower, dropped) if limit is not None), default=None)


class EvaluationSettings(Group):
    """The requirements for a trained model; all bounds have to hold."""

    bounds: Annotated[tuple[Bound, ...], Field(strict=False)] = ()
    """Bounds on the metrics of slices; all of them have to hold."""
    served: Annotated[tuple[ServedBound, ...], Field(strict=False)] = (
        ServedBound(max_drop=0.05, severity="warn"),
    )
    """Bounds on what phones answered with the model in production, as `served.csv` of the spans tells; empty
    for none."""
    max_served_difference: Fraction = 0.05
    """Largest difference between a score in `served.csv` and that of the stored file for the same example; a
    phone with a larger one decodes, resizes or computes something else, which is a warning."""
    beat_majority: bool = True
    """Whether overall accuracy has to beat a model that always predicts the most frequent class. A first
    model has to do so beyond noise, at `confidence`; of a later one, which is compared with production, it is
    a warning."""
    min_class_recall: Fraction = RECOGNISED
    """Smallest recall of each class, which also has to be above that of guessing; 0 for neither."""
    min_class_examples: int = Field(FEWEST_OF_A_CLASS, ge=1, le=1_000_000)
    """Smallest number of eval examples to judge a class's recall; a class with fewer is named, not judged."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Confidence that a model is worse than the one in production, from which `max_drop` holds it back: fewer
    than 1 - confidence of 2,000 resamples show no drop, both of the eval examples and of their groups. All
    bounds with a `max_drop` share it, so that together they hold an equal model back no more often."""
    large_drop: float = Field(3.0, ge=1, le=1000)
    """A drop of more than this many times `max_drop` that is not chance on these examples holds a model back,
    whether or not resamples of the groups (sessions, machines, authors) show it."""
    group_right_before: Fraction = 0.9
    """A group is lost, and holds the new model back, if production answers at least this share of it right
    and the new model at most `group_right_after`, on so many examples that equal models lose none by chance,
    at `confidence`: 9 that turned wrong where there are 20 groups, and 13 where there are 300."""
    group_right_after: Fraction | None = 0.5
    """Largest share of a lost group that the new model answers right; see `group_right_before`. Null for no
    such rule."""
    false_alarm_rate: Fraction = 0.01
    """Share of the normal examples that may be taken for an alarm, for the metric `recall_at_false_alarms` of
    a workload that has a normal label."""


Timing = Literal[
    "p90",
    "p99",
    "p50_two_threads",
    "p90_two_threads",
    "p99_two_threads",
    "cold_start",
    "decode",
    "resize",
    "preprocess",
]


class EdgeLimits(Group):
    """The requirements for a file for phones."""

    min_agreement: Fraction = 0.95
    """Smallest share of eval examples for which a file gives the same label as the SavedModel. A share that
    is below it by chance is a warning; see `max_accuracy_drop`."""
    max_accuracy_drop: Fraction = 0.02
    """Largest drop of accuracy from the SavedModel to a file, overall and of each class and slice of 5
    examples and more. A file falls where a larger drop is sure, at `evaluation.confidence`: fewer than 1 -
    confidence of 2,000 resamples of the same examples show one that is allowed; or where less than half of a
    class is left. Else it is a warning, of 50 examples and more: 3 photos of 144 are no sure drop of more
    than 0.02, and 30 are."""
    max_size_mb: float = Field(5.0, gt=0, le=10_000)
    """Largest size of a file in MB (10^6 bytes)."""
    max_latency_ms: Annotated[float, Field(gt=0, le=60_000)] | None = None
    """Largest latency in milliseconds: the median CPU time of one example on this machine, in one thread.
    With null, more than 50 ms is a warning."""
    max_ms: Mapping[Timing, Annotated[float, Field(gt=0, le=600_000)]] = {}
    """Largest of other CPU times on this machine in milliseconds, such as `{p99: 80, cold_start: 300}`; one
    that is not named has no limit. Another load changes `p90` and `p99` of 100 runs most, medians less.
    `cold_start` is the median of three processes, `p50_two_threads` half the time of two threads; `decode`
    and `resize` are of photos, `preprocess` of rows and texts."""
    max_memory_mb: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Largest memory in MB (10^6 bytes) that loading a file and its first answer add; null for no limit."""
    max_difference: Fraction | None = None
    """Largest difference between two probabilities of a file and of the SavedModel for the same example; null
    for no limit."""
    max_input_saturation: Fraction | None = None
    """Largest share of the values of a quantised input that are at an end of its range; null for no limit.
    Black and white pixels rightly are."""
    max_output_saturation: Fraction | None = None
    """Largest share of the probabilities of a quantised output that are at an end of its range; null for no
    limit. Those of sure answers, below 0.002 and above 0.994, rightly are."""
    golden_examples: int = Field(20, ge=0, le=200)
    """Number of eval examples, with their raw inputs, that go with each bundle for those who build on it.
    With 0 a bundle contains none, and preprocessing.json is still checked against the training."""
