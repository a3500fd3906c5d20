"""A release in a few lines: how good it is, and the file that phones run."""

from collections.abc import Iterator

from release.releases import Release

_BYTES_PER_MB = 10**6


def release_lines(release: Release) -> Iterator[str]:
    """Eval accuracy overall, recall by class, and the default variant; whatever of it the manifest has."""
    for kind in ("overall", "class"):
        for name, values in release.manifest.metrics.get(kind, {}).items():
            if "accuracy" in values:
                what = "eval accuracy" if kind == "overall" else f"  {name}"
                count = f" on {values['example_count']:.0f} examples" if "example_count" in values else ""
                yield f"{what} {values['accuracy']:.3f}{count}"
    for variant in release.manifest.variants:
        if variant["name"] == release.manifest.default_variant:
            size = f", {variant['size_bytes'] / _BYTES_PER_MB:.2f} MB" if "size_bytes" in variant else ""
            median = variant.get("latency", {}).get("p50_ms")
            latency = f", {median:.1f} ms here" if median is not None else ""
            yield f"phones run {variant['name']}{size}{latency}: {release.default_file}"
