"""The evidence on a model, by which the judges of `edgeline/gates/judges.py` judge it.

Absolute bounds are judged out of fold where the Trainer gave such answers, since these cover all groups of
the window, else on the eval split. Those without near twins are judged in place of those out of fold, since
folds have near twins too. The comparison with the model in production is made on the eval split, where both
answered the same examples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeline.gates.answers import Answers
from edgeline.gates.paired import estimate_interval
from edgeline.gates.settings import EvaluationSettings, GateSettings
from edgeline.labels import format_count
from edgeline.records.evaluation import Metrics, PhotoDrift
from edgeline.records.served import PushedVersion, Served, Skew

# A figure of fewer groups than this may not hold for others: the differences between groups decide.
FEW_GROUPS = 10
EVAL, OUT_OF_FOLD = "eval examples", "out-of-fold examples"
_WITHOUT_TWINS = "eval examples without a near twin in train"


@dataclass(frozen=True)
class Measured:
    """Metrics with the answers that they were measured on."""

    metrics: Metrics
    answers: Answers
    examples: str  # what a message calls them
    false_alarm_rate: float

    def describe(self, kind: str = "overall", name: str = "all", metric: str = "accuracy") -> str:
        """Describes the basis of a figure: `780 eval examples of 4 machines (95 % CI 0.740 to 0.970)`.

        Args:
            kind: The kind of slice that the figure is of, such as `class`.
            name: The slice of this kind.
            metric: The figure's metric; the interval is its own.
        """
        number = read_value(self.metrics.candidate[kind][name], "example_count")
        text = f"{number:,.0f} {self.examples}"
        groups, low, high = estimate_interval(self.answers, kind, name, metric, self.false_alarm_rate)
        if self.answers.grouped:
            few = "only " if groups < FEW_GROUPS else ""
            text += f" of {few}{format_count(groups, self.metrics.group)}"
        text += ", of the same places as in training" if self.answers.has_made_sessions else ""
        return f"{text} ({f'95 % CI {low:.3f} to {high:.3f}' if groups > 1 else 'too few for an interval'})"


@dataclass(frozen=True)
class Evidence:
    """All that a model, or the answers of one of its files, is judged by."""

    metrics: Metrics  # of the eval split, and with fields for the other answers
    settings: EvaluationSettings
    answers: Answers  # to the eval examples
    out_of_fold: Answers | None = None  # None if the Trainer made no folds
    without_twins: Answers | None = None  # None if few eval examples have a near twin in train
    subject: str = "model"  # what a message calls what is judged
    gate: GateSettings = field(default_factory=GateSettings)
    # With too many suspect labels, a sentence each.
    bad_spans: Mapping[str, str] = field(default_factory=dict)
    photo_drift: PhotoDrift | None = None
    mismatch: str = ""  # why the model in production cannot answer these examples
    relabelled: str = ""  # which labels of the model in production are gone, in sentences
    served: Served | None = None  # what phones answered
    # Those of them that the store knows, and the version in production where it cannot answer.
    pushed: Mapping[int, PushedVersion] = field(default_factory=dict)
    skews: Sequence[Skew] = ()

    @property
    def on_eval(self) -> Measured:
        """Returns the metrics and answers on the eval split."""
        return Measured(self.metrics, self.answers, EVAL, self.settings.false_alarm_rate)

    @property
    def judged(self) -> Measured:
        """Returns the metrics and answers that absolute bounds are judged on."""
        rate = self.settings.false_alarm_rate
        if self.without_twins is not None and self.metrics.without_twins is not None:
            return Measured(self.metrics.without_twins, self.without_twins, _WITHOUT_TWINS, rate)
        if self.out_of_fold is not None and self.metrics.out_of_fold is not None:
            return Measured(self.metrics.out_of_fold, self.out_of_fold, OUT_OF_FOLD, rate)
        return self.on_eval


def read_value(values: Mapping[str, float | None], metric: str) -> float:
    """Returns a metric; NaN where it is None, as JSON has no NaN."""
    value = values.get(metric)
    return math.nan if value is None else value
