"""The data gate: rules that judge a window of data; the settings say whether a finding blocks or warns."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import GateRule, GateSettings
from edgeline.labels import format_count
from edgeline.records.ingest import Ingest, Span, Twins
from edgeline.records.served import Served
from edgeline.records.verdict import DRIFTED, Anomaly, Drift, Verdict


@dataclass(frozen=True)
class Finding:
    """A finding of a rule: a sentence, and the spans that it comes from, and the feature or class, if any."""

    rule: GateRule
    sentence: str
    spans: tuple[str, ...] = ()
    feature: str | None = None
    label: str | None = None  # of the class


def select_spans(contents: Mapping[str, str], production: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the names of the spans to judge: the newest, and those that are not part of production.

    Both have digests by name, `contents` oldest span first. The spans of the release in production passed the
    gate if they had the same content.
    """
    fresh = [name for name, content in contents.items() if production.get(name) != content]
    return tuple(dict.fromkeys((*fresh, *list(contents)[-1:])))


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
        *(Finding("schema", item.sentence, item.spans, item.feature or None) for item in anomalies),
        *_check_class_counts(ingest, settings.min_examples_per_class),
        *_check_rows(spans, ingest.noun, settings.max_quarantine_fraction),
        *_check_twins(twins or Twins(), ingest.noun, settings.max_twin_fraction),
        *_check_drift(drifts, settings),
        *(Finding("served", warning) for warning in (served.warnings if served else ())),
    )
    blocking = [finding for finding in findings if settings.severity[finding.rule] == "block"]
    warnings = tuple(f.sentence for f in findings if settings.severity[f.rule] == "warn")
    if not blocking:
        rows, rejected = (sum(span.rows for span in spans), sum(span.quarantined for span in spans))
        names = spans[0].name if len(spans) == 1 else f"{len(spans)} spans up to {spans[-1].name}"
        passed = f"{rows - rejected:,} of {format_count(rows, ingest.noun)} of {names} were accepted."
        return Verdict("data", "pass", (passed,), warnings)
    return Verdict(
        "data",
        "fail",
        tuple(finding.sentence for finding in blocking),
        warnings,
        # A finding about the whole window is put down to no span: without one, a class is only rarer.
        spans=tuple(dict.fromkeys(span for finding in blocking for span in finding.spans)),
        features=tuple(dict.fromkeys(f.feature for f in blocking if f.feature is not None)),
        slices=tuple(f"class {f.label}" for f in blocking if f.label is not None),
    )


def _check_class_counts(ingest: Ingest, least: int) -> Iterator[Finding]:
    for label, count in ingest.classes.items():
        if count < least:
            examples = format_count(count, ingest.noun)
            text = f"Class {label} has {examples} in the window; at least {least} required."
            if not count:
                text += " If it was a mistake, remove its value from the curated schema."
            yield Finding("class_count", text, label=label)
    for label in ingest.untrained:
        text = (
            f"All {ingest.classes[label]} {ingest.noun}s of class {label} are in eval, so the model cannot"
            " learn it. Add sessions of the class, or change data.eval_fraction."
        )
        yield Finding("class_count", text, label=label)


def _check_rows(spans: Sequence[Span], noun: str, most: float) -> Iterator[Finding]:
    for span in spans:
        if not span.rows:
            text = f"{span.name} has no {noun}: its export failed, or there was nothing to export."
            yield Finding("empty_span", text, (span.name,))
        elif span.quarantined_share > most:
            by_reason = ", ".join(f"{count} {reason}" for reason, count in span.rejected.items())
            share, allowed = format_with_bound(span.quarantined_share, most, 1, "%")
            text = (
                f"{span.quarantined} of {span.rows} {noun}s of {span.name} were quarantined"
                f" ({share}; at most {allowed} allowed): {by_reason}."
            )
            if noun == "text" and span.rejected.get("duplicate", 0) > span.quarantined / 2:
                text += " If people write the same so often, raise gate.max_quarantine_fraction."
            yield Finding("quarantine", text, (span.name,))


def _check_twins(twins: Twins, noun: str, most: float) -> Iterator[Finding]:
    if twins.share > most:
        share, allowed = format_with_bound(twins.share, most, 1, "%")
        text = (
            f"{len(twins.found)} of {twins.compared} eval {noun}s{twins.sample} have a near twin in train"
            f" ({share}; at most {allowed} allowed): {twins.examples}. They inflate the accuracy, so the"
            f" model is judged without them. Give {noun}s that belong together the same session_id in"
            f" labels.csv; for {noun}s that no import wrote, an import into a new data folder does so by"
            " their looks."
        )
        yield Finding("twins", text)


def _check_drift(drifts: Iterable[Drift], settings: GateSettings) -> Iterator[Finding]:
    """Yields values that are gone from a feature or new in it, and distances beyond the schema's limits."""
    for drift in drifts:
        subject = f"{drift.feature} of {drift.span}"
        if drift.gone:
            text = f"{subject} lacks {', '.join(drift.gone)}, found in the spans that it was compared with."
            yield Finding("missing_value", text, (drift.span,), drift.feature)
        most = drift.expected_unseen + settings.max_unknown_token_fraction
        if drift.unseen > most:
            unseen, allowed = format_with_bound(drift.unseen, round(most, 3), 1, "%")
            text = (
                f"{unseen} of {subject} are in none of the spans that it was compared with (at most {allowed}"
                f" allowed); the most frequent are {', '.join(drift.new)}."
            )
            yield Finding("unknown_tokens", text, (drift.span,), drift.feature)
        if drift.distance > drift.threshold:
            large = min(settings.large_drift_factor * drift.threshold, (1 + drift.threshold) / 2)
            rule: GateRule = "large_drift" if drift.distance > large else "drift"
            distance, allowed = format_with_bound(drift.distance, drift.threshold)
            text = (
                f"{subject}{DRIFTED}{distance} from the spans that it was compared with (at most"
                f" {allowed} allowed): from {drift.before} to {drift.now}."
            )
            rule = "label_shift" if drift.feature == "label" else rule
            yield Finding(rule, text, (drift.span,), drift.feature)
