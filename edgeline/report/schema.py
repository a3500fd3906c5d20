"""Compares a window with the curated schema: new values, new features, the range of each number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeline.labels import join_names
from edgeline.records.schema import Difference

_MOST_VALUES = 8


def find_differences(curated: Path, inferred: Path, statistics: Path) -> tuple[Difference, ...]:
    """Returns all differences that matter for a change of the curated schema, those that break it first.

    The folders are the outputs of ImportSchemaGen, SchemaGen and StatisticsGen.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    known, seen = (
        text_format.Parse((folder / "schema.pbtxt").read_text(encoding="utf-8"), schema_pb2.Schema())
        for folder in (curated, inferred)
    )
    new = (*_find_new_features(known, seen), *_find_new_values(known, seen))
    found = (*new, *_compare_ranges(known, statistics))
    return tuple(sorted(found, key=lambda item: (not item.breaks, item.kind == "range", item.feature)))


def _list_values(schema: Any, feature: Any) -> list[str]:
    named = {domain.name: domain for domain in schema.string_domain}
    domain = named.get(feature.domain, feature.string_domain)
    return list(domain.value)


def _find_new_features(known: Any, seen: Any) -> Iterator[Difference]:
    from tensorflow_metadata.proto.v0 import schema_pb2

    names = {feature.name for feature in known.feature}
    for feature in seen.feature:
        if feature.name not in names:
            kind = schema_pb2.FeatureType.Name(feature.type)
            yield Difference(feature.name, "feature", "absent", f"of type {kind}", breaks=True, type=kind)


def _find_new_values(known: Any, seen: Any) -> Iterator[Difference]:
    values = {feature.name: set(_list_values(seen, feature)) for feature in seen.feature}
    for feature in known.feature:
        allowed = _list_values(known, feature)
        new = sorted(values.get(feature.name, set()) - set(allowed))
        if allowed and new:
            some = join_names(new, _MOST_VALUES)
            curated = f"{len(allowed)} values"
            yield Difference(feature.name, "values", curated, f"also {some}", breaks=True, values=tuple(new))


def _compare_ranges(known: Any, statistics: Path) -> Iterator[Difference]:
    seen = _read_ranges(statistics)
    for feature in known.feature:
        kind = feature.WhichOneof("domain_info")
        if kind not in ("int_domain", "float_domain") or feature.name not in seen:
            continue
        domain, (low, high) = getattr(feature, kind), seen[feature.name]
        least = domain.min if domain.HasField("min") else None
        most = domain.max if domain.HasField("max") else None
        breaks = (least is not None and low < least) or (most is not None and high > most)
        curated = f"{'any' if least is None else f'{least:g}'} to {'any' if most is None else f'{most:g}'}"
        yield Difference(feature.name, "range", curated, f"{low:g} to {high:g}", breaks, bounds=(low, high))


def _read_ranges(statistics: Path) -> dict[str, tuple[float, float]]:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    ranges: dict[str, tuple[float, float]] = {}
    for path in sorted(statistics.glob("Split-*/FeatureStats.pb")):
        for dataset in statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets:
            for feature in dataset.features:
                if feature.HasField("num_stats") and feature.num_stats.common_stats.num_non_missing:
                    name = feature.name or ".".join(feature.path.step)
                    low, high = feature.num_stats.min, feature.num_stats.max
                    before = ranges.get(name, (low, high))
                    ranges[name] = (min(low, before[0]), max(high, before[1]))
    return ranges
