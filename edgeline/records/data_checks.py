"""Findings in a window of data: anomalies against the curated schema, and the drift of spans."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeline.records.json_file import JsonFile


@dataclass(frozen=True)
class Anomaly:
    """A feature that breaks the schema, the fault, and the splits with that fault."""

    feature: str
    text: str
    splits: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The anomaly as a sentence."""
        return f"{self.feature} breaks the schema in {' and '.join(self.splits)}: {self.text.rstrip('. ')}."


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


DRIFT = JsonFile[tuple[Drift, ...]]("drift.json", tuple[Drift, ...])


def read_anomalies(folder: Path, splits: Iterable[str]) -> tuple[Anomaly, ...]:
    """Reads the anomalies of a window from the folder of ExampleValidator's output."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    splits_of: dict[tuple[str, str], list[str]] = {}
    for split in splits:
        content = (folder / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
        for feature, info in anomalies_pb2.Anomalies.FromString(content).anomaly_info.items():
            key = (feature, f"{info.short_description}: {info.description}")
            splits_of.setdefault(key, []).append(split)
    return tuple(Anomaly(feature, text, tuple(names)) for (feature, text), names in splits_of.items())
