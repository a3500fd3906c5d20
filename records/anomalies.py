"""What ExampleValidator found against the curated schema."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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


def read_anomalies(folder: Path, splits: Iterable[str]) -> tuple[Anomaly, ...]:
    """The anomalies of a window, from the folder of ExampleValidator's output."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    seen: dict[tuple[str, str], list[str]] = {}
    for split in splits:
        content = (folder / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
        for feature, info in anomalies_pb2.Anomalies.FromString(content).anomaly_info.items():
            seen.setdefault((feature, f"{info.short_description}: {info.description}"), []).append(split)
    return tuple(Anomaly(feature, text, tuple(found)) for (feature, text), found in seen.items())
