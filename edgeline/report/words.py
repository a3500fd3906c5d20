"""Formats of numbers and times on the pages; an en dash stands for an unknown value."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeline.journal import parse_time
from edgeline.labels import format_count
from edgeline.project import spell_commands

if TYPE_CHECKING:
    from markupsafe import Markup

    from edgeline.records.edge import Speed

UNKNOWN = "\u2013"


def code(text: str) -> "Markup":
    """Returns a text as HTML, in which words between backticks are code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(spell_commands(text)))))


def cut(text: str, most: int) -> str:
    """Returns a text of at most `most` characters; the last one of a longer text is an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent(share: float | None, digits: int = 1) -> str:
    """Formats a share: 0.9412 as `94.1 %`."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f}\u00a0%"


def points(difference: float | None) -> str:
    """Formats a difference of shares in signed percentage points: 0.012 as `+1.2`."""
    if difference is None:
        return UNKNOWN
    rounded = round(100 * difference, 1)
    return f"{rounded:+.1f}".replace("-", "\u2212") if rounded else "±0.0"


def count(number: float | None) -> str:
    """Formats a count: 12345 as `12,345`."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def megabytes(size: float | None) -> str:
    """Formats bytes as megabytes of 10^6."""
    return UNKNOWN if size is None else f"{size / 1e6:.2f}\u00a0MB"


def milliseconds(time: float | None) -> str:
    """Formats milliseconds: two decimals below 10, none above."""
    if time is None:
        return UNKNOWN
    return f"{time:.2f}\u00a0ms" if time < 10 else f"{time:.0f}\u00a0ms"


def latency(of: "Speed") -> str:
    """Formats the median latency of a file, and says if the machine was under load."""
    return f"{milliseconds(of.latency.p50_ms)}{' under load' if of.under_load else ''}"


def speed(of: "Speed") -> Iterator[str]:
    """Yields the times of a file and its memory, as far as they were measured."""
    for threads, latency in (("one thread", of.latency), ("two threads", of.two_threads)):
        if latency is not None:
            rest = {"p90": latency.p90_ms, "p99": latency.p99_ms}
            named = ", ".join(f"{name} {ms:.2f}" for name, ms in rest.items() if ms is not None)
            yield f"{threads} {latency.p50_ms:.2f} ms ({named})"
    before = {"cold start": of.cold_start_ms, **of.preparation_ms}
    yield from (f"{name} {ms:.2f} ms" for name, ms in before.items() if ms is not None)
    if of.under_load:
        yield "all under load"
    if of.peak_memory_bytes is not None:
        yield f"memory {of.peak_memory_bytes / 1e6:.1f} MB"


def seconds(time: float | None) -> str:
    """Formats seconds as `4.2 s`, `3 min 20 s` or `2 h 05 min`."""
    if time is None:
        return UNKNOWN
    if time < 60:
        return f"{time:.1f}\u00a0s"
    minutes, rest = divmod(round(time), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60:02d}\u00a0min"


def duration(time: float) -> str:
    """Formats seconds as `seconds` does, for a terminal."""
    return seconds(time).replace("\u00a0", " ")


def moment(text: str | None) -> str:
    """Formats an ISO 8601 time as `Mon 5 Oct 2026, 09:12 UTC`; returns any other text unchanged."""
    if not text:
        return UNKNOWN
    try:
        at = parse_time(text)
    except ValueError:
        return text
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M} UTC"


def day(text: str | None) -> str:
    """Formats an ISO 8601 time as `2026-10-05`."""
    return (text or UNKNOWN)[:10]


def setting(value: bool | int | float | str | None) -> str:
    """Formats the value of a setting, a float with at most four significant digits."""
    if value is None:
        return UNKNOWN
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def groups(number: int | None, noun: str) -> str:
    """Formats the number of groups of some examples: 4 as ` of 4 sessions`; empty for None."""
    return "" if number is None else f" of {format_count(number, noun)}"
