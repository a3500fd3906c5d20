"""Verdicts of gates, and what they rest on: anomalies, drift, differences from the schema; and the push."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgeline.labels import join_names
from edgeline.records.json_file import JsonFile

GateName = Literal["data", "evaluation", "edge"]
# Up to this many slices or spans that one rule holds for have a sentence each.
_MOST_SENTENCES = 3


@dataclass(frozen=True)
class Finding:
    """One thing that a rule of a gate found.

    `code` names the rule, for programs. `severity` says whether it stops the run, or is a warning for a
    person. `numbers` has the figures of the sentence by name, as far as the rule has some.

    `lifted_by` is the setting of the rule with the value that turns it off, `a.b=c` as for `--set`; it is
    empty for a rule that no setting turns off. An item of a list is named by its number, as in
    `evaluation.bounds[0].lower`.
    """

    sentence: str
    lifted_by: str = ""
    slice: str = ""  # `kind name`, where it is about one
    short: str = ""  # the same as the sentence in a few words, such as `lane-07 (0.412)`
    spans: tuple[str, ...] = ()  # those that it comes from
    feature: str = ""
    file: str = ""  # the variant, where it is about a file for phones
    code: str = ""
    severity: Literal["block", "warn"] = "block"
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        """The name of the setting that decided; empty if none did."""
        return self.lifted_by.partition("=")[0]


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict; reasons and warnings are a sentence each.

    `no_baseline` passes: every bound that needs no production model to compare with was met. Spans, features
    and slices (`kind name`) are those that caused a failure.
    """

    gate: GateName
    result: Literal["pass", "fail", "no_baseline"]
    reasons: tuple[str, ...] = ()  # reasons of a failure, or the grounds of a pass
    warnings: tuple[str, ...] = ()  # for a person to look at; they block nothing
    spans: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()  # those behind the reasons of a failure and the warnings
    # True if a file fell by times alone. They depend on the machine, so no later run takes the verdict over.
    fell_by_time: bool = False

    @classmethod
    def of(
        cls,
        gate: GateName,
        findings: Iterable[Finding],
        grounds: Callable[[], Sequence[str]] = tuple,
        result: Literal["pass", "no_baseline"] = "pass",
    ) -> "Verdict":
        """Returns the sum of a gate's findings: it fails if one of them blocks.

        Args:
            gate: The name of the gate.
            findings: All that its rules found.
            grounds: Returns the sentences of a pass.
            result: The result of a pass.
        """
        found = tuple(findings)
        blocking = [finding for finding in found if finding.severity == "block"]
        warnings = join_findings(finding for finding in found if finding.severity == "warn")
        if not blocking:
            return cls(gate, result, tuple(grounds()), warnings, findings=found)
        return cls(
            gate,
            "fail",
            join_findings(blocking),
            warnings,
            spans=tuple(dict.fromkeys(span for finding in blocking for span in finding.spans)),
            features=tuple(dict.fromkeys(finding.feature for finding in blocking if finding.feature)),
            slices=tuple(dict.fromkeys(finding.slice for finding in blocking if finding.slice)),
            findings=found,
        )

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that stop the run."""
        return tuple(finding for finding in self.findings if finding.severity == "block")

    @property
    def passed(self) -> bool:
        """True if the gate lets the run go on."""
        return self.result != "fail"


def join_findings(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Returns a sentence for each finding, and one for those that say the same of several things.

    The same rule on the same slice, of the model and of its files, is one sentence that names these. The same
    rule on many slices or spans is the first one's sentence, with the others in a few words each.
    """
    by_rule: dict[tuple[str, str], dict[str, list[Finding]]] = {}
    for finding in findings:
        slices = by_rule.setdefault((finding.code, finding.lifted_by or finding.sentence), {})
        subject = finding.slice or ("" if finding.file else finding.sentence)
        slices.setdefault(subject, []).append(finding)

    sentences: list[str] = []
    for slices in by_rule.values():
        first, *others = slices.values()
        shorts = [alike[0].short for alike in others]
        if len(shorts) < _MOST_SENTENCES or not all(shorts):
            sentences += map(_name_files, slices.values())
        else:
            sentences.append(f"{_name_files(first)} Likewise: {join_names(shorts)}.")
    return tuple(sentences)


def list_reasons(failed: Sequence[Verdict]) -> tuple[str, ...]:
    """Returns the reasons of the gates that stopped a run, each once."""
    if all(verdict.blocking for verdict in failed):
        return join_findings(finding for verdict in failed for finding in verdict.blocking)
    # Those of a record from before verdicts had findings.
    return tuple(dict.fromkeys(reason for verdict in failed for reason in verdict.reasons))


def _name_files(alike: Sequence[Finding]) -> str:
    """Returns the sentence of the first finding of several that are alike, with the files that have it."""
    files = list(dict.fromkeys(finding.file for finding in alike if finding.file))
    if not files:
        return alike[0].sentence
    if alike[0].file:
        return f"{', '.join(files)}: {alike[0].sentence}"
    return f"{alike[0].sentence} So it is with its files: {', '.join(files)}."


VERDICT = JsonFile[Verdict]("verdict.json", Verdict)
SERVED_SLICE = "served "  # begins the name of a slice of what phones answered


@dataclass(frozen=True)
class EndedCanary:
    """A canary that a run ended: it promoted the candidate, or withdrew it."""

    action: Literal["promote", "rollback"]
    from_version: int
    to_version: int
    why: str

    @property
    def sentence(self) -> str:
        """The change in words."""
        versions = f"from version {self.from_version} to {self.to_version}"
        return f"This run ended a canary, {self.action} {versions}: {self.why}"


ENDED_CANARY = JsonFile[EndedCanary]("ended_canary.json", EndedCanary)


@dataclass(frozen=True)
class Push:
    """A push: `pushed`; `unchanged`, if this model was pushed before; or `held`.

    The version of a held one is 0, or that in production.
    """

    outcome: Literal["pushed", "unchanged", "held"]
    version: int = 0
    reasons: tuple[str, ...] = ()
    ended_canary: EndedCanary | None = None  # that was open before this run


PUSH = JsonFile[Push]("push.json", Push)


@dataclass(frozen=True)
class Difference:
    """A difference: a feature that the schema lacks, values that its domain lacks, or a range of numbers."""

    feature: str
    kind: Literal["feature", "values", "range"]  # a range may be inside or outside of the bounds
    curated: str  # content of the schema, for people
    seen: str  # content of the window, for people
    breaks: bool = False  # true if the window breaks the schema
    values: tuple[str, ...] = ()  # values that the domain lacks
    bounds: tuple[float, float] | None = None  # least and largest number seen
    type: str = ""  # type of a feature that the schema lacks: `BYTES`, `INT` or `FLOAT`


@dataclass(frozen=True)
class Anomaly:
    """A feature that breaks the schema, the fault, and the splits with that fault.

    The feature is empty for what the schema demands of the whole window; `spans` are those that it is known
    to come from, by name.
    """

    feature: str
    text: str
    splits: tuple[str, ...]
    spans: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The anomaly as a sentence."""
        subject = self.feature or "The window"
        return f"{subject} breaks the schema in {' and '.join(self.splits)}: {self.text.rstrip('. ')}."


@dataclass(frozen=True)
class Drift:
    """The distance of one feature of a span from other spans, 0..1, and the most that the schema allows."""

    feature: str
    distance: float
    threshold: float
    before: str = ""  # mean and deviation, or the shares of the commonest values, in the others
    now: str = ""  # the same for the span
    gone: tuple[str, ...] = ()  # values that the others lead to expect, and the span lacks
    unseen: float = 0.0  # share of the span's words that the others lack
    expected_unseen: float = 0.0  # the value of `unseen` if nothing had changed
    new: tuple[str, ...] = ()  # the commonest unseen words
    span: str = ""  # its name
    turned_constant: bool = False  # its examples are all alike, and those of the others are not
    measure: str = ""  # the distance in the schema: `infinity_norm` or `jensen_shannon_divergence`


DRIFT = JsonFile[tuple[Drift, ...]]("drift.json", tuple[Drift, ...])


@dataclass(frozen=True)
class Shift:
    """Columns of a span that go together otherwise than in earlier spans.

    Two that are `swapped` are each distributed as the other one was. Of `joint` ones, the first is told from
    the principal components of earlier spans with an error that is `factor` times the largest in one of
    these.
    """

    span: str
    kind: Literal["swapped", "joint"]
    columns: tuple[str, ...]  # those that moved most
    factor: float = 0.0


SHIFTS = JsonFile[tuple[Shift, ...]]("shifts.json", tuple[Shift, ...])


def read_anomalies(folder: Path, splits: Iterable[str]) -> tuple[Anomaly, ...]:
    """Reads the anomalies of a window from the folder of ExampleValidator's output."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    splits_of: dict[tuple[str, str], list[str]] = {}
    for split in splits:
        content = (folder / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
        anomalies = anomalies_pb2.Anomalies.FromString(content)
        whole = [("", anomalies.dataset_anomaly_info)] if anomalies.HasField("dataset_anomaly_info") else []
        for feature, info in (*anomalies.anomaly_info.items(), *whole):
            key = (feature, f"{info.short_description}: {info.description}")
            splits_of.setdefault(key, []).append(split)
    return tuple(Anomaly(feature, text, tuple(names)) for (feature, text), names in splits_of.items())
