"""The digest of a window, as runs make it."""

from collections.abc import Sequence
from pathlib import Path

from data.spans.layout import Span
from data.spans.window import contents_of, digest_of


def window_digest(spans: Sequence[Span], cache: Path | None = None) -> str:
    return digest_of(contents_of(spans, cache))
