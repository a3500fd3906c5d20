"""The requirements for data, for a model, and for its files for a phone."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from settings_group import Fraction, Group

Metric = Literal["accuracy", "recall", "precision", "f1", "loss", "auc", "recall_at_false_alarms"]
Severity = Literal["block", "warn", "off"]
GateRule = Literal[
    "schema",
    "drift",
    "large_drift",
    "label_shift",
    "class_count",
    "quarantine",
    "missing_value",
    "unknown_tokens",
    "twins",
]
DEFAULT_SEVERITY: Mapping[GateRule, Severity] = {
    "schema": "block",
    "drift": "warn",
    "large_drift": "block",
    "label_shift": "block",
    "class_count": "block",
    "quarantine": "block",
    "missing_value": "warn",
    "unknown_tokens": "warn",
    "twins": "warn",
}


# A class is judged from so many eval examples on, and counts as recognised from such a recall on.
FEWEST_OF_A_CLASS, RECOGNISED = 5, 0.3


class GateSettings(Group):
    """The requirements of the data gate for a window."""

    min_examples_per_class: int = Field(20, ge=0, le=1_000_000)  # in the window, train and eval together
    max_quarantine_fraction: Fraction = 0.05  # largest share of a span that may be quarantined
    # Drift of so many times the distance that the schema allows is of the rule `large_drift`, and so is drift
    # of more than halfway from there to 1, the largest distance that there is.
    large_drift_factor: float = Field(3.0, ge=1, le=1000)
    # Largest share of a span's words that those it is held against lack, above the share to be expected:
    # nobody has said every word yet. On 8,529 movie reviews, in any order and in weeks of 50 to 1,000, the
    # expected share was at most 0.036 too low.
    max_unknown_token_fraction: Fraction = 0.05
    # Largest share of the eval photos that may have a near twin in train. A share s whose accuracy is d above
    # that of the rest makes eval s * d too good: 0.1 is two points where twins are 20 above. In the sample,
    # whose shelves are drawn alike, 7 % have one by chance.
    max_twin_fraction: Fraction = 0.1
    # The effect of each rule when it fires; rules that are not named keep their default.
    severity: Mapping[GateRule, Severity] = Field(default_factory=lambda: dict(DEFAULT_SEVERITY))

    @field_validator("severity")
    @classmethod
    def _add_defaults(cls, severity: Mapping[GateRule, Severity]) -> Mapping[GateRule, Severity]:
        return {**DEFAULT_SEVERITY, **severity}


class Bound(Group):
    """A bound that a model has to keep on every slice of a kind."""

    slice: str  # `overall`, or each `class`, each `span`, or each slice of another kind that the workload has
    # For a slice of several classes, `recall`, `precision` and `f1` are the means over its classes.
    # `auc`, and `recall_at_false_alarms` at `false_alarm_rate`, tell alarms from what is normal; a slice that
    # has only one of them is not judged by these.
    metric: Metric = "accuracy"
    lower: Fraction | None = None  # smallest allowed value
    upper: Annotated[float, Field(ge=0, le=1000)] | None = None  # largest allowed value
    # Most that the value may be worse than that of the production model, unless that is noise; says nothing
    # while there is none. What is judged out of fold is held against production on the eval split.
    max_drop: Fraction | None = None
    # Slices with fewer eval examples are not judged: on 50, one is two points.
    min_support: int = Field(1, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _require_a_limit(self) -> "Bound":
        if (self.lower, self.upper, self.max_drop) == (None, None, None):
            raise ValueError("a bound without lower, upper and max_drop has no effect; set at least one")
        return self


class EvaluationSettings(Group):
    """The requirements for a trained model; all bounds have to hold."""

    bounds: Annotated[tuple[Bound, ...], Field(strict=False)] = ()
    beat_majority: bool = True  # overall accuracy has to beat always saying the most frequent class
    # Least recall of each class, which also has to be above that of guessing; below so many eval examples a
    # class is not judged, and named.
    min_class_recall: Fraction = RECOGNISED
    min_class_examples: int = Field(FEWEST_OF_A_CLASS, ge=1, le=1_000_000)
    # How sure it has to be that a model is worse than the one in production, for `max_drop` to hold it back:
    # less than 1 - confidence of 2,000 resamples show no drop, of the eval examples as of their groups. All
    # bounds with a `max_drop` share it, so that together they hold an equal model no more often.
    confidence: float = Field(0.95, ge=0.5, lt=1)
    # A drop of more than so many times `max_drop` that is no chance on these examples holds a model back,
    # whether or not draws of other groups (sessions, machines, authors) show it.
    large_drop: float = Field(3.0, ge=1, le=1000)
    # A group that production answers right from the first share on, and the new model up to the second one,
    # is lost, and holds it back. It takes so many examples that equal models lose none of the groups by
    # chance, at `confidence`: 9 turned wrong where there are 20 groups, and 13 where there are 300.
    group_right_before: Fraction = 0.9
    group_right_after: Fraction = 0.5
    # Share of what is normal that may be taken for an alarm, for the metric `recall_at_false_alarms` of a
    # workload that has a normal label.
    false_alarm_rate: Fraction = 0.01


class EdgeLimits(Group):
    """The requirements for a file for phones."""

    min_agreement: Fraction = 0.95  # least share of eval examples with the label that the SavedModel gives
    max_accuracy_drop: Fraction = 0.02  # from SavedModel to file, overall and of each class and slice
    max_size_mb: float = Field(5.0, gt=0, le=10_000)  # in 10^6 bytes
    max_latency_ms: float = Field(50.0, gt=0, le=60_000)  # median of one example here, in one thread
    # Eval examples, raw inputs included, that go with each bundle for those who build on it; 0: none leave
    # the house, and preprocessing.json is held against the training all the same.
    golden_examples: int = Field(20, ge=0, le=200)
