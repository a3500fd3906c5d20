"""What was found in a window of data: what breaks the curated schema, and how far spans are from others."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from records.json_file import JsonFile


@dataclass(frozen=True)
class Anomaly:
    """What breaks the schema: the feature, what is wrong with it, and the splits it was seen in."""

    feature: str
    text: str
    splits: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """It in words."""
        return f"{self.feature} breaks the schema in {' and '.join(self.splits)}: {self.text.rstrip('. ')}."


@dataclass(frozen=True)
class Drift:
    """The distance of one feature of a span from other spans, 0..1, and the most that the schema allows."""

    feature: str
    distance: float
    threshold: float
    before: str = ""  # mean and deviation, or the shares of the commonest values, in the others
    now: str = ""  # the same in the span
    gone: tuple[str, ...] = ()  # values common enough in the others to be expected in it, and not there
    unseen: float = 0.0  # share of its words that the others lack
    expected_unseen: float = 0.0  # what it would be if nothing had changed
    new: tuple[str, ...] = ()  # the commonest of those unseen
    span: str = ""  # its name; empty in records of before, which were of the newest span alone


DRIFT = JsonFile[tuple[Drift, ...]]("drift.json", tuple[Drift, ...])


def read_anomalies(folder: Path, splits: Iterable[str]) -> tuple[Anomaly, ...]:
    """The anomalies of a window, from the folder of ExampleValidator's output."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    seen: dict[tuple[str, str], list[str]] = {}
    for split in splits:
        content = (folder / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
        for feature, info in anomalies_pb2.Anomalies.FromString(content).anomaly_info.items():
            seen.setdefault((feature, f"{info.short_description}: {info.description}"), []).append(split)
    return tuple(Anomaly(feature, text, tuple(found)) for (feature, text), found in seen.items())
