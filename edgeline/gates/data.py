"""The data gate: rules that judge a window of data; the settings say whether a finding blocks or warns."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import GateRule, GateSettings
from edgeline.labels import format_count
from edgeline.records.ingest import Ingest, Span, Twins
from edgeline.records.served import Served
from edgeline.records.verdict import Anomaly, Drift, Finding, Verdict, join_findings

# A rule, and what it found.
_Findings = Iterator[tuple[GateRule, Finding]]


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


def judge(
    ingest: Ingest,
    anomalies: Iterable[Anomaly],
    drifts: Iterable[Drift],
    settings: GateSettings,
    twins: Twins | None = None,
    judged: Collection[str] = (),
    served: Served | None = None,
) -> Verdict:
    """Applies the rules to the findings of ingest, ExampleValidator and `edgeline.gates.drift` in a window.

    `twins` are near twins across the splits, of photos only. `judged` are the names of the spans to judge,
    the newest span if empty; `drifts` belong to these spans. `served` is what phones answered.
    """
    spans = [span for span in ingest.spans if span.name in judged] or [ingest.spans[-1]]
    findings = (
        *(_lift("schema", item.sentence, item.spans, item.feature) for item in anomalies),
        *_check_class_counts(ingest, settings.min_examples_per_class),
        *_check_rows(spans, ingest.noun, settings.max_quarantine_fraction),
        *_check_twins(twins or Twins(), ingest.noun, settings.max_twin_fraction),
        *_check_drift(drifts, settings),
        *(_lift("served", warning) for warning in (served.warnings if served else ())),
    )
    by_severity: dict[str, list[Finding]] = {"block": [], "warn": [], "off": []}
    for rule, finding in findings:
        by_severity[settings.severity[rule]].append(finding)
    warnings = join_findings(by_severity["warn"])
    if by_severity["block"]:
        return Verdict.fail("data", by_severity["block"], warnings)
    rows, rejected = (sum(span.rows for span in spans), sum(span.quarantined for span in spans))
    names = spans[0].name if len(spans) == 1 else f"{len(spans)} spans up to {spans[-1].name}"
    passed = f"{rows - rejected:,} of {format_count(rows, ingest.noun)} of {names} were accepted."
    return Verdict("data", "pass", (passed,), warnings)


def _lift(
    rule: GateRule, sentence: str, spans: tuple[str, ...] = (), feature: str = "", short: str = ""
) -> tuple[GateRule, Finding]:
    """Returns a finding of a rule that only its severity turns off.

    A finding about the whole window is put down to no span: without one, a class is only rarer.
    """
    lifted_by = f"gate.severity.{rule}=warn"
    return rule, Finding(sentence, lifted_by, spans=spans, feature=feature, short=short)


def _check_class_counts(ingest: Ingest, least: int) -> _Findings:
    for label, count in ingest.classes.items():
        if count < least:
            examples = format_count(count, ingest.noun)
            text = f"Class {label} has {examples} in the window; at least {least} required."
            if not count:
                text += " If it was a mistake, remove its value from the curated schema."
            lifted_by, short = "gate.min_examples_per_class=0", f"{label} ({count})"
            yield "class_count", Finding(text, lifted_by, slice=f"class {label}", short=short)
    for label in ingest.untrained:
        text = (
            f"All {ingest.classes[label]} {ingest.noun}s of class {label} are in eval, so the model cannot"
            " learn it. Add sessions of the class, or change data.eval_fraction."
        )
        rule, finding = _lift("class_count", text)
        yield rule, replace(finding, slice=f"class {label}", short=label)


def _check_rows(spans: Sequence[Span], noun: str, most: float) -> _Findings:
    for span in spans:
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
            yield "quarantine", Finding(text, lifted_by, spans=(span.name,), short=short)


def _check_twins(twins: Twins, noun: str, most: float) -> _Findings:
    if twins.share > most:
        share, allowed = format_with_bound(twins.share, most, 1, "%")
        text = (
            f"{len(twins.found)} of {twins.compared} eval {noun}s{twins.sample} have a near twin in train"
            f" ({share}; at most {allowed} allowed): {twins.examples}. They inflate the accuracy, so the"
            f" model is judged without them. Give {noun}s that belong together the same session_id in"
            f" labels.csv; for {noun}s that no import wrote, an import into a new data folder does so by"
            " their looks."
        )
        yield "twins", Finding(text, "gate.max_twin_fraction=1")


def _check_drift(drifts: Iterable[Drift], settings: GateSettings) -> _Findings:
    """Yields values that are gone from a feature or new in it, and distances beyond the schema's limits."""
    for drift in drifts:
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
            rule = "label_shift" if drift.feature == "label" else rule
            yield _lift(rule, text, (drift.span,), drift.feature, f"{subject} ({distance})")
