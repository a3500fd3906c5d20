"""How a run ended, as lines with their styles."""

from collections.abc import Iterator

from records.outcome import Outcome

_GOOD, _STOPPED, _BAD = "bold green", "bold yellow", "bold red"
_STYLES = {"pushed": _GOOD, "unchanged": _GOOD, "held": _STOPPED, "refused": _STOPPED}


def verdict_lines(outcome: Outcome, headline: str) -> Iterator[tuple[str, str]]:
    """The headline of a run and its reasons, each with its style."""
    yield headline, _STYLES.get(outcome.outcome, _BAD)
    yield from ((f"  - {reason}", "") for reason in outcome.reasons)
