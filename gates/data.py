"""Whether a window of data may be trained on: each rule finds, and the settings say what a finding does."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gates.numbers import beside
from gates.settings import GateRule, GateSettings
from records.data_checks import Anomaly, Drift
from records.ingest import Ingest, Twins
from records.verdict import Verdict

_LABEL = "label"


@dataclass(frozen=True)
class Finding:
    """What a rule found: a sentence, and the span and the feature that it names, where it names one."""

    rule: GateRule
    sentence: str
    span: str | None = None
    feature: str | None = None


def judge(
    ingest: Ingest,
    anomalies: Iterable[Anomaly],
    drifts: Iterable[Drift],
    settings: GateSettings,
    twins: Twins | None = None,
) -> Verdict:
    """Applies the rules to what ingest, ExampleValidator and `gates.drift` found in a window.

    `twins` are those across the splits, of photos.
    """
    newest = ingest.spans[-1]
    findings = (
        *(Finding("schema", item.sentence, feature=item.feature) for item in anomalies),
        *_class_count_findings(ingest, settings.min_examples_per_class),
        *_quarantine_findings(ingest, settings.max_quarantine_fraction),
        *_twin_findings(twins or Twins(), ingest.noun, settings.max_twin_fraction),
        *_drift_findings(drifts, newest.name, settings.max_unknown_token_fraction),
    )
    blocking = [finding for finding in findings if settings.severity[finding.rule] == "block"]
    warnings = tuple(f.sentence for f in findings if settings.severity[f.rule] == "warn")
    if not blocking:
        passed = f"{newest.accepted} of {newest.rows} {ingest.noun}s of {newest.name} were accepted."
        return Verdict("data", "pass", (passed,), warnings)
    return Verdict(
        "data",
        "fail",
        tuple(finding.sentence for finding in blocking),
        warnings,
        # Every week before the newest was judged when it came.
        spans=tuple(dict.fromkeys(f.span or newest.name for f in blocking)),
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


def _quarantine_findings(ingest: Ingest, most: float) -> Iterator[Finding]:
    newest = ingest.spans[-1]
    if newest.rows and newest.quarantined / newest.rows > most:
        by_reason = ", ".join(f"{count} {reason}" for reason, count in newest.rejected.items())
        share, allowed = beside(newest.quarantined / newest.rows, most, 1, "%")
        text = (
            f"{newest.quarantined} of {newest.rows} {ingest.noun}s of {newest.name} were quarantined"
            f" ({share}; at most {allowed} allowed): {by_reason}."
        )
        yield Finding("quarantine", text, newest.name)


def _twin_findings(twins: Twins, noun: str, most: float) -> Iterator[Finding]:
    if twins.found and (share := len(twins.found) / twins.compared) > most:
        flattered, allowed = beside(share, most, 1, "%")
        text = (
            f"{len(twins.found)} of {twins.compared} eval {noun}s{twins.sample} have a near twin in train"
            f" ({flattered}; at most {allowed} allowed): {twins.examples}. They flatter"
            f" the model: import the {noun}s into a new data folder, which keeps together what looks alike,"
            " or give those that belong together one session_id in labels.csv."
        )
        yield Finding("twins", text)


def _drift_findings(drifts: Iterable[Drift], newest: str, most_unknown: float) -> Iterator[Finding]:
    """What is gone from a feature or new in it, and distances beyond those that the schema allows."""
    for drift in drifts:
        if drift.gone:
            gone = ", ".join(drift.gone)
            text = f"{drift.feature} of the newest span has no {gone}, which the spans before it had."
            yield Finding("missing_value", text, newest, drift.feature)
        if drift.unseen > drift.expected_unseen + most_unknown:
            unseen, allowed = beside(drift.unseen, round(drift.expected_unseen + most_unknown, 3), 1, "%")
            text = (
                f"{unseen} of {drift.feature} in the newest span are in no span before it (at most"
                f" {allowed} allowed), most often {', '.join(drift.new)}."
            )
            yield Finding("unknown_tokens", text, newest, drift.feature)
        if drift.distance > drift.threshold:
            distance, allowed = beside(drift.distance, drift.threshold)
            text = (
                f"{drift.feature} of the newest span is {distance} away from the spans before it"
                f" (at most {allowed} allowed): {drift.before} before, {drift.now} now."
            )
            yield Finding("label_shift" if drift.feature == _LABEL else "drift", text, newest, drift.feature)
