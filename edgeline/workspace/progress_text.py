"""Durations, epochs, counts and outcomes in words; imports little, since `status` and `runs` use it."""

from collections.abc import Iterator

from edgeline.records.events import EpochEnded
from edgeline.records.outcome import Outcome
from edgeline.report import words

# The style of each outcome on a terminal.
STYLES = {
    **dict.fromkeys(("pushed", "unchanged"), "bold green"),
    **dict.fromkeys(("held", "refused"), "bold yellow"),
    **dict.fromkeys(("failed", "interrupted", "killed"), "bold red"),
    "running": "",
}


def duration(seconds: float) -> str:
    """Formats seconds as `4.2 s`, `3 min 05 s` or `2 h 03 min`."""
    return words.seconds(seconds).replace("\u00a0", " ")


def format_epoch(event: EpochEnded, width: int) -> str:
    """Formats an epoch in at most `width` columns; the least important figures are left out first."""
    pieces = [f"{duration(event.eta_s)} left"] if event.eta_s else []
    figures = {
        "eval accuracy": event.val_accuracy,
        "loss": event.loss,
        "accuracy": event.accuracy,
        "eval loss": event.val_loss,
    }
    pieces += [f"{name} {value:.3f}" for name, value in figures.items() if value is not None]
    text = f"epoch {event.epoch}/{event.epochs}"
    for piece in pieces:
        if len(text) + 2 + len(piece) <= width:
            text += f"  {piece}"
    return text


def verdict_lines(outcome: Outcome, headline: str) -> Iterator[tuple[str, str]]:
    """Yields the headline of a run and its reasons, each with its style."""
    yield headline, STYLES.get(outcome.outcome, "bold red")
    for reason in outcome.reasons:
        yield f"  - {reason}", ""
