"""Whether a window of data may be trained on: each rule finds, and the settings say what a finding does."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gates.numbers import beside
from gates.settings import GateRule, GateSettings
from records.data_checks import Anomaly, Drift
from records.ingest import Ingest, Span, Twins
from records.verdict import Verdict

_LABEL = "label"


@dataclass(frozen=True)
class Finding:
    """What a rule found: a sentence, and the span and the feature that it names, where it names one."""

    rule: GateRule
    sentence: str
    span: str | None = None
    feature: str | None = None


def spans_to_judge(contents: Mapping[str, str], production: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Returns the names of the spans of a window that no run judged that led to production, and the newest.

    `contents` are digests by name, oldest span first. `production` is `data` of the manifest in production:
    its spans passed the gate, if they had the same content. None where nothing is in production.
    """
    of = production or {"spans": {}}
    if "spans" in of:
        fresh = [name for name, content in contents.items() if of["spans"].get(name) != content]
    else:  # an older manifest has their numbers alone
        fresh = [name for name in contents if not of["first_span"] <= int(name[-5:]) <= of["last_span"]]
    return tuple(dict.fromkeys((*fresh, *list(contents)[-1:])))


def judge(
    ingest: Ingest,
    anomalies: Iterable[Anomaly],
    drifts: Iterable[Drift],
    settings: GateSettings,
    twins: Twins | None = None,
    judged: Collection[str] = (),
) -> Verdict:
    """Applies the rules to what ingest, ExampleValidator and `gates.drift` found in a window.

    `twins` are those across the splits, of photos; `judged` are the names of the spans that are judged each,
    the newest where there are none, and `drifts` are theirs.
    """
    spans = [span for span in ingest.spans if span.name in judged] or [ingest.spans[-1]]
    findings = (
        *(Finding("schema", item.sentence, feature=item.feature) for item in anomalies),
        *_class_count_findings(ingest, settings.min_examples_per_class),
        *_quarantine_findings(spans, ingest.noun, settings.max_quarantine_fraction),
        *_twin_findings(twins or Twins(), ingest.noun, settings.max_twin_fraction),
        *_drift_findings(drifts, settings),
    )
    blocking = [finding for finding in findings if settings.severity[finding.rule] == "block"]
    warnings = tuple(f.sentence for f in findings if settings.severity[f.rule] == "warn")
    if not blocking:
        accepted, rows = (sum(span.accepted for span in spans), sum(span.rows for span in spans))
        names = spans[0].name if len(spans) == 1 else f"{len(spans)} spans up to {spans[-1].name}"
        passed = f"{accepted} of {rows} {ingest.noun}s of {names} were accepted."
        return Verdict("data", "pass", (passed,), warnings)
    return Verdict(
        "data",
        "fail",
        tuple(finding.sentence for finding in blocking),
        warnings,
        # What is wrong with the window, a week that was not judged before made so.
        spans=tuple(dict.fromkeys(f.span or spans[-1].name for f in blocking)),
        features=tuple(dict.fromkeys(f.feature for f in blocking if f.feature is not None)),
    )


def _class_count_findings(ingest: Ingest, least: int) -> Iterator[Finding]:
    for label, found in ingest.classes.items():
        if found < least:
            text = f"Class {label} has {found} {ingest.noun}s in the window; at least {least} required."
            yield Finding("class_count", text, feature=_LABEL)
    for label in ingest.untrained:
        text = (
            f"All {ingest.classes[label]} {ingest.noun}s of class {label} are in eval: nothing learns it."
            " More of its sessions help, or another data.eval_fraction."
        )
        yield Finding("class_count", text, feature=_LABEL)


def _quarantine_findings(spans: Sequence[Span], noun: str, most: float) -> Iterator[Finding]:
    for span in spans:
        if span.rows and span.quarantined / span.rows > most:
            by_reason = ", ".join(f"{count} {reason}" for reason, count in span.rejected.items())
            share, allowed = beside(span.quarantined / span.rows, most, 1, "%")
            text = (
                f"{span.quarantined} of {span.rows} {noun}s of {span.name} were quarantined"
                f" ({share}; at most {allowed} allowed): {by_reason}."
            )
            yield Finding("quarantine", text, span.name)


def _twin_findings(twins: Twins, noun: str, most: float) -> Iterator[Finding]:
    if twins.share > most:
        flattered, allowed = beside(twins.share, most, 1, "%")
        text = (
            f"{len(twins.found)} of {twins.compared} eval {noun}s{twins.sample} have a near twin in train"
            f" ({flattered}; at most {allowed} allowed): {twins.examples}. They flatter"
            f" the model, which is judged without them: import the {noun}s into a new data folder, which"
            " keeps together what shows the same, or give those that belong together one session_id in"
            " labels.csv."
        )
        yield Finding("twins", text)


def _drift_findings(drifts: Iterable[Drift], settings: GateSettings) -> Iterator[Finding]:
    """What is gone from a feature or new in it, and distances beyond those that the schema allows."""
    for drift in drifts:
        where = f"{drift.feature} of {drift.span}"
        if drift.gone:
            text = f"{where} has no {', '.join(drift.gone)}, which the spans that it was held against have."
            yield Finding("missing_value", text, drift.span, drift.feature)
        most = drift.expected_unseen + settings.max_unknown_token_fraction
        if drift.unseen > most:
            unseen, allowed = beside(drift.unseen, round(most, 3), 1, "%")
            text = (
                f"{unseen} of {where} are in no span that it was held against (at most {allowed}"
                f" allowed), most often {', '.join(drift.new)}."
            )
            yield Finding("unknown_tokens", text, drift.span, drift.feature)
        if drift.distance > drift.threshold:
            large = min(settings.large_drift_factor * drift.threshold, (1 + drift.threshold) / 2)
            rule: GateRule = "large_drift" if drift.distance > large else "drift"
            distance, allowed = beside(drift.distance, drift.threshold)
            text = (
                f"{where} is {distance} away from the spans that it was held against (at most"
                f" {allowed} allowed): {drift.before} there, {drift.now} here."
            )
            yield Finding("label_shift" if drift.feature == _LABEL else rule, text, drift.span, drift.feature)
