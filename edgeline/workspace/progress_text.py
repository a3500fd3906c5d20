"""Durations, epochs, counts and outcomes in words; imports little, since `status` and `runs` use it."""

from collections.abc import Iterator

from edgeline.records.outcome import Outcome
from edgeline.report import words
from edgeline.workspace.events import Event

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


def format_epoch(event: Event, width: int) -> str:
    """Formats an epoch in at most `width` columns; the least important figures are left out first."""
    pieces = [f"epoch {event['epoch']}/{event['epochs']}"]
    if event.get("eta_s"):
        pieces.append(f"{duration(event['eta_s'])} left")
    for key, name in (
        ("val_accuracy", "eval accuracy"),
        ("loss", "loss"),
        ("accuracy", "accuracy"),
        ("val_loss", "eval loss"),
    ):
        if event.get(key) is not None:
            pieces.append(f"{name} {event[key]:.3f}")
    text = pieces[0]
    for piece in pieces[1:]:
        if len(text) + 2 + len(piece) <= width:
            text += f"  {piece}"
    return text


def format_count(event: Event) -> str:
    """Formats a count as `1,200 of 2,400 photos`."""
    total = f" of {event['total']:,}" if event.get("total") else ""
    what = event["what"] if event.get("total", event["done"]) != 1 else event["what"].removesuffix("s")
    return f"{event['done']:,}{total} {what}"


def verdict_lines(outcome: Outcome, headline: str) -> Iterator[tuple[str, str]]:
    """Yields the headline of a run and its reasons, each with its style."""
    yield headline, STYLES.get(outcome.outcome, "bold red")
    for reason in outcome.reasons:
        yield f"  - {reason}", ""
