"""The model gate, which compares metrics with bounds: TFMA's own thresholds have no support and no reasons.

Absolute bounds are judged out of fold where the Trainer gave such answers, since these cover all groups of
the window, else on the eval split. The comparison with the model in production is made on the eval split,
where both answered the same examples; `EvaluationSettings` says what a drop and a lost group are, and
`edgeline/gates/paired.py` how they are told from noise.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from edgeline.gates.answers import ROUNDING, Answers
from edgeline.gates.classes import find_unrecognised, warn_of_small_classes
from edgeline.gates.figures import compute_metrics
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.paired import RESAMPLES, estimate_interval, estimate_no_drop, find_lost_groups
from edgeline.gates.settings import Bound, EvaluationSettings
from edgeline.gates.simple import warn_of_simple_models
from edgeline.labels import format_count, join_names
from edgeline.records.evaluation import Metrics
from edgeline.records.verdict import Finding, Verdict, join_findings

# A figure of fewer groups than this may not hold for others: the differences between groups decide.
_FEW_GROUPS = 10
_EVAL, _OUT_OF_FOLD = "eval examples", "out-of-fold examples"
_WITHOUT_TWINS = "eval examples without a near twin in train"
_WORDS = {
    "auc": "AUC",
    "f1": "F1",
    "recall_at_false_alarms": "recall of alarms at the allowed false alarm rate",
}


@dataclass(frozen=True)
class _Judged:
    """Metrics with the answers that they were measured on."""

    metrics: Metrics
    answers: Answers
    examples: str  # what a message calls them
    false_alarm_rate: float
    judged: str = "model"  # what a message calls it

    def describe(self, kind: str = "overall", name: str = "all", metric: str = "accuracy") -> str:
        """Describes the basis of a figure: `780 eval examples of 4 machines (95 % CI 0.740 to 0.970)`."""
        number = _read_value(self.metrics.candidate[kind][name], "example_count")
        text = f"{number:,.0f} {self.examples}"
        groups, low, high = estimate_interval(self.answers, kind, name, metric, self.false_alarm_rate)
        if self.answers.grouped:
            few = "only " if groups < _FEW_GROUPS else ""
            text += f" of {few}{format_count(groups, self.metrics.group)}"
        return f"{text} ({f'95 % CI {low:.3f} to {high:.3f}' if groups > 1 else 'too few for an interval'})"


def judge(
    metrics: Metrics,
    settings: EvaluationSettings,
    answers: Answers,
    out_of_fold: Answers | None = None,
    without_twins: Answers | None = None,
) -> Verdict:
    """Applies the bounds to each slice with enough examples, and looks for classes that are never recognised.

    `answers`, `out_of_fold` and `without_twins` are the answers to the examples of `metrics`, which is of the
    eval split, and of its fields of these names. Those without twins are judged in place of those out of
    fold, since folds have near twins too; without any such example, the verdict is `fail`.
    """
    on_eval = judged = _Judged(metrics, answers, _EVAL, settings.false_alarm_rate)
    if without_twins is not None:
        if metrics.without_twins is None:
            reason = (
                "Every eval example has a near twin in train, so nothing shows how good the model is on new"
                " examples."
            )
            twins = Finding(reason, "gate.severity.twins=off", "overall")
            rest = judge(metrics, settings, answers, out_of_fold)
            return Verdict.fail("evaluation", (twins, *rest.findings))
        judged = replace(
            judged, metrics=metrics.without_twins, answers=without_twins, examples=_WITHOUT_TWINS
        )
    elif metrics.out_of_fold is not None and out_of_fold is not None:
        judged = replace(judged, metrics=metrics.out_of_fold, answers=out_of_fold, examples=_OUT_OF_FOLD)
    noise: list[Finding] = []
    broken = [
        *(
            finding
            for number, bound in enumerate(settings.bounds)
            for finding in _find_absolute(number, bound, judged)
        ),
        *_find_regressions(on_eval, settings, noise),
    ]
    if settings.beat_majority:
        broken += _find_guessing(judged)
        doubtful = list(_find_doubtful_lead(judged, settings))
        if metrics.baseline is None:
            broken += doubtful
        else:
            noise = doubtful + noise
    broken += find_unrecognised(judged.metrics, settings, judged.examples, judged.examples == _OUT_OF_FOLD)
    warnings = (
        *join_findings(noise),
        *warn_of_small_classes(judged.metrics, settings),
        *warn_of_simple_models(metrics, settings),
        *_warn_of_unused_columns(metrics),
        *_warn_of_few_groups(judged),
    )
    if broken:
        return Verdict.fail("evaluation", broken, warnings)
    accuracy = _read_value(judged.metrics.candidate["overall"]["all"], "accuracy")
    summary = [f"Accuracy {accuracy:.3f} on {judged.describe()}; every bound holds."]
    if judged is not on_eval:
        whole = _read_value(metrics.candidate["overall"]["all"], "accuracy")
        summary.append(f"The model itself has an accuracy of {whole:.3f} on {on_eval.describe()}.")
    if metrics.baseline is None:
        none = "Nothing was in production before this model, so there was no baseline to compare it with."
        if version := metrics.baseline_version:
            none = (
                f"Version {version} in production cannot answer these examples, so there was no comparison."
            )
        return Verdict("evaluation", "no_baseline", (*summary, none), warnings)
    before = _read_value(metrics.baseline["overall"]["all"], "accuracy")
    production = f"The model in production had an accuracy of {before:.3f} on the same eval examples."
    return Verdict("evaluation", "pass", (*summary, production), warnings)


def judge_file(answers: Answers, settings: EvaluationSettings, group: str) -> Verdict:
    """Compares the answers of an edge file with those of the file in production, which are the baseline.

    The drops and lost groups are those of `judge`; `group` is what a group is called.
    """
    assert answers.baseline is not None
    rate = settings.false_alarm_rate
    production = compute_metrics(replace(answers, candidate=answers.baseline), group, rate)
    metrics = replace(compute_metrics(answers, group, rate), baseline=production.candidate)
    noise: list[Finding] = []
    findings = list(_find_regressions(_Judged(metrics, answers, _EVAL, rate, "file"), settings, noise))
    warnings = join_findings(noise)
    return Verdict.fail("edge", findings, warnings) if findings else Verdict("edge", "pass", (), warnings)


def _find_regressions(
    on_eval: _Judged, settings: EvaluationSettings, noise: list[Finding]
) -> Iterator[Finding]:
    """Yields the findings of the comparison with production; those that may be noise go to `noise`."""
    for number, bound in enumerate(settings.bounds):
        yield from _find_drops(number, bound, on_eval, settings, noise)
    if settings.group_right_after is not None:
        yield from _find_lost_groups(on_eval, settings, settings.group_right_after)


def _find_guessing(judged: _Judged) -> Iterator[Finding]:
    """Yields a finding if the model is no better than always predicting the most frequent class."""
    label, accuracy, share = _measure_majority(judged)
    # "Not above" is not "below", here and further down: an accuracy that is not a number passes nothing.
    if not accuracy > share + ROUNDING:
        shown, required = format_with_bound(accuracy, share)
        reason = (
            f"Overall accuracy {shown} does not beat the majority class: always predicting {label} is right"
            f" for {required} of the {judged.examples}."
        )
        yield Finding(reason, "evaluation.beat_majority=false", "overall")


def _find_doubtful_lead(judged: _Judged, settings: EvaluationSettings) -> Iterator[Finding]:
    """Yields a finding if chance may be why the model beats always predicting the most frequent class."""
    (label, accuracy, share), answers = _measure_majority(judged), judged.answers
    if not accuracy > share + ROUNDING:
        return
    always = np.zeros_like(answers.candidate)
    always[:, answers.classes.index(label)] = 1
    both = replace(answers, candidate=always, baseline=answers.candidate)
    as_good = max(estimate_no_drop(both, "overall", "all", "accuracy", settings.false_alarm_rate))
    if as_good >= 1 - settings.confidence:
        reason = (
            f"Overall accuracy {accuracy:.3f} on {judged.describe()} beats the majority class by no more than"
            f" noise: always predicting {label} is right for {share:.3f}, and as good as the model in"
            f" {100 * as_good:.1f} % of {RESAMPLES:,} resamples. The model may have learned nothing: add"
            " examples."
        )
        yield Finding(reason, "evaluation.beat_majority=false", "overall")


def _measure_majority(judged: _Judged) -> tuple[str, float, float]:
    """Returns the most frequent class, the model's accuracy, and that of always predicting the class."""
    candidate = judged.metrics.candidate
    counts = {label: _read_value(values, "example_count") for label, values in candidate["class"].items()}
    label, overall = max(counts, key=counts.__getitem__), candidate["overall"]["all"]
    return label, _read_value(overall, "accuracy"), counts[label] / _read_value(overall, "example_count")


def _warn_of_unused_columns(metrics: Metrics) -> Iterator[str]:
    unused = [item.column for item in metrics.importance if item.largest_change < ROUNDING]
    if unused:
        them, are_they = ("it", "Is it") if len(unused) == 1 else ("each", "Are they")
        yield (
            f"The network makes no use of {join_names(sorted(unused))}: shuffling {them} changes no"
            f" probability. {are_they} constant, or filled in wrongly?"
        )


def _warn_of_few_groups(judged: _Judged) -> Iterator[str]:
    number = len(np.unique(judged.answers.groups))
    if judged.answers.grouped and number < _FEW_GROUPS:
        group = judged.metrics.group
        # Those without near twins are judged, whether or not there are answers out of fold.
        folds = f" or set trainer.folds=5 to judge on all {group}s" if judged.examples == _EVAL else ""
        yield (
            f"Judged on only {format_count(number, group)}: the result may not hold for other {group}s."
            f" At least {_FEW_GROUPS} are needed: add data{folds}."
        )


def _list_slices(
    bound: Bound, metrics: Metrics
) -> Iterator[tuple[str, str, str, Mapping[str, float | None]]]:
    """Yields the slices of a bound: name, name in a verdict, metric in words, and metrics of the slice."""
    kind, metric = bound.slice, bound.metric
    # The accuracy on the examples of one class is its recall.
    words = "recall" if (kind, metric) == ("class", "accuracy") else _WORDS.get(metric, metric)
    for name, values in metrics.candidate.get(kind, {}).items():
        if _read_value(values, "example_count") >= bound.min_support and metric in values:
            slice_name = kind if kind == "overall" else f"{kind} {name}"
            subject = words if kind == "overall" else f"{words} of {slice_name}"
            yield name, slice_name, f"{subject[0].upper()}{subject[1:]}", values


def _find_absolute(number: int, bound: Bound, judged: _Judged) -> Iterator[Finding]:
    """Yields a finding for each slice that is below or above what the bound allows."""
    for name, slice_name, subject, values in _list_slices(bound, judged.metrics):
        value = _read_value(values, bound.metric)
        describe = partial(judged.describe, bound.slice, name, bound.metric)
        if bound.lower is not None and not value >= bound.lower - ROUNDING:
            shown, limit = format_with_bound(value, bound.lower)
            text = f"{subject} is {shown} on {describe()}; at least {limit} required."
            yield Finding(text, _name_limit(number, "lower"), slice_name, f"{name} ({shown})")
        if bound.upper is not None and not value <= bound.upper + ROUNDING:
            shown, limit = format_with_bound(value, bound.upper)
            text = f"{subject} is {shown} on {describe()}; at most {limit} allowed."
            yield Finding(text, _name_limit(number, "upper"), slice_name, f"{name} ({shown})")


def _name_limit(number: int, limit: str) -> str:
    return f"evaluation.bounds[{number}].{limit}=null"


def _find_drops(
    number: int, bound: Bound, on_eval: _Judged, settings: EvaluationSettings, noise: list[Finding]
) -> Iterator[Finding]:
    """Yields a finding for each slice on which the model is worse than production by more than allowed.

    Those that may be noise are appended to `noise` in its place, and hold no model back.
    """
    kind, metric, most = bound.slice, bound.metric, bound.max_drop
    before = (on_eval.metrics.baseline or {}).get(kind, {})
    if most is None:
        return
    slices = [item for item in _list_slices(bound, on_eval.metrics) if metric in before.get(item[0], {})]
    # Each slice of each bound may find a drop by chance: together they may do so no more often than one.
    bounds = sum(other.max_drop is not None for other in settings.bounds)
    chance = (1 - settings.confidence) / bounds / max(len(slices), 1)
    for name, slice_name, subject, values in slices:
        value, old = _read_value(values, metric), _read_value(before[name], metric)
        worse, side = (value - old, "above") if metric == "loss" else (old - value, "below")
        # Any number is better than the NaN of a broken production model.
        if worse <= most + ROUNDING or (math.isnan(old) and not math.isnan(value)):
            continue
        drop, limit = format_with_bound(worse, most)
        basis = on_eval.describe(kind, name, metric)
        production = f"the {on_eval.judged} in production ({old:.3f})"
        text = f"{subject} is {value:.3f} on {basis}, {drop} {side} {production};"
        finding = Finding(
            f"{text} at most {limit} allowed.",
            _name_limit(number, "max_drop"),
            slice_name,
            f"{name} ({value:.3f}, {old:.3f} in production)",
        )
        if math.isnan(worse):
            yield finding
            continue
        shares = estimate_no_drop(on_eval.answers, kind, name, metric, settings.false_alarm_rate)
        share = max(shares)  # of the resamples without a drop
        if share < chance:
            evidence = f"The drop is real: only {100 * share:.1f} % of {RESAMPLES:,} resamples show no drop."
        elif shares.examples < chance and worse > settings.large_drop * most + ROUNDING:
            evidence = (
                f"{100 * shares.groups:.1f} % of {RESAMPLES:,} resamples of {on_eval.metrics.group}s show no"
                f" drop, and {100 * shares.examples:.1f} % of those of examples: a drop of more than"
                f" {settings.large_drop:g} times the limit fails even if only a few"
                f" {on_eval.metrics.group}s cause it."
            )
        else:
            evidence = f"within noise: {100 * share:.1f} % of {RESAMPLES:,} resamples show no drop."
            noise.append(replace(finding, sentence=f"{text} {evidence}"))
            continue
        yield replace(finding, sentence=f"{finding.sentence} {evidence}")


def _find_lost_groups(
    on_eval: _Judged, settings: EvaluationSettings, right_after: float
) -> Iterator[Finding]:
    """Yields a finding for each group that the model in production answers right and this one does not."""
    answers = on_eval.answers
    if answers.baseline is None:
        return
    limits = settings.group_right_before, right_after, 1 - settings.confidence
    for number, size, right_before, right_now in find_lost_groups(answers, *limits):
        name = f"{on_eval.metrics.group} {answers.group_names[number]}"
        yield Finding(
            f"{name[0].upper()}{name[1:]} is lost: the {on_eval.judged} in production was right on"
            f" {right_before:,} of its {size:,} eval examples, and this {on_eval.judged} on {right_now:,}.",
            "evaluation.group_right_after=null",
            name,
            f"{answers.group_names[number]} ({right_now:,} of {size:,}, {right_before:,} in production)",
        )


def _read_value(values: Mapping[str, float | None], metric: str) -> float:
    """Returns a metric; NaN where it is None, as JSON has no NaN."""
    value = values.get(metric)
    return math.nan if value is None else value
