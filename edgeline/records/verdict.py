"""Verdicts of gates, and what they rest on: anomalies, drift, differences from the schema; and the push."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeline.records.json_file import JsonFile


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict; reasons and warnings are a sentence each.

    `no_baseline` passes: every bound that needs no production model to compare with was met. Spans, features
    and slices (`kind name`) are those that caused a failure.
    """

    gate: Literal["data", "evaluation", "edge"]
    result: Literal["pass", "fail", "no_baseline"]
    reasons: tuple[str, ...] = ()  # reasons of a failure, or the grounds of a pass
    warnings: tuple[str, ...] = ()  # for a person to look at; they block nothing
    spans: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if the gate lets the run go on."""
        return self.result != "fail"


VERDICT = JsonFile[Verdict]("verdict.json", Verdict)
DRIFTED = " has drifted by "  # in the reason of a feature whose distance is beyond its threshold
SERVED_SLICE = "served "  # begins the name of a slice of what phones answered
ENDED_CANARY = "This run ended a canary, "  # begins a reason; the action in the store follows


@dataclass(frozen=True)
class Push:
    """A push: `pushed`; `unchanged`, if this model was pushed before; or `held`.

    The version of a held one is 0, or that in production.
    """

    outcome: Literal["pushed", "unchanged", "held"]
    version: int = 0
    reasons: tuple[str, ...] = ()


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
    measure: str = ""  # the distance in the schema: `infinity_norm` or `jensen_shannon_divergence`


DRIFT = JsonFile[tuple[Drift, ...]]("drift.json", tuple[Drift, ...])


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
