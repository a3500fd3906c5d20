"""The data gate: rules that judge a window of data; the settings say whether a finding blocks or warns."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import cast

from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import GateRule, GateSettings
from edgeline.labels import format_count, join_names
from edgeline.records.ingest import BrokenRule, Ingest, Span, Twins
from edgeline.records.served import Served
from edgeline.records.verdict import Anomaly, Drift, Finding, Shift, Verdict

# The median of fewer spans says little: the first may be years in one.
_LEAST_BEFORE = 3


@dataclass(frozen=True)
class Week:
    """All that a window of data is judged by."""

    ingest: Ingest
    settings: GateSettings
    judged: Collection[str] = ()  # names of the spans to judge; the newest span if empty
    anomalies: Iterable[Anomaly] = ()  # of ExampleValidator
    drifts: Iterable[Drift] = ()  # of the spans to judge
    twins: Twins | None = None  # near twins across the splits, of photos only
    served: Served | None = None  # what phones answered
    broken: Sequence[BrokenRule] = ()  # rules of the workload's own, in all spans
    shifts: Sequence[Shift] = ()  # of the spans to judge

    @property
    def spans(self) -> Sequence[Span]:
        """Returns the spans to judge."""
        return [span for span in self.ingest.spans if span.name in self.judged] or [self.ingest.spans[-1]]


def select_spans(contents: Mapping[str, str], production: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the names of the spans to judge: the newest, and those that are not part of production.

    Both have digests by name, `contents` oldest span first. The spans of the release in production passed the
    gate if they had the same content. In a window that ends before the release's, spans older than all of the
    release are not new either.
    """
    newest = list(contents)[-1:]
    oldest = min(production) if newest and production and max(production) > newest[0] else ""
    fresh = [name for name, content in contents.items() if name >= oldest and production.get(name) != content]
    return tuple(dict.fromkeys((*fresh, *newest)))


def judge_data(week: Week) -> Verdict:
    """Applies the rules to a window."""
    findings = []
    for rule in RULES:
        for finding in rule(week):
            severity = week.settings.severity[cast(GateRule, finding.code)]
            # A rule of the workload's own has a severity, which the settings may lower.
            keeps_own = finding.code == "rule" and severity == "block"
            if severity != "off":
                findings.append(finding if keeps_own else replace(finding, severity=severity))
    return Verdict.of("data", findings, lambda: [_count_accepted(week)])


def _count_accepted(week: Week) -> str:
    spans = week.spans
    rows, rejected = sum(span.rows for span in spans), sum(span.quarantined for span in spans)
    names = spans[0].name if len(spans) == 1 else f"{len(spans)} spans up to {spans[-1].name}"
    return f"{rows - rejected:,} of {format_count(rows, week.ingest.noun)} of {names} were accepted."


def _lift(
    rule: GateRule, sentence: str, spans: tuple[str, ...] = (), feature: str = "", short: str = ""
) -> Finding:
    """Returns a finding of a rule that only its severity turns off.

    A finding about the whole window is put down to no span: without one, a class is only rarer.
    """
    lifted_by = f"gate.severity.{rule}=warn"
    return Finding(sentence, lifted_by, spans=spans, feature=feature, short=short, code=rule)


def check_schema(week: Week) -> Iterator[Finding]:
    """Yields what breaks the curated schema."""
    for item in week.anomalies:
        yield _lift("schema", item.sentence, item.spans, item.feature)


def check_class_counts(week: Week) -> Iterator[Finding]:
    """Yields the classes with too few examples in the window, and those that are in eval alone."""
    ingest, least = week.ingest, week.settings.min_examples_per_class
    for label, count in ingest.classes.items():
        if count < least:
            examples = format_count(count, ingest.noun)
            text = f"Class {label} has {examples} in the window; at least {least} required."
            if not count:
                text += " If it was a mistake, remove its value from the curated schema."
            lifted_by, short = "gate.min_examples_per_class=0", f"{label} ({count})"
            yield Finding(text, lifted_by, slice=f"class {label}", short=short, code="class_count")
    for label in ingest.untrained:
        text = (
            f"All {ingest.classes[label]} {ingest.noun}s of class {label} are in eval, so the model cannot"
            " learn it. Add sessions of the class, or change data.eval_fraction."
        )
        yield replace(_lift("class_count", text), slice=f"class {label}", short=label)


def check_rows(week: Week) -> Iterator[Finding]:
    """Yields the spans without examples, and those with too many in quarantine."""
    noun, most = week.ingest.noun, week.settings.max_quarantine_fraction
    for span in week.spans:
        if not span.rows:
            text = f"{span.name} has no {noun}: its export failed, or there was nothing to export."
            yield _lift("empty_span", text, (span.name,), short=span.name)
        elif span.quarantined_share > most:
            by_reason = ", ".join(f"{count} {reason}" for reason, count in span.rejected.items())
            share, allowed = format_with_bound(span.quarantined_share, most, 1, "%")
            text = (
                f"{span.quarantined} of {span.rows} {noun}s of {span.name} were quarantined"
                f" ({share}; at most {allowed} allowed): {by_reason}."
            )
            if noun == "text" and span.rejected.get("duplicate", 0) > span.quarantined / 2:
                text += " If people write the same so often, raise gate.max_quarantine_fraction."
            lifted_by, short = "gate.max_quarantine_fraction=1", f"{span.name} ({share})"
            yield Finding(text, lifted_by, spans=(span.name,), short=short, code="quarantine")


def check_row_count(week: Week) -> Iterator[Finding]:
    """Yields the spans with far more or far fewer rows than those before them."""
    noun, most = week.ingest.noun, week.settings.max_row_factor
    for span in week.spans:
        before = [other.rows for other in week.ingest.spans if other.number < span.number and other.rows]
        if len(before) < _LEAST_BEFORE or not span.rows:
            continue
        usual = median(before)
        factor = max(span.rows / usual, usual / span.rows)
        if factor >= most:
            side = "fewer" if span.rows < usual else "more"
            text = (
                f"{span.name} has {format_count(span.rows, noun)}, {factor:.1f} times {side} than usual"
                f" (the median of the spans before is {usual:,.0f}; below {most:g} times is allowed). Was it"
                " exported whole, and once?"
            )
            yield _lift("row_count", text, (span.name,), short=f"{span.name} ({span.rows:,})")


def check_own_rules(week: Week) -> Iterator[Finding]:
    """Yields the rules of the workload's own that the spans broke."""
    names = {span.name for span in week.spans}
    nouns = f"{week.ingest.noun}s"
    for item in week.broken:
        if item.span not in names:
            continue
        text = f"{item.span} is against the rule `{item.rule}`: it has {item.rows:,} {nouns}."
        if item.broken:
            more = ", and others" if item.broken > len(item.examples) else ""
            text = (
                f"{item.broken:,} of {item.rows:,} {nouns} of {item.span} are against the rule `{item.rule}`:"
                f" {', '.join(item.examples)}{more}."
            )
        numbers = {"rows": item.rows, "broken": item.broken}
        short = f"{item.span} ({item.broken:,} of {item.rows:,})"
        yield replace(_lift("rule", text, (item.span,), short=short), severity=item.severity, numbers=numbers)


def check_twins(week: Week) -> Iterator[Finding]:
    """Yields a finding if too many eval photos have a near twin in train."""
    twins, noun, most = week.twins, week.ingest.noun, week.settings.max_twin_fraction
    if twins is not None and twins.share > most:
        share, allowed = format_with_bound(twins.share, most, 1, "%")
        text = (
            f"{len(twins.found)} of {twins.compared} eval {noun}s{twins.sample} have a near twin in train"
            f" ({share}; at most {allowed} allowed): {twins.examples}. They inflate the accuracy, so the"
            f" model is judged without them. Give {noun}s that belong together the same session_id in"
            f" labels.csv; for {noun}s that no import wrote, an import into a new data folder does so by"
            " their looks."
        )
        yield Finding(text, "gate.max_twin_fraction=1", code="twins")


def check_drift(week: Week) -> Iterator[Finding]:
    """Yields values that are gone from a feature or new in it, and distances beyond the schema's limits."""
    settings = week.settings
    for drift in week.drifts:
        subject = f"{drift.feature} of {drift.span}"
        if drift.gone:
            text = f"{subject} lacks {', '.join(drift.gone)}, found in the spans that it was compared with."
            yield _lift("missing_value", text, (drift.span,), drift.feature, subject)

        most = drift.expected_unseen + settings.max_unknown_token_fraction
        if drift.unseen > most:
            unseen, allowed = format_with_bound(drift.unseen, round(most, 3), 1, "%")
            text = (
                f"{unseen} of {subject} are in none of the spans that it was compared with (at most {allowed}"
                f" allowed); the most frequent are {', '.join(drift.new)}."
            )
            yield _lift("unknown_tokens", text, (drift.span,), drift.feature, f"{subject} ({unseen})")

        if drift.distance > drift.threshold:
            large = min(settings.large_drift_factor * drift.threshold, (1 + drift.threshold) / 2)
            rule: GateRule = "large_drift" if drift.distance > large else "drift"
            distance, allowed = format_with_bound(drift.distance, drift.threshold)
            text = (
                f"{subject} has drifted by {distance} from the spans that it was compared with (at most"
                f" {allowed} allowed): from {drift.before} to {drift.now}."
            )
            if drift.turned_constant:
                text += " It is the same in all examples."
            rule = "label_shift" if drift.feature == "label" else rule
            yield _lift(rule, text, (drift.span,), drift.feature, f"{subject} ({distance})")


def check_shifts(week: Week) -> Iterator[Finding]:
    """Yields the columns that are constant, swapped places, or go together otherwise than before."""
    drifted = {(drift.span, drift.feature) for drift in week.drifts if drift.distance > drift.threshold}
    for drift in week.drifts:
        if drift.turned_constant and (drift.span, drift.feature) not in drifted:
            subject = f"{drift.feature} of {drift.span}"
            text = f"{subject} is the same in all examples ({drift.now}); before, it was {drift.before}."
            yield _lift("constant", text, (drift.span,), drift.feature, subject)

    for shift in week.shifts:
        columns = join_names(shift.columns)
        if shift.kind == "swapped":
            text = (
                f"{' and '.join(shift.columns)} of {shift.span} have swapped places: each is distributed as"
                " the other was in the spans before."
            )
            yield _lift("swapped", text, (shift.span,), shift.columns[0], f"{columns} of {shift.span}")
        # A column that drifted alone is named already.
        elif not any((shift.span, column) in drifted for column in shift.columns):
            text = (
                f"{columns} of {shift.span} no longer go together with the other columns as in the spans"
                f" before, though each alone does not differ much: told from them, {shift.columns[0]} is off"
                f" {shift.factor:.1f} times as far as ever before. Were rows joined by another key?"
            )
            yield _lift("joint_drift", text, (shift.span,), shift.columns[0], f"{columns} of {shift.span}")


def check_served(week: Week) -> Iterator[Finding]:
    """Yields what is wrong with the answers of phones that came with the window."""
    warnings = week.served.warnings if week.served else ()
    for warning in warnings:
        yield _lift("served", warning)


# In the order of their sentences; each finding's `code` is the rule whose severity the settings name.
RULES: list[Callable[[Week], Iterator[Finding]]] = [
    check_schema,
    check_class_counts,
    check_rows,
    check_row_count,
    check_own_rules,
    check_twins,
    check_drift,
    check_shifts,
    check_served,
]
