"""What `edgeline show` tells beyond the verdicts: photos set aside, accuracy by slice, edge variants."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runners import artifact_records
from runners.runs import RunFolder


def detail_lines(folder: RunFolder) -> Iterator[str]:
    """Lines on whatever steps of a run left their files.

    Args:
        folder: The run's.
    """
    for record in artifact_records.read(folder.artifacts):
        place = Path(record.uri)
        if (place / "ingest.json").is_file():
            yield from _quarantine(place)
        elif (place / "metrics.json").is_file():
            yield from _slices(json.loads((place / "metrics.json").read_text(encoding="utf-8")))
        elif (place / "edge.json").is_file():
            yield from _variants(json.loads((place / "edge.json").read_text(encoding="utf-8")))


def _quarantine(place: Path) -> Iterator[str]:
    ingest = json.loads((place / "ingest.json").read_text(encoding="utf-8"))
    classes = ", ".join(f"{count} {label}" for label, count in ingest["classes"].items())
    yield f"Photos: {ingest['splits']['train']} train, {ingest['splits']['eval']} eval ({classes})"
    for span in ingest["spans"]:
        if span["rejected"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in span["rejected"].items())
            aside = sum(span["rejected"].values())
            yield f"  {span['name']}: {aside} of {span['rows']} set aside: {reasons}"
    if any(span["rejected"] for span in ingest["spans"]):
        yield f"  each with its reason: {place / 'quarantine.csv'}"


def _slices(metrics: Mapping[str, Any]) -> Iterator[str]:
    baseline = metrics["baseline"] or {}
    yield f"{'Accuracy by slice':<28} {'photos':>6} {'now':>6}{'production':>12}"
    for kind, slices in metrics["candidate"].items():
        for name, values in slices.items():
            before = baseline.get(kind, {}).get(name, {}).get("accuracy")
            production = f"{before:>12.3f}" if before is not None else f"{'-':>12}"
            photos, accuracy = values["example_count"], values["accuracy"]
            yield f"  {kind:<8} {name[:17]:<17} {photos:>6.0f} {accuracy:>6.3f}{production}"


def _variants(edge: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'Edge files':<12} {'MB':>6} {'accuracy':>9} {'agreement':>10} {'most apart':>11} {'ms':>7}"
    for variant in edge["variants"]:
        measured = variant.get("measured")
        mark = " (default)" if variant["name"] == edge["default_variant"] else ""
        if measured is None:
            yield f"  {variant['name']:<10} could not be made"
            continue
        yield (
            f"  {variant['name']:<10} {measured['size_bytes'] / 1e6:>6.2f} {measured['accuracy']:>9.3f}"
            f" {measured['agreement']:>10.3f} {measured['max_difference']:>11.1e}"
            f" {measured['latency']['p50_ms']:>7.2f}{mark}"
        )
