"""The digest of a window, as runs make it."""

from collections.abc import Sequence
from pathlib import Path

from data.spans.layout import Span
from data.spans.window import compute_span_digests, compute_window_digest


def window_digest(spans: Sequence[Span], cache: Path | None = None) -> str:
    return compute_window_digest(compute_span_digests(spans, cache))
