"""The page of all runs of a model: accuracy over the weeks, what was pushed, what was held back and why."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone

from msgspec import Struct, field

from report import charts, words
from report.facts import Facts
from report.page import Figure, render
from report.verdict import BADGES

_WIDE = 880


class Row(Struct, frozen=True):
    """One run in the table; None stands for what it did not get to."""

    run: str  # its id
    link: str | None  # where its page is, relative to the index or absolute
    outcome: str
    started_at: str  # UTC, ISO 8601
    accuracy: float | None = None  # of its model on its eval examples, 0..1
    before: float | None = None  # of the model in production, on the same examples
    weakest: str | None = None  # the class with the lowest accuracy, and that
    examples: int | None = field(name="photos", default=None)  # in its window
    quarantined: int | None = None  # of the newest span
    version: int | None = None  # pushed by it
    seconds: float | None = None  # wall time
    reason: str = ""  # why it ended as it did, where that was no push

    @property
    def name(self) -> str:
        """Its id, and its day where the id does not say it."""
        stamp = self.started_at[:10].replace("-", "")
        known = stamp and self.run.startswith(stamp)
        return self.run if known else f"{words.day(self.started_at)} {self.run}"


def make_row(facts: Facts, link: str | None) -> Row:
    """The row of a run."""
    about, overall = facts.about, facts.evaluation.overall if facts.evaluation else None
    worst = facts.evaluation.worst("class") if facts.evaluation else None
    return Row(
        run=about.run,
        link=link,
        outcome=about.outcome,
        started_at=about.started_at,
        accuracy=overall.accuracy if overall else None,
        before=overall.before if overall else None,
        weakest=f"{worst.name} {words.percent(worst.accuracy)}" if worst else None,
        examples=sum(facts.data.splits.values()) if facts.data else None,
        quarantined=facts.data.spans[-1].quarantined if facts.data and facts.data.spans else None,
        version=about.version if about.outcome == "pushed" else None,
        seconds=about.seconds,
        reason="" if about.outcome == "pushed" else " ".join(about.reasons[:1]),
    )


def render_index(model: str, rows: Sequence[Row]) -> str:
    """The page; the rows come oldest first."""
    dated = [(at, row) for row in rows if (at := _moment(row.started_at)) is not None]
    drawn = any(row.accuracy is not None for _, row in dated)
    return render(
        "index.html",
        model=model,
        sentence=_sentence(model, rows),
        figures=_figures(rows),
        rows=[(row, *BADGES[row.outcome]) for row in rows[::-1]],
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
