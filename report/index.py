"""The page of all runs of a model: accuracy over the weeks, what was pushed, what was held back and why."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone

from report import charts, words
from report.page import Figure, render
from report.rows import Row
from report.verdict import BADGES

_WIDE = 880


def render_index(model: str, rows: Sequence[Row]) -> str:
    """The page; the rows come oldest first."""
    dated = [(at, row) for row in rows if (at := _moment(row.started_at)) is not None]
    drawn = any(row.accuracy is not None for _, row in dated)
    return render(
        "index.html",
        model=model,
        sentence=_sentence(model, rows),
        figures=_figures(rows),
        rows=rows[::-1],
        bare=any(row.accuracy is None for _, row in dated),
        wide=charts.timeline("wide", _WIDE, dated) if drawn else "",
        narrow=charts.timeline("narrow", charts.WIDTH, dated) if drawn else "",
    )


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if not 1900 < at.year < 2200:  # Axes beyond have days that Python cannot name.
        return None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def _sentence(model: str, rows: Sequence[Row]) -> str:
    pushed = [row for row in rows if row.outcome == "pushed"]
    if not rows:
        return f"No run of {model} yet."
    if not pushed:
        return f"No run of {model} has pushed a version yet; there were {len(rows)}."
    last = pushed[-1]
    since = len(rows) - 1 - max(number for number, row in enumerate(rows) if row.outcome == "pushed")
    when = f"{since} run{'s' if since > 1 else ''} ago" if since else "by the last run"
    return f"Version {last.version} of {model} was pushed {when}, on {words.day(last.started_at)}."


def _figures(rows: Sequence[Row]) -> list[Figure]:
    counted = Counter(row.outcome for row in rows)
    return [
        Figure("Runs", words.count(len(rows))),
        *(
            Figure(badge.capitalize(), words.count(counted[outcome]))
            for outcome, (badge, _) in BADGES.items()
            if counted[outcome]
        ),
    ]
